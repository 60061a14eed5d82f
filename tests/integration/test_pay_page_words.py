"""What a customer can say on the page: taken once, within bounds, from this page only; and what it does."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from services.payments.api.voices import LANGUAGES, PAGES
from services.payments.domain.customer_word import Grievance
from shared.ledger.promise import Fault
from shared.states import HoldKind
from tests import factories
from tests.factories import Made
from tests.integration.payments_running import BEARER, Payments, event, payments_running

NOW = datetime(2100, 3, 10, 12, tzinfo=UTC)  # the clock cannot go back, so the test's day lies far ahead
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
DISPUTE = {"reason": "wrong_amount", "note": "I ordered two,\r\nnot three"}
PREFERENCES = {"language": "es", "channel": ""}
WORDS: dict[str, dict[str, str]] = {
    "paid": {},
    "promise": {"date1": "2100-03-20", "amount1": ""},
    "dispute": DISPUTE,
    "preferences": PREFERENCES,
}


@pytest.fixture
async def shop(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path) as running:
        await running.owner.execute("UPDATE business_clock SET ahead = $1::timestamptz - clock_timestamp()", NOW)
        yield running


async def owing(shop: Payments, **columns: Any) -> Made:
    return await factories.invoice(shop.owner, due_dates=(date(2100, 3, 1),), **columns)


async def say(
    shop: Payments, made: Made, action: str, form: dict[str, str] | None = None, headers: dict[str, str] = OURS
) -> httpx.Response:
    sent = WORDS[action] if form is None else form
    return await shop.http.post(f"/pay/{made.token}/{action}", data=sent, headers=headers)


async def page(shop: Payments, made: Made, query: str = "") -> str:
    answer = await shop.http.get(f"/pay/{made.token}{query}")
    assert answer.status_code == 200
    return answer.text


async def stops(shop: Payments, made: Made) -> list[tuple[str, str, str | None, str, int]]:
    """(kind, reason, note, by whom, days) of each."""
    sql = "SELECT kind, reason, note, said_by, (until - business_now()) AS left FROM hold WHERE invoice_id = $1 ORDER BY id"
    return [(*row[:4], round(row[4] / timedelta(days=1))) for row in await shop.owner.fetch(sql, made.id)]


async def events(shop: Payments, made: Made) -> list[str]:
    rows = await shop.owner.fetch("SELECT kind, data FROM event WHERE invoice_id = $1 ORDER BY id", made.id)
    return [f"{row['kind']} {row['data'].get('hold', '')} {row['data'].get('by', '')}".strip() for row in rows]


def problem(answer: httpx.Response) -> str:
    assert answer.headers["content-type"].startswith("text/html")
    [found] = re.findall(r'role="alert">([^<]*) <a href="#say-', answer.text)
    return str(found)


async def test_i_have_paid_holds_for_some_days_and_is_on_the_timeline(shop: Payments) -> None:
    made = await owing(shop)
    answer = await say(shop, made, "paid", {"lang": "en"})

    assert (answer.status_code, answer.headers["location"]) == (303, f"/pay/{made.token}?said=said_paid&lang=en")
    assert await stops(shop, made) == [("said_paid", "said_paid", None, "customer", 5)]
    assert await events(shop, made) == ["hold.placed said_paid customer"]
    text = await page(shop, made, "?said=said_paid")
    assert "Thank you! We have noted that you have paid." in text
    assert "Until March 15, 2100 we wait for the money" in text
    assert "I have already paid" not in text


async def test_a_promise_of_a_day_holds_to_its_end_in_the_customers_zone(shop: Payments) -> None:
    made = await owing(shop, customer_columns={"timezone": "America/Bogota", "locale": "es-CO"})
    assert (await say(shop, made, "promise")).status_code == 303

    [promise] = await shop.owner.fetch("SELECT until, amount, leaves, said_by FROM promise")
    assert tuple(promise) == (datetime(2100, 3, 21, 5, tzinfo=UTC), None, 0, "customer")
    assert "Pagará a más tardar el 20 de marzo de 2100" in await page(shop, made)


async def test_a_promise_in_parts_says_each(shop: Payments) -> None:
    made = await owing(shop)
    form = {"date1": "2100-03-20", "amount1": "40,5", "date2": "2100-03-30", "amount2": "", "date3": "", "amount3": ""}
    assert (await say(shop, made, "promise", form)).status_code == 303

    rows = await shop.owner.fetch("SELECT amount::text, leaves::text FROM promise ORDER BY until")
    assert [tuple(row) for row in rows] == [("40.5000", "59.5000"), (None, "0.0000")]
    text = await page(shop, made)
    assert "You will pay €40.50 by March 20, 2100." in text
    assert "You will pay the rest by March 30, 2100." in text


async def test_a_dispute_holds_this_invoice_and_the_customers_words_stay_out_of_the_timeline(shop: Payments) -> None:
    made = await owing(shop)
    assert (await say(shop, made, "dispute")).status_code == 303

    assert await stops(shop, made) == [("dispute", "wrong_amount", "I ordered two,\nnot three", "customer", 30)]
    assert "ordered" not in str(await shop.owner.fetch("SELECT data FROM event"))
    assert "We are looking into it" in await page(shop, made)


async def test_language_and_channel_are_kept_for_all_that_follows(shop: Payments) -> None:
    made = await owing(shop, customer_columns={"locale": "en-GB"})
    await factories.contact_point(shop.owner, made.customer_id, "phone", "+34600111222")
    sql = "SELECT locale, preferred_channel FROM customer WHERE id = $1"

    answer = await say(shop, made, "preferences", {"lang": "en", "language": "es", "channel": "sms"})
    assert answer.headers["location"].endswith("?said=preferences&lang=es")
    assert tuple(await shop.owner.fetchrow(sql, made.customer_id) or ()) == ("es", "sms")
    assert "A partir de ahora le escribiremos así" in await page(shop, made, "?said=preferences")
    await say(shop, made, "preferences", {"language": "es", "channel": ""})
    assert tuple(await shop.owner.fetchrow(sql, made.customer_id) or ()) == ("es", None)
    assert (await say(shop, made, "preferences", {"language": "es", "channel": "whatsapp"})).status_code == 422


async def test_the_region_stays_where_only_the_language_is_said_again(shop: Payments) -> None:
    made = await owing(shop, customer_columns={"locale": "es-CO", "preferred_channel": "email"})
    await say(shop, made, "preferences", {"language": "es", "channel": ""})
    assert await shop.owner.fetchval("SELECT locale FROM customer WHERE id = $1", made.customer_id) == "es-CO"


async def test_another_language_can_be_read_without_changing_anything(shop: Payments) -> None:
    made = await owing(shop, customer_columns={"locale": "es-CO"})
    text = await page(shop, made, "?lang=pt")
    assert '<html lang="pt">' in text
    assert "vencida desde 1 de março de 2100" in text
    assert '<html lang="es-CO">' in await page(shop, made, "?lang=xx")
    assert await events(shop, made) == []


@pytest.mark.parametrize("action", [*WORDS])
async def test_the_same_said_again_or_twice_at_once_counts_once(shop: Payments, action: str) -> None:
    made = await owing(shop)
    answers = await asyncio.gather(*(say(shop, made, action) for _ in range(4)))

    assert {answer.status_code for answer in answers} == {303}
    assert len(await events(shop, made)) == 1
    assert len(await stops(shop, made)) == (action != "preferences")


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"date1": ""}, "date1", "Please choose a day."),
        ({"date1": "31.3.2100"}, "date1", "year-month-day"),
        ({"date1": "2100-03-09"}, "date1", "has already passed"),
        ({"date1": "2100-04-10"}, "date1", "within the next 30 days"),
        ({"amount1": "all"}, "amount1", "as a number"),
        ({"amount1": "0"}, "amount1", "as a number"),
        ({"amount1": "100.01"}, "amount1", "more than is open"),
        ({"date2": "2100-03-20", "amount2": ""}, "amount1", "only the last amount may stay empty"),
        ({"amount1": "50", "date2": "2100-03-20", "amount2": ""}, "date2", "each later than the one before"),
        ({"amount1": "100", "date2": "2100-03-25", "amount2": ""}, "amount1", "more than is open"),
        ({"date2": "", "amount2": "5"}, "date2", "Please choose a day."),
    ],
)
async def test_a_promise_that_cannot_be_is_told_at_its_field_and_keeps_what_was_written(
    shop: Payments, changes: dict[str, str], field: str, words: str
) -> None:
    made = await owing(shop)
    answer = await say(shop, made, "promise", {"date1": "2100-03-20", "amount1": "", **changes})

    assert answer.status_code == 422
    assert words in problem(answer)
    assert re.search(rf'id="{field}"[^>]*aria-invalid="true" aria-describedby="wrong"', answer.text)
    for name, text in changes.items():
        assert re.search(rf'id="{name}"[^>]*value="{re.escape(text)}"', answer.text)
    assert await stops(shop, made) == []


async def test_what_was_said_often_enough_is_not_taken_again(shop: Payments) -> None:
    made = await owing(shop)
    for day in ("2100-03-20", "2100-03-21"):
        assert (await say(shop, made, "promise", {"date1": day})).status_code == 303
    assert "several dates already" in problem(await say(shop, made, "promise", {"date1": "2100-03-22"}))
    for action, words in (("paid", "has not reached us"), ("dispute", "contact us directly")):
        for _ in range(2):
            assert (await say(shop, made, action)).status_code == 303
            await shop.owner.execute("UPDATE hold SET released_at = now() WHERE kind <> 'promise'")
        answer = await say(shop, made, action)
        assert answer.status_code == 422
        assert words in problem(answer)


async def test_there_are_only_so_many_words_a_day(shop: Payments) -> None:
    made = await owing(shop)
    for n in range(20):
        answer = await say(shop, made, "preferences", {"language": ("es", "pt")[n % 2], "channel": ""})
        assert answer.status_code == 303
    refused = await say(shop, made, "preferences", {"language": "es", "channel": ""})
    assert (refused.status_code, "amanhã" in problem(refused)) == (429, True)
    await shop.owner.execute("UPDATE business_clock SET ahead = ahead + interval '25 hours'")
    assert (await say(shop, made, "preferences", {"language": "es", "channel": ""})).status_code == 303


@pytest.mark.parametrize("action", [*WORDS])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://test"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://["},
    ],
)
async def test_another_site_cannot_speak_for_the_customer(shop: Payments, action: str, headers: dict[str, str]) -> None:
    made = await owing(shop)
    answer = await say(shop, made, action, headers=headers)
    assert (answer.status_code, "did not come from this page" in answer.text) == (403, True)
    assert await events(shop, made) == []


async def test_an_older_browser_speaks_by_its_origin(shop: Payments) -> None:
    for origin in ("http://test", "null"):
        made = await owing(shop)
        assert (await say(shop, made, "paid", headers={"Origin": origin})).status_code == 303


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"date1": "2100-03-20"}', "application/json"),
        (b"date1=a&date1=b", "application/x-www-form-urlencoded"),
        (b"date1=%00", "application/x-www-form-urlencoded"),
        (b"date1=%ff", "application/x-www-form-urlencoded"),
        (b"\xff=1", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % n for n in range(50)), "application/x-www-form-urlencoded"),
        (b"note=" + b"x" * 20_000, "application/x-www-form-urlencoded"),
    ],
)
async def test_what_no_form_of_ours_sends_changes_nothing(shop: Payments, content: bytes, kind: str) -> None:
    made = await owing(shop)
    headers = {**OURS, "Content-Type": kind}
    answer = await shop.http.post(f"/pay/{made.token}/promise", content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert await events(shop, made) == []


async def test_nothing_can_be_said_of_an_invoice_that_is_paid_or_not_there(shop: Payments) -> None:
    paid = await owing(shop)
    await shop.say(event("confirmed", "p1", "100.00", invoice_id=paid.ref))
    for action in ("paid", "promise", "dispute"):
        assert (await say(shop, paid, action)).headers["location"] == f"/pay/{paid.token}"
    assert await stops(shop, paid) == []
    missing = await shop.http.post("/pay/AAAAAAAAAAAAAAAAAAAAAA/paid", data={}, headers=OURS)
    assert (missing.status_code, "This link does not work" in missing.text) == (404, True)
    assert (await shop.http.get(f"/pay/{paid.token}/promise")).headers["location"] == f"/pay/{paid.token}"


async def test_every_answer_is_a_page(shop: Payments) -> None:
    made = await owing(shop)
    for answer in (
        await shop.http.post(f"/pay/{made.token}/forgive", data={"lang": "en"}, headers=OURS),
        await shop.http.get(f"/pay/{made.token}/forgive"),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "Invoice" in await page(shop, made, f"?lang={'x' * 500}&said={'y' * 500}")


async def test_the_answer_waits_for_what_is_leaving(shop: Payments) -> None:
    made = await owing(shop, reminders=1)
    await factories.attempt(shop.owner, made.reminders[0], made.contact_id)
    began = asyncio.get_running_loop().time()
    assert (await say(shop, made, "paid")).status_code == 303
    assert asyncio.get_running_loop().time() - began >= 0.35  # the window of these tests is 0.4 s


async def test_a_payment_ends_what_the_customer_said_of_it(shop: Payments) -> None:
    made = await owing(shop)
    await say(shop, made, "paid")
    await shop.say(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    assert await shop.owner.fetchval("SELECT count(*) FROM hold WHERE released_at IS NULL") == 0


# --- the link


async def test_a_link_is_renewed_revoked_and_expires(shop: Payments) -> None:
    made = await owing(shop)
    path = f"/v1/pay-links/{made.ref}"
    assert await shop.get(path) == {"invoice_id": made.ref, "path": f"/pay/{made.token}", "expires_at": None}

    until = (NOW + timedelta(days=3)).isoformat()
    fresh = (await shop.http.post(path, json={"expires_at": until}, headers=BEARER)).json()
    assert (await shop.http.get(f"/pay/{made.token}")).status_code == 404
    assert (await shop.http.get(fresh["path"])).status_code == 200
    await shop.owner.execute("UPDATE business_clock SET ahead = ahead + interval '4 days'")
    assert (await shop.http.get(fresh["path"])).status_code == 404
    assert (await shop.http.post(f"{fresh['path']}/paid", data={}, headers=OURS)).status_code == 404

    again = (await shop.http.post(path, json={}, headers=BEARER)).json()
    assert (await shop.http.get(again["path"])).status_code == 200
    assert (await shop.http.delete(path, headers=BEARER)).status_code == 204
    assert (await shop.http.get(again["path"])).status_code == 404
    assert await events(shop, made) == ["invoice.link_renewed"] * 3
    assert made.token not in str(await shop.owner.fetch("SELECT data FROM event"))


async def test_a_link_lives_on_for_a_while_after_the_payment(shop: Payments) -> None:
    made = await owing(shop)
    await shop.say(event("confirmed", "p1", "100.00", invoice_id=made.ref))
    await shop.owner.execute("UPDATE business_clock SET ahead = ahead + interval '89 days'")
    await page(shop, made)
    await shop.owner.execute("UPDATE business_clock SET ahead = ahead + interval '2 days'")
    assert (await shop.http.get(f"/pay/{made.token}")).status_code == 404


async def test_a_link_is_renewed_once_for_one_idempotency_key(shop: Payments) -> None:
    path, once = f"/v1/pay-links/{(await owing(shop)).ref}", {**BEARER, "Idempotency-Key": "renew"}
    first, again = [await shop.http.post(path, json={}, headers=once) for _ in range(2)]
    assert first.json() == again.json()
    assert (await shop.http.get(path, headers=BEARER)).json() == first.json()
    other = await shop.http.post(path, json={"expires_at": "2099-01-01T00:00:00Z"}, headers=once)
    assert other.status_code == 422


@pytest.mark.parametrize("body", [{"expires_at": "2001-01-01T00:00:00Z"}, {"expires_at": "soon"}, {"until": None}])
async def test_a_link_that_cannot_be_is_refused(shop: Payments, body: dict[str, Any]) -> None:
    made = await owing(shop)
    assert (await shop.http.post(f"/v1/pay-links/{made.ref}", json=body, headers=BEARER)).status_code == 422
    assert (await shop.http.post("/v1/pay-links/nobody", json={}, headers=BEARER)).status_code == 404
    assert (await shop.http.get(f"/v1/pay-links/{made.ref}")).status_code == 401
    await page(shop, made)


async def test_no_log_line_holds_a_link(shop: Payments, capsys: pytest.CaptureFixture[str]) -> None:
    made = await owing(shop)
    await page(shop, made)
    await say(shop, made, "paid")
    await shop.http.post(f"/v1/pay-links/{made.ref}", json={}, headers=BEARER)
    logged = capsys.readouterr().out
    assert "/pay/{token}/{action}" in logged
    assert made.token not in logged


# --- what it shows


async def test_the_code_says_what_the_transfer_data_say(shop: Payments) -> None:
    iban = {"iban": "DE02120300000000202051", "bic": "BYLADEM1001"}
    made = await owing(shop, creditor_columns=iban, payment_reference="RF18539007547034")
    text = await page(shop, made)
    assert 'role="img" aria-label="QR code with the transfer data"' in text
    assert "<svg" in text


@pytest.mark.parametrize(
    ("creditor", "invoice"), [({"iban": None}, {}), ({"iban": "DE02120300000000202051"}, {"currency": "USD"})]
)
async def test_there_is_no_code_where_none_applies(
    shop: Payments, creditor: dict[str, Any], invoice: dict[str, Any]
) -> None:
    assert "<svg" not in await page(shop, await owing(shop, creditor_columns=creditor, **invoice))


async def test_every_address_has_its_way_out(shop: Payments) -> None:
    made = await owing(shop)
    token = await shop.owner.fetchval("SELECT token FROM contact_point WHERE customer_id = $1", made.customer_id)
    assert f'href="/u/{token}"' in await page(shop, made)
    sql = "INSERT INTO suppression (contact_point_id, channel, reason) VALUES ($1, 'email', 'opted_out')"
    await shop.owner.execute(sql, made.contact_id)
    assert "We no longer write to j***@example.com" in await page(shop, made)


def test_all_languages_say_the_same_things() -> None:
    said = {language: yaml.safe_load((PAGES / f"{language}.yaml").read_text("utf-8")) for language in LANGUAGES}
    fields = {
        language: {key: sorted(re.findall(r"{(\w+)}", text)) for key, text in words.items()}
        for language, words in said.items()
    }
    assert fields["es"] == fields["en"]
    assert fields["pt"] == fields["en"]
    needed = {f"standing_{kind}" for kind in HoldKind} | {f"wrong_promise_{fault}" for fault in Fault}
    assert needed | {f"reason_{reason}" for reason in Grievance} <= fields["en"].keys()
