"""The customer's page: what it shows, in which language, and what it never does."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from shared.kernel.ids import new_token
from tests import factories
from tests.factories import TODAY
from tests.integration.payments_running import Payments, event, payments_running

NOW = datetime(2100, 3, 10, 12, tzinfo=UTC)  # the clock cannot go back, so the test's day lies far ahead
IBAN = {"iban": "DE02120300000000202051", "bic": "BYLADEM1001"}


@pytest.fixture
async def shop(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path) as running:
        await running.owner.execute("UPDATE business_clock SET ahead = $1::timestamptz - clock_timestamp()", NOW)
        yield running


async def page(shop: Payments, token: str, language: str | None = None, status: int = 200) -> str:
    headers = {"Accept-Language": language} if language else {}
    answer = await shop.http.get(f"/pay/{token}", headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    guarded(answer)
    return answer.text


def guarded(answer: httpx.Response) -> None:
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert "form-action 'self'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "noindex" in answer.headers["x-robots-tag"]
    assert "<script" not in answer.text
    assert "onclick" not in answer.text


async def test_it_shows_what_is_owed_since_when_and_how_to_pay(shop: Payments) -> None:
    made = await factories.invoice(
        shop.owner,
        ("60.00", "60.00"),
        due_dates=(date(2100, 3, 1), date(2100, 4, 1)),
        creditor_columns=IBAN,
        payment_url="https://pay.example.com/x?a=1&b=2",
        payment_reference="RF18539007547034",
    )
    await shop.say(event("confirmed", "p1", "20.00", invoice_id=made.ref))
    text = await page(shop, made.token)
    for shown in (
        "€100.00",
        "of €120.00 in all",
        ">1 of 2</th>",
        ">€40.00</td>",
        "What has arrived",
        "€20.00",
        "due since March 1, 2100",
        "due on Apr 1, 2100",
        "DE02 1203 0000 0000 2020 51",
        "BYLADEM1001",
        "RF18539007547034",
        'href="https://pay.example.com/x?a=1&amp;b=2"',
    ):
        assert shown in text
    assert "/document" not in text
    assert "&lt;built-in" not in text


@pytest.mark.parametrize(
    ("locale", "owed", "since"),
    [
        ("es-CO", "Por pagar", "vencida desde el 1 de marzo de 2100"),
        ("pt-BR", "A pagar", "vencida desde 1 de março de 2100"),
        ("en-GB", "To pay", "due since 1 March 2100"),
        ("de-DE", "To pay", "due since March 1, 2100"),
    ],
)
async def test_it_speaks_the_customers_language(shop: Payments, locale: str, owed: str, since: str) -> None:
    made = await factories.invoice(
        shop.owner, due_dates=(date(2100, 3, 1),), customer_columns={"locale": locale}, creditor_columns={"iban": None}
    )
    text = await page(shop, made.token)
    assert owed in text
    assert since in text
    assert "IBAN" not in text


@pytest.mark.parametrize(("zone", "words"), [("Pacific/Kiritimati", "due since"), ("Pacific/Pago_Pago", "due today")])
async def test_today_is_the_customers_own_day(shop: Payments, zone: str, words: str) -> None:
    made = await factories.invoice(shop.owner, due_dates=(date(2100, 3, 10),), customer_columns={"timezone": zone})
    assert words in await page(shop, made.token)


async def test_paid_void_and_written_off_invoices_ask_for_nothing(shop: Payments) -> None:
    paid = await factories.invoice(shop.owner, payment_url="https://pay.example.com/")
    await shop.say(event("confirmed", "p1", "100.00", invoice_id=paid.ref))
    text = await page(shop, paid.token)
    assert "All paid. Thank you!" in text
    assert "pay.example.com" not in text
    for closed_as, words in (("void", "was cancelled by Acme Ltd"), ("uncollectible", "can no longer be paid here")):
        made = await factories.invoice(shop.owner, payment_url="https://pay.example.com/")
        await shop.owner.execute(
            "UPDATE invoice SET closed_as = $2, closed_at = business_now() WHERE id = $1", made.id, closed_as
        )
        text = await page(shop, made.token)
        assert words in text
        assert "pay.example.com" not in text


@pytest.mark.parametrize("token", ["x", "~", "A" * 22, "A" * 23, "a b", "é"])
async def test_a_link_that_does_not_work_is_a_friendly_page(shop: Payments, token: str) -> None:
    assert "This link does not work" in await page(shop, token, status=404)
    assert "Este enlace no funciona" in await page(shop, token, "es-MX,en;q=0.8", 404)
    answer = await shop.http.get(f"/pay/{token}/document")
    assert answer.status_code == 404
    guarded(answer)


async def test_a_revoked_token_does_not_work(shop: Payments) -> None:
    made = await factories.invoice(shop.owner)
    await page(shop, made.token)
    await shop.owner.execute("UPDATE invoice SET token = $2 WHERE id = $1", made.id, new_token())
    await page(shop, made.token, status=404)


async def test_names_are_text_and_only_web_addresses_are_links(shop: Payments) -> None:
    made = await factories.invoice(
        shop.owner,
        number="<script>alert(1)</script>{{7*7}}",
        payment_url="javascript:alert(1)",
        customer_columns={"name": '"><img src=x onerror=alert(1)>{number}'},
        creditor_columns={"name": "<b>Acme</b>", "logo_url": "javascript:alert(2)"},
    )
    text = await page(shop, made.token)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in text
    assert "javascript:" not in text
    assert "<img" not in text
    assert "<b>" not in text


async def test_an_address_that_no_browser_could_read_is_left_out(shop: Payments) -> None:
    made = await factories.invoice(
        shop.owner, payment_url="https://[", creditor_columns={"logo_url": "https://\u2100.example/"}
    )
    text = await page(shop, made.token)
    assert "https://[" not in text
    assert "\u2100" not in text


async def test_the_document_is_downloaded_as_it_was_given(shop: Payments) -> None:
    content = b"%PDF-1.7 " + bytes(range(256)) * 4000
    key = await shop.documents.put(content)
    made = await factories.invoice(
        shop.owner, document_key=key, document_name='Rechnung "März".pdf', document_type="application/pdf"
    )
    assert f'href="/pay/{made.token}/document"' in await page(shop, made.token)
    answer = await shop.http.get(f"/pay/{made.token}/document")
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


async def test_a_missing_document_is_a_friendly_page(shop: Payments) -> None:
    without = await factories.invoice(shop.owner, customer_columns={"locale": "pt"})
    answer = await shop.http.get(f"/pay/{without.token}/document")
    assert (answer.status_code, "Não há documento aqui" in answer.text) == (404, True)
    lost = await factories.invoice(shop.owner, document_key="0" * 64, document_name="x.pdf")
    assert (await shop.http.get(f"/pay/{lost.token}/document")).status_code == 404


async def test_looking_changes_nothing(shop: Payments) -> None:
    made = await factories.invoice(shop.owner, reminders=1, due_dates=(TODAY + timedelta(days=200),))
    sql = "SELECT (SELECT max(xmin::text::bigint) FROM invoice), (SELECT count(*) FROM event)"
    before = await shop.owner.fetchrow(sql)
    for _ in range(3):
        await page(shop, made.token)
    assert await shop.owner.fetchrow(sql) == before
    assert (await shop.http.post(f"/pay/{made.token}")).status_code == 405


async def test_while_the_database_is_away_the_customer_gets_a_page(shop: Payments) -> None:
    made = await factories.invoice(shop.owner)
    async with shop.owner.transaction():
        await shop.owner.execute("LOCK TABLE invoice")
        assert "Please try again" in await page(shop, made.token, status=503)


async def test_notices_on_this_device_are_offered_while_some_dispatcher_can_send_them(shop: Payments) -> None:
    made = await factories.invoice(shop.owner)
    link = f'href="/push/{made.token}"'
    assert link not in await page(shop, made.token)
    await shop.owner.execute("INSERT INTO channel (name, reaches) VALUES ('push', 'push')")
    await shop.owner.execute("INSERT INTO provider (channel, name, own_price) VALUES ('push', 'fcm_web', 0)")
    assert link not in await page(shop, made.token)
    await shop.owner.execute("UPDATE provider SET browsers = true")
    assert link in await page(shop, made.token)
    await shop.owner.execute("UPDATE provider SET seen_at = clock_timestamp() - interval '1 hour'")
    assert link not in await page(shop, made.token)
