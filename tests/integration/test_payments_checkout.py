"""The pay button by Stripe Checkout: what is owed now, once, and a kind word where it cannot be."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.payments.adapters.stripe_checkout import StripeCheckout
from services.payments.domain.checkout import NotOpened, Purchase, ask
from services.payments.domain.source_settings import Checkout
from services.payments.handlers import close_checkouts
from services.payments.handlers.close_checkouts import CloseCheckouts
from shared.outgoing import LOOPBACK, Allowed, Guard, guarded_client
from tests import factories
from tests.doubles.stripe_api import KEY, StripeApi, early_in_the_half_hour, stripe_api
from tests.factories import Made
from tests.integration.payments_running import BEARER, Payments, event, payments_running


@pytest.fixture
async def stripe() -> AsyncIterator[StripeApi]:
    async with stripe_api() as stripe:
        yield stripe


@pytest.fixture
async def shop(database_dsn: str, tmp_path: Path, stripe: StripeApi) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path) as shop:

        async def tell(body: bytes, headers: dict[str, str]) -> httpx.Response:
            return await shop.http.post("/v1/webhooks/stripe", content=body, headers=headers)

        stripe.tell = tell
        yield shop


async def configure(shop: Payments, settings: dict[str, Any], source: str = "stripe") -> httpx.Response:
    return await shop.http.put(f"/v1/sources/{source}", json=settings, headers=BEARER)


async def click(shop: Payments, made: Made, **form: str) -> httpx.Response:
    return await shop.http.post(f"/pay/{made.token}/checkout", data=form)


async def test_a_click_leads_to_a_page_for_what_is_owed_and_its_payment_settles_the_invoice(
    shop: Payments, stripe: StripeApi
) -> None:
    assert (await configure(shop, stripe.settings())).status_code == 201
    made = await factories.invoice(shop.owner, ("60.00", "60.00"), number="2026-17", reminders=1)
    await shop.say(event("confirmed", "p1", "20.50", invoice_id=made.ref))

    clicked = await click(shop, made, lang="pt")
    assert (clicked.status_code, clicked.headers["location"]) == (303, f"{stripe.origin}/c/pay/cs_test_1")
    session = stripe.sessions["cs_test_1"]
    assert session["line_items[0][price_data][unit_amount]"] == "9950"
    assert session["client_reference_id"] == session["metadata[invoice_id]"] == made.ref
    assert session["line_items[0][price_data][product_data][name]"] == "2026-17"
    assert session["success_url"] == f"http://test/pay/{made.token}?said=checkout&lang=pt"
    assert session["locale"] == "pt"

    told = await stripe.tell_paid("cs_test_1")
    assert told.json()["result"] == "applied"
    assert (await shop.invoice(made.id))["settled_at"] is not None
    assert await shop.counts() == (3, 2)
    assert {state for _, state, _ in await shop.reminders(made.id)} == {"cancelled"}


async def test_whoever_clicks_twice_comes_to_the_same_page_until_another_amount_is_owed(
    shop: Payments, stripe: StripeApi
) -> None:
    await early_in_the_half_hour()
    await configure(shop, stripe.settings())
    made = await factories.invoice(shop.owner)
    first, second = await click(shop, made), await click(shop, made)
    await shop.say(event("confirmed", "p1", "40.00", invoice_id=made.ref))
    third = await click(shop, made)

    assert first.headers["location"] == second.headers["location"] != third.headers["location"]
    assert stripe.amounts() == [("10000", "eur"), ("6000", "eur")]
    noted = await shop.owner.fetch("SELECT data FROM event WHERE kind = 'checkout.opened' ORDER BY id")
    assert [row[0]["amount"] for row in noted] == ["100.0000", "100.0000", "60.0000"]


@pytest.mark.parametrize(
    ("troubles", "tries"),
    [([429], 2), ([409], 2), ([500], 2), (["lost"], 2), ([], 1)],
    ids=["too many", "under way", "broken", "answer lost", "well"],
)
async def test_what_may_pass_is_tried_again_and_never_makes_two_pages(
    shop: Payments, stripe: StripeApi, troubles: list[int | str], tries: int
) -> None:
    await configure(shop, stripe.settings())
    stripe.troubles += troubles
    clicked = await click(shop, await factories.invoice(shop.owner))
    assert clicked.headers["location"] == f"{stripe.origin}/c/pay/cs_test_1"
    assert len(stripe.keys) == tries
    assert len(stripe.sessions) == 1


@pytest.mark.parametrize(
    ("troubles", "more"),
    [
        ([500, 502], {}),
        ([429, 429], {}),
        (["lost", 429], {}),
        ([], {"api_key": "sk_test_of_somebody_else"}),
        ([], {"page": "https://checkout.stripe.com"}),
    ],
    ids=["broken", "too many", "lost, then too many", "wrong key", "a page elsewhere"],
)
async def test_where_no_page_opens_the_customer_is_told_and_sees_how_to_transfer(
    shop: Payments,
    stripe: StripeApi,
    troubles: list[int | str],
    more: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    await configure(shop, stripe.settings(**more))
    stripe.troubles += troubles
    iban = {"iban": "DE02120300000000202051", "bic": "BYLADEM1001"}
    clicked = await click(shop, await factories.invoice(shop.owner, creditor_columns=iban))
    assert clicked.status_code == 503
    assert "Nothing was charged" in clicked.text
    assert 'href="#transfer"' in clicked.text
    assert "DE02 1203 0000 0000 2020 51" in clicked.text
    said = capsys.readouterr()
    assert "checkout_failed" in said.out + said.err
    assert "sk_test" not in said.out + said.err + clicked.text


async def test_the_button_is_for_the_creditors_that_are_named_and_behind_an_invoices_own_link(
    shop: Payments, stripe: StripeApi
) -> None:
    await configure(shop, stripe.settings(creditors=["acme"]))
    others = await factories.invoice(shop.owner)
    named = await factories.invoice(shop.owner, creditor_columns={"ref": "acme"})
    linked = await factories.invoice(
        shop.owner, creditor_columns={"ref": "acme"}, payment_url="https://pay.example.com/1"
    )
    pages = [(await shop.http.get(f"/pay/{made.token}")).text for made in (others, named, linked)]
    assert ["/checkout" in page for page in pages] == [False, True, False]
    assert "https://pay.example.com/1" in pages[2]
    assert (await click(shop, others)).status_code == 503
    assert stripe.sessions == {}


async def test_the_policy_lets_the_form_go_to_the_providers_page_and_nowhere_else(
    shop: Payments, stripe: StripeApi
) -> None:
    made = await factories.invoice(shop.owner)
    before = await shop.http.get(f"/pay/{made.token}")
    await configure(shop, stripe.settings())
    after = await shop.http.get(f"/pay/{made.token}")
    assert "form-action 'self';" in before.headers["content-security-policy"]
    assert f"form-action 'self' {stripe.origin};" in after.headers["content-security-policy"]


async def test_nothing_is_opened_for_what_is_paid_or_for_another_site(shop: Payments, stripe: StripeApi) -> None:
    await configure(shop, stripe.settings())
    made = await factories.invoice(shop.owner)
    foreign = await shop.http.post(f"/pay/{made.token}/checkout", headers={"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403
    await shop.say(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    assert (await click(shop, made)).headers["location"] == f"/pay/{made.token}"
    assert (await shop.http.get(f"/pay/{made.token}/checkout")).status_code == 303
    assert stripe.keys == []


async def test_a_customer_opens_only_so_many_pages_a_day(shop: Payments, stripe: StripeApi) -> None:
    await configure(shop, stripe.settings())
    made = await factories.invoice(shop.owner)
    answers = [(await click(shop, made)).status_code for _ in range(21)]
    assert answers == [303] * 20 + [429]


async def test_the_key_goes_in_and_never_comes_out(shop: Payments, stripe: StripeApi) -> None:
    put = await configure(shop, stripe.settings(creditors=["acme"]))
    got = await shop.http.get("/v1/sources/stripe", headers=BEARER)
    listed = await shop.http.get("/v1/sources", headers=BEARER)
    assert KEY not in put.text + got.text + listed.text
    assert got.json()["secrets"] == 2
    assert got.json()["settings"]["checkout"]["creditors"] == ["acme"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"api_key": "pk_live_this_is_the_public_one"}, "/checkout/api_key"),
        ({"page": "https://checkout.stripe.com; script-src *"}, "/checkout/page"),
        ({"api": "https://192.168.0.9"}, "/checkout/api"),
        ({"creditors": ["a b"]}, "/checkout/creditors/0"),
    ],
    ids=["public key", "policy injection", "inside", "no creditor"],
)
async def test_what_could_never_work_is_refused_when_it_is_set(
    shop: Payments, stripe: StripeApi, more: dict[str, Any], says: str
) -> None:
    answer = await configure(shop, stripe.settings(**more))
    assert answer.status_code == 422
    assert says in answer.text
    assert KEY not in answer.text
    assert str(more.get("api_key", "\0")) not in answer.text


async def test_a_provider_that_never_answers_does_not_keep_the_customer_waiting(stripe: StripeApi) -> None:
    stripe.troubles += ["hang", "hang"]
    pages = StripeCheckout(guarded_client(Guard(Allowed.parse(LOOPBACK)), timeout=2.0), pause=0, deadline=60)
    settings = Checkout(api_key=KEY, api=stripe.origin, page=stripe.origin)
    purchase = Purchase("INV-1", "1", Decimal("10.00"), "EUR", "en", "https://pay.example.com/pay/x")
    with pytest.raises(NotOpened, match="no answer"):
        await pages(settings, ask(purchase, 1_800_000_000))
    await pages.close()
    assert len(set(stripe.keys)) == 1


@pytest.fixture
async def close(shop: Payments) -> AsyncIterator[CloseCheckouts]:
    pages = StripeCheckout(guarded_client(Guard(Allowed.parse(LOOPBACK)), timeout=2.0))
    yield CloseCheckouts(shop.db, pages)
    await pages.close()


ANOTHER_SOURCE = """
INSERT INTO source (ref, kind, config)
SELECT $1, kind, jsonb_set(config, '{checkout,api_key}', to_jsonb($2::text)) FROM source WHERE ref = 'stripe'
"""
OLDER_PAGES = """
INSERT INTO checkout SELECT 'cs_' || $1 || n, id, $2, 100, now() - interval '1 hour' FROM source, generate_series(1, 3) n WHERE ref = $1
"""


async def left(shop: Payments) -> list[str]:
    return [row[0] for row in await shop.owner.fetch("SELECT session FROM checkout ORDER BY session")]


async def test_a_page_for_more_than_is_owed_is_closed_and_the_others_stay(
    shop: Payments, stripe: StripeApi, close: CloseCheckouts
) -> None:
    await configure(shop, stripe.settings())
    paid, partly, owed, dropped = [await factories.invoice(shop.owner) for _ in range(4)]
    for made in (paid, partly, owed, dropped):
        await click(shop, made)
    assert await close() == 0
    await shop.say(event("confirmed", "p1", "100.00", invoice_id=paid.ref))
    await shop.say(event("confirmed", "p2", "40.00", invoice_id=partly.ref))
    await shop.owner.execute("UPDATE invoice SET closed_as = 'void', closed_at = now() WHERE id = $1", dropped.id)

    assert await close() == 3
    assert sorted(stripe.expired) == ["cs_test_1", "cs_test_2", "cs_test_4"]
    assert await left(shop) == ["cs_test_3"]


async def test_a_page_that_took_the_money_itself_is_forgotten_without_harm(
    shop: Payments, stripe: StripeApi, close: CloseCheckouts
) -> None:
    await configure(shop, stripe.settings())
    await click(shop, await factories.invoice(shop.owner))
    stripe.paid.add("cs_test_1")
    await stripe.tell_paid("cs_test_1")
    assert (await close(), stripe.expired, await left(shop)) == (1, [], [])


async def test_what_cannot_be_closed_is_told_and_tried_again_until_it_has_ended_by_itself(
    shop: Payments, stripe: StripeApi, close: CloseCheckouts, capsys: pytest.CaptureFixture[str]
) -> None:
    await configure(shop, stripe.settings())
    made = await factories.invoice(shop.owner)
    await click(shop, made)
    await shop.say(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    stripe.troubles += [500, 429]
    assert [await close() for _ in range(3)] == [0, 0, 1]
    said = capsys.readouterr()
    assert (said.out + said.err).count("checkout_not_closed") == 2
    assert "sk_test" not in said.out + said.err

    old = "INSERT INTO checkout SELECT 'cs_old', id, $1, 1, now() - interval '3 hours' FROM source WHERE ref = 'stripe'"
    await shop.owner.execute(old, made.id)
    assert (await close(), await left(shop)) == (0, [])


async def test_pages_that_cannot_be_closed_keep_no_other_page_waiting(
    shop: Payments, stripe: StripeApi, close: CloseCheckouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are of another account, whose key is refused, and of one whose settings nobody understands any more."""
    monkeypatch.setattr(close_checkouts, "MOST", 2)
    await configure(shop, stripe.settings())
    made = await factories.invoice(shop.owner)
    await click(shop, made)
    await shop.say(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    for ref, api_key in (("refused", "sk_test_of_somebody_else"), ("odd", "no key")):
        await shop.owner.execute(ANOTHER_SOURCE, ref, api_key)
        await shop.owner.execute(OLDER_PAGES, ref, made.id)

    async with asyncio.timeout(60):
        while "cs_test_1" in await left(shop):
            await close()
    assert stripe.expired == ["cs_test_1"]
    assert len(await left(shop)) == 6


async def test_two_clicks_on_one_page_are_one_to_close(shop: Payments, stripe: StripeApi) -> None:
    await early_in_the_half_hour()
    await configure(shop, stripe.settings())
    made = await factories.invoice(shop.owner)
    await click(shop, made)
    await click(shop, made)
    assert await left(shop) == ["cs_test_1"]


@pytest.mark.parametrize(
    ("amount", "currency", "unit_amount"),
    [("1250.00", "EUR", "125000"), ("1250", "JPY", "1250"), ("12.345", "BHD", "12345"), ("99", "ISK", "9900")],
)
def test_amounts_are_in_stripes_smallest_units(amount: str, currency: str, unit_amount: str) -> None:
    asked = ask(Purchase("INV-1", "1", Decimal(amount), currency, "en", "https://pay.example.com/pay/x"), 0)
    assert f"%5Bunit_amount%5D={unit_amount}&" in asked.body.decode()


def test_the_same_question_has_the_same_key_for_half_an_hour_and_no_other_has_it() -> None:
    purchase = Purchase("INV-1", "1", Decimal("10.00"), "EUR", "en", "https://pay.example.com/pay/x")
    begun = 1_800_000_000
    keys = [ask(purchase, begun + seconds).key for seconds in (0, 1799, 1800)]
    assert keys[0] == keys[1] != keys[2]
    assert all(len(key) <= 255 for key in keys)
