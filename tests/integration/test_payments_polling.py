"""Polled sources: asked ahead of reminders and on demand, once per customer, and believed no further than they speak."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from prometheus_client import REGISTRY

from services.payments.adapters.http_poll import HttpAsker
from services.payments.api import sources
from services.payments.handlers.check_payments import PaymentCheck
from services.payments.handlers.poller import AT_ONCE, BREAKS_AFTER, Poller
from services.payments.store.polling import keep_payment_check
from services.payments.store.sources import delete_source
from shared.outgoing import LOOPBACK, Allowed, Guard, guarded_client
from tests import factories
from tests.doubles.erp_books import TOKEN, ErpBooks, erp_books
from tests.integration.ledger_database import connect
from tests.integration.payments_running import BEARER, Payments, event, payments_running

SOON = timedelta(minutes=3)


@pytest.fixture
async def books() -> AsyncIterator[ErpBooks]:
    async with erp_books() as answering:
        yield answering


@pytest.fixture
async def erp(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path) as running:
        yield running


@pytest.fixture
async def check(erp: Payments) -> AsyncIterator[PaymentCheck]:
    client = guarded_client(Guard(Allowed.parse(LOOPBACK)), timeout=30)
    yield PaymentCheck(erp.db, Poller(HttpAsker(client)), timedelta(seconds=0.2))
    await client.aclose()


async def put(erp: Payments, settings: dict[str, Any], name: str = "erp") -> httpx.Response:
    return await erp.http.put(f"/v1/sources/{name}", json=settings, headers=BEARER)


async def due_soon(erp: Payments, count: int = 1, customer: int | None = None) -> list[factories.Made]:
    """Invoices of one customer, each with a reminder that is due in a few minutes."""
    made = [await factories.invoice(erp.owner, reminders=1) for _ in range(count)]
    owner = customer or made[0].customer_id
    await erp.owner.execute("UPDATE invoice SET customer_id = $1 WHERE id = ANY ($2)", owner, [one.id for one in made])
    await erp.owner.execute("UPDATE reminder SET due_at = $1 WHERE state = 'pending'", datetime.now(UTC) + SOON)
    return made


async def refresh(erp: Payments, made: factories.Made) -> Any:
    answer = await erp.http.post(f"/v1/payment-status/{made.ref}/refresh", headers=BEARER)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def checked(erp: Payments) -> int:
    found: int = await erp.owner.fetchval("SELECT count(*) FROM installment WHERE checked_at IS NOT NULL")
    return found


async def test_a_refresh_asks_now_and_stops_what_that_settles(erp: Payments, books: ErpBooks) -> None:
    assert (await put(erp, books.settings())).status_code == 201
    (made,) = await due_soon(erp)
    books.open_amounts[made.ref] = "0.00"

    answer = await refresh(erp, made)

    assert (answer["status"], answer["open_amount"], answer["matched"]) == ("paid", "0.00", True)
    assert (answer["asked"], answer["unanswered"]) == (["erp"], {})
    assert await erp.reminders(made.id) == [("step-0", "cancelled", "paid")]
    assert books.strangers == 0


async def test_a_refresh_waits_for_what_was_claimed_before_it(erp: Payments, books: ErpBooks) -> None:
    await put(erp, books.settings())
    (made,) = await due_soon(erp)
    books.open_amounts[made.ref] = "0.00"
    await factories.attempt(erp.owner, made.reminders[0], made.contact_id)

    began = time.monotonic()
    await refresh(erp, made)

    assert time.monotonic() - began > 0.3, "the hand-off window of 0.4 s that had just begun"


async def test_a_partial_payment_that_the_erp_knows_lowers_what_is_open(erp: Payments, books: ErpBooks) -> None:
    await put(erp, books.settings())
    (made,) = await due_soon(erp)
    books.open_amounts[made.ref] = "30.00"
    assert (await refresh(erp, made))["open_amount"] == "30.00"
    await erp.say(event("confirmed", "p1", "70.00", invoice_id=made.ref))
    assert await erp.open_amounts(made.id) == [Decimal(30)], "the bank speaks of the same money"


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (500, None, "HTTP 500"),
        (302, None, "HTTP 302"),
        (404, None, "HTTP 404"),
        (200, b"<html>", "not JSON"),
        (200, b"{}", "another currency"),
        (200, b'{"balance": {"open": "much", "currency": "EUR"}}', "not an amount"),
        (200, b'{"balance": {"open": "0", "currency": "USD"}}', "another currency"),
        (200, b"[" * 100_000, "not JSON"),
        (200, b" " * 2_000_000, "no answer"),
    ],
)
async def test_an_answer_that_says_nothing_changes_nothing(
    erp: Payments, books: ErpBooks, status: int, body: bytes | None, why: str
) -> None:
    await put(erp, books.settings())
    (made,) = await due_soon(erp)
    books.status, books.body = status, body

    answer = await refresh(erp, made)

    assert (answer["asked"], answer["open_amount"]) == ([], "100.00")
    assert why in answer["unanswered"]["erp"]
    assert await checked(erp) == 0


async def test_a_refresh_of_nothing_is_404_and_without_a_source_says_so(erp: Payments) -> None:
    (made,) = await due_soon(erp)
    assert (await refresh(erp, made))["asked"] == []
    assert (await erp.http.post("/v1/payment-status/NONE/refresh", headers=BEARER)).status_code == 404


async def test_before_reminders_are_due_the_erp_is_asked_once_per_customer(
    erp: Payments, books: ErpBooks, check: PaymentCheck
) -> None:
    await put(erp, books.settings(batch=books.batch(missing="paid")))
    mine, others = await due_soon(erp, 40), await due_soon(erp, 3)
    books.open_amounts = {one.ref: "100.00" for one in mine[1:] + others}

    assert await check.ask_ahead() == 43

    assert len(books.asked) == 2
    assert await checked(erp) == 43
    assert await erp.open_amounts(mine[0].id) == [0], "it was not in the list any more"
    assert await check.ask_ahead() == 0, "what was checked is not asked again"


async def test_what_is_due_later_or_needs_no_check_is_not_asked(
    erp: Payments, books: ErpBooks, check: PaymentCheck
) -> None:
    await put(erp, books.settings())
    later, plain, _ = await due_soon(erp, 3)
    books.open_amounts = {"x": "1.00"}
    await erp.owner.execute("UPDATE reminder SET due_at = due_at + interval '1 hour' WHERE invoice_id = $1", later.id)
    await erp.owner.execute("UPDATE reminder SET requires_open = false WHERE invoice_id = $1", plain.id)
    assert await check.ask_ahead() == 1


async def test_without_a_polled_source_nobody_is_asked_and_nothing_is_looked_for(
    erp: Payments, books: ErpBooks, check: PaymentCheck
) -> None:
    await due_soon(erp)
    assert await check.ask_ahead() == 0
    await put(erp, books.settings(fresh_seconds=300))
    await put(erp, books.settings(), "second")
    assert await erp.owner.fetchval("SELECT fresh_for FROM payment_check") == timedelta(minutes=5)
    for name in ("erp", "second"):
        await erp.http.delete(f"/v1/sources/{name}", headers=BEARER)
    assert await erp.owner.fetchval("SELECT fresh_for FROM payment_check") is None
    assert await check.ask_ahead() == 0
    assert books.asked == []


async def test_what_the_source_answers_is_known_and_does_not_wait(
    erp: Payments, books: ErpBooks, check: PaymentCheck
) -> None:
    await put(erp, books.settings())
    (made,) = await due_soon(erp)
    await erp.owner.execute("UPDATE reminder SET due_at = now() - interval '1 second'")
    books.open_amounts = {made.ref: "100.00"}
    before = REGISTRY.get_sample_value("dunnock_payment_checks_total", {"result": "unknown"}) or 0

    assert await check.ask_ahead() == 1

    assert (REGISTRY.get_sample_value("dunnock_payment_checks_total", {"result": "unknown"}) or 0) == before
    assert await erp.owner.fetchval("SELECT due_at < now() FROM reminder WHERE state = 'pending'")


@pytest.mark.parametrize(("on_unknown", "waived"), [("hold", 0), ("send", 1)])
async def test_what_nobody_can_say_is_an_alarm_and_waived_only_where_that_is_wanted(
    erp: Payments, books: ErpBooks, check: PaymentCheck, on_unknown: str, waived: int
) -> None:
    await put(erp, books.settings(on_unknown=on_unknown))
    await due_soon(erp)
    await erp.owner.execute("UPDATE reminder SET due_at = now() - interval '1 second'")
    books.status = 503
    before = REGISTRY.get_sample_value("dunnock_payment_checks_total", {"result": "unknown"}) or 0

    await check.ask_ahead()

    assert REGISTRY.get_sample_value("dunnock_payment_checks_total", {"result": "unknown"}) == before + 1
    row = await erp.owner.fetchrow("SELECT count(checked_at), count(waived_at) FROM installment")
    assert row is not None
    assert tuple(row) == (0, waived)
    waits = await erp.owner.fetchval("SELECT max(due_at) - now() FROM reminder")
    assert (waits < timedelta(minutes=1)) if on_unknown == "send" else (waits > timedelta(minutes=9))


async def test_of_two_processes_one_asks_ahead(erp: Payments, books: ErpBooks, check: PaymentCheck) -> None:
    await put(erp, books.settings())
    (made,) = await due_soon(erp)
    books.open_amounts[made.ref] = "100.00"
    beside = PaymentCheck(erp.db, Poller(HttpAsker(httpx.AsyncClient())), timedelta(0))

    assert sorted(await asyncio.gather(check.ask_ahead(), beside.ask_ahead())) == [0, 1]
    assert len(books.asked) == 1


async def test_equal_questions_at_the_same_time_are_asked_once_and_remembered_a_while(
    erp: Payments, books: ErpBooks, check: PaymentCheck
) -> None:
    await put(erp, books.settings(cache_seconds=60))
    (made,) = await due_soon(erp)
    books.open_amounts[made.ref] = "100.00"
    books.slow = 0.2

    answers = await asyncio.gather(*(refresh(erp, made) for _ in range(10)))

    assert {one["asked"][0] for one in answers} == {"erp"}
    assert len(books.asked) == 1
    books.slow = 0.0
    await refresh(erp, made)
    assert len(books.asked) == 2, "a refresh asks anew"


async def test_a_source_gets_no_more_questions_than_it_bears(
    erp: Payments, books: ErpBooks, check: PaymentCheck
) -> None:
    await put(erp, books.settings(per_second=20))
    made = await due_soon(erp, 12)
    books.open_amounts = {one.ref: "100.00" for one in made}
    books.slow = 0.05

    began = time.monotonic()
    await check.ask_ahead()

    assert time.monotonic() - began > 11 / 20
    assert len(books.asked) == 12
    assert books.most_open <= AT_ONCE


async def test_a_source_that_fails_again_and_again_is_left_alone(
    erp: Payments, books: ErpBooks, check: PaymentCheck
) -> None:
    await put(erp, books.settings())
    await due_soon(erp, BREAKS_AFTER + 20)
    books.status = 500

    await check.ask_ahead()
    asked = len(books.asked)
    await check.ask_ahead()

    assert BREAKS_AFTER <= asked < BREAKS_AFTER + AT_ONCE
    assert len(books.asked) == asked


async def test_headers_are_secrets_and_targets_are_guarded(erp: Payments, books: ErpBooks) -> None:
    made = await put(erp, books.settings())
    assert TOKEN not in made.text
    assert "headers" not in made.json()["settings"]
    assert made.json()["secrets"] == 1
    assert TOKEN not in (await erp.http.get("/v1/sources", headers=BEARER)).text

    url, of_batch = books.settings()["url"] + "?key=top-secret&of={customer_id}", books.batch()
    mark = "&" if "?" in of_batch["url"] else "?"
    asked = await put(
        erp, books.settings(url=url, batch=of_batch | {"url": f"{of_batch['url']}{mark}token=top-secret"})
    )
    assert asked.json()["secrets"] == 3
    for shown in (asked.text, (await erp.http.get("/v1/sources", headers=BEARER)).text):
        assert "top-secret" not in shown
        assert "key=***&of={customer_id}" in shown
    assert (await put(erp, asked.json()["settings"] | {"kind": "http_poll"})).status_code == 422, "a mask is no secret"

    refused = await put(erp, books.settings(url="https://169.254.169.254/latest/{invoice_id}"))
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/url"
    batch = books.batch(url="https://10.0.0.1/{customer_id}")
    assert (await put(erp, books.settings(batch=batch))).json()["errors"][0]["pointer"] == "/batch/url"


async def test_when_money_goes_back_the_source_that_called_it_paid_is_asked_again(
    erp: Payments, books: ErpBooks, check: PaymentCheck
) -> None:
    """It said so when the money was there; nothing else would ever ask it again, for what is paid has no reminder."""
    await put(erp, books.settings())
    (made,) = await due_soon(erp)
    await erp.say(event("confirmed", "p-1", "100.00", invoice_id=made.ref))
    books.open_amounts[made.ref] = "0.00"
    await refresh(erp, made)
    assert await check.ask_ahead() == 0
    await erp.say(event("reversed", "p-1", "100.00"))
    books.status = 500
    assert [await check.ask_ahead() for _ in range(3)] == [1, 0, 0]  # in vain, and not at once again
    books.status, books.open_amounts[made.ref] = 200, "100.00"
    check._lately.clear()
    days = "now() - $1::interval"  # of silence
    await erp.owner.execute(f"UPDATE payment_event SET received_at = {days} WHERE kind = 'reversed'", timedelta(days=6))
    await erp.owner.execute(f"UPDATE installment SET checked_at = {days}", timedelta(days=7))
    assert [await check.ask_ahead() for _ in range(3)] == [1, 0, 0]
    assert await erp.open_amounts(made.id) == [Decimal(100)]
    assert (await erp.invoice(made.id))["replan_at"] is not None


async def test_a_source_that_cannot_be_deleted_wholly_stays(
    erp: Payments, books: ErpBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else reminders would wait for the answers of a source that is no more."""

    async def broken(_: asyncpg.Connection) -> None:
        raise asyncpg.ConnectionDoesNotExistError

    await put(erp, books.settings())
    monkeypatch.setattr(sources, "keep_payment_check", broken)
    assert (await erp.http.delete("/v1/sources/erp", headers=BEARER)).status_code == 503
    assert (await erp.http.get("/v1/sources/erp", headers=BEARER)).status_code == 200


async def test_two_sources_that_are_deleted_at_once_leave_no_wish_for_answers(
    database_dsn: str, erp: Payments, books: ErpBooks
) -> None:
    for name in ("one", "two"):
        await put(erp, books.settings(), name)
    first, second = [await connect(database_dsn) for _ in range(2)]

    async def delete(db: asyncpg.Connection, name: str) -> None:
        async with db.transaction():
            await delete_source(db, name)
            await keep_payment_check(db)

    async with first.transaction():
        await delete(first, "one")
        other = asyncio.create_task(delete(second, "two"))
        async with asyncio.timeout(60):
            while not await erp.owner.fetchval("SELECT pg_blocking_pids($1) <> '{}'", second.get_server_pid()):
                await asyncio.sleep(0.01)
    await other
    assert await erp.owner.fetchval("SELECT fresh_for FROM payment_check") is None
    await first.close()
    await second.close()
