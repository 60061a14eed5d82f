"""The webhook's door: who gets in, what is refused and how, and what two at once do."""

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from shared.db.engine import Database
from shared.ledger import plan, send
from shared.ledger.money import match_waiting
from tests import factories
from tests.integration.payments_running import BEARER, Payments, event, headers, new_secret, payments_running

WINDOW = 0.5


@pytest.fixture
async def bank(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path, window=WINDOW) as running:
        yield running


GOOD = event("confirmed", "p1", "10.00", invoice_id="X")


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    members: dict[str, Any] = answer.json()
    return members


async def test_a_wrong_signature_an_unknown_source_and_an_old_one_are_the_same_401(bank: Payments) -> None:
    raw = orjson.dumps(GOOD)
    now = datetime.now(UTC)
    right = headers(bank.secret, raw, "e1")
    tries = [
        ("bank", {}, raw),
        ("bank", headers(new_secret(), raw, "e1"), raw),
        ("bank", headers(bank.secret, raw, "e1", now - timedelta(minutes=6)), raw),
        ("bank", headers(bank.secret, raw, "e1", now + timedelta(minutes=6)), raw),
        ("bank", {**right, "webhook-id": "e2"}, raw),
        ("bank", {**right, "webhook-signature": "v1"}, raw),
        ("bank", {**right, "webhook-timestamp": "soon"}, raw),
        ("bank", right, raw.replace(b"10.00", b"90.00")),
        ("nobody", right, raw),
        ("api", right, raw),
        ("n%20o", right, raw),
    ]
    details = set()
    for source, given, body in tries:
        answer = await bank.http.post(f"/v1/webhooks/{source}", content=body, headers=given)
        details.add(problem(answer, 401)["detail"])
    assert len(details) == 1
    assert await bank.counts() == (0, 0)


BAD = {
    "not json": (b"{", 400),
    "nothing": (b"", 400),
    "twice the same key": (b'{"type": "payment.confirmed", "type": "payment.reversed"}', 400),
    "too deep": (b"[" * 100, 400),
    "NaN": (orjson.dumps(GOOD).replace(b'"10.00"', b"NaN"), 400),
    "a number as amount": (orjson.dumps(GOOD).replace(b'"10.00"', b"10.00"), 422),
    "not an object": (b"[]", 422),
    "unknown type": (orjson.dumps({**GOOD, "type": "payment.wished"}), 422),
    "unknown field": (orjson.dumps({**GOOD, "extra": 1}), 422),
    "no data": (b'{"type": "payment.confirmed"}', 422),
    "no amount": (orjson.dumps(event("confirmed", "p1")), 422),
    "negative": (orjson.dumps(event("confirmed", "p1", "-1.00")), 422),
    "zero": (orjson.dumps(event("confirmed", "p1", "0.00")), 422),
    "too precise": (orjson.dumps(event("confirmed", "p1", "1.001")), 422),
    "yen with sen": (orjson.dumps(event("confirmed", "p1", "1.50", currency="JPY")), 422),
    "no such currency": (orjson.dumps(event("confirmed", "p1", "1.00", currency="EUX")), 422),
    "odd payment id": (orjson.dumps(event("confirmed", "p/1", "1.00")), 422),
    "time without zone": (orjson.dumps(event("confirmed", "p1", "1.00", paid_at="2026-11-22T10:00:00")), 422),
    "installment 0": (orjson.dumps(event("confirmed", "p1", "1.00", installment=0)), 422),
    "NUL": (orjson.dumps(event("confirmed", "p1", "1.00", reference="a\0b")), 400),
}


@pytest.mark.parametrize(("body", "status"), BAD.values(), ids=BAD)
async def test_a_rightly_signed_but_wrong_body_is_refused_and_nothing_is_stored(
    bank: Payments, body: bytes, status: int
) -> None:
    members = problem(await bank.say(body), status)
    assert members["detail"]
    if status == 422:
        assert members["errors"][0]["detail"]
    assert await bank.counts() == (0, 0)


async def test_a_signed_body_that_is_not_utf8_is_a_400(bank: Payments) -> None:
    raw = b"\xff\xfe"
    signed = headers(bank.secret, b"x", "e1")
    key = base64.b64decode(bank.secret.removeprefix("whsec_"))
    said = b".".join((b"e1", signed["webhook-timestamp"].encode(), raw))
    signed["webhook-signature"] = "v1," + base64.b64encode(hmac.digest(key, said, "sha256")).decode()
    assert "UTF-8" in problem(await bank.http.post("/v1/webhooks/bank", content=raw, headers=signed), 400)["detail"]


async def test_a_body_over_256_kib_is_a_413(bank: Payments) -> None:
    problem(await bank.say(b"x" * (256 * 1024 + 1)), 413)


async def test_the_place_of_a_fault_is_pointed_at(bank: Payments) -> None:
    members = problem(await bank.say(event("confirmed", "p1", "1.001")), 422)
    assert members["errors"] == [{"pointer": "/data/amount", "detail": members["errors"][0]["detail"]}]


async def test_both_secrets_work_while_they_rotate_and_the_old_one_stops(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    fresh = new_secret()

    async def put(*secrets: str) -> None:
        settings = {"kind": "standard_webhook", "secrets": list(secrets)}
        assert (await bank.http.put("/v1/sources/bank", json=settings, headers=BEARER)).status_code == 200

    await put(bank.secret, fresh)
    assert (await bank.say(event("confirmed", "p1", "1.00", invoice_id=made.ref))).status_code == 200
    assert (await bank.say(event("confirmed", "p2", "1.00", invoice_id=made.ref), secret=fresh)).status_code == 200
    await put(fresh)
    problem(await bank.say(event("confirmed", "p3", "1.00", invoice_id=made.ref)), 401)
    assert (await bank.say(event("confirmed", "p4", "1.00", invoice_id=made.ref), secret=fresh)).status_code == 200


async def test_the_same_event_again_is_a_200_without_effect(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    said = event("confirmed", "p1", "40.00", invoice_id=made.ref)
    first = await bank.say(said, event_id="e1")
    again = await bank.say(said, event_id="e1")
    assert [(a.status_code, a.json()["repeated"]) for a in (first, again)] == [(200, False), (200, True)]
    assert await bank.open_amounts(made.id) == [Decimal(60)]
    assert await bank.counts() == (1, 1)


async def test_twenty_identical_webhooks_at_once_are_one_payment_and_all_200(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, reminders=3)
    said = event("confirmed", "p1", "100.00", invoice_id=made.ref)
    answers = await asyncio.gather(*(bank.say(said, event_id="e1") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(not answer.json()["repeated"] for answer in answers) == 1
    assert await bank.counts() == (1, 1)
    assert await bank.open_amounts(made.id) == [Decimal(0)]


async def test_different_events_of_one_payment_at_once_lose_nothing(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    said = [event("confirmed", "p1", "100.00", invoice_id=made.ref)]
    said += [event("reversed", "p1", "5.00") for _ in range(8)]
    answers = await asyncio.gather(*(bank.say(each) for each in said))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert await bank.open_amounts(made.id) == [Decimal(40)]


async def test_while_an_attempt_may_still_hand_off_the_answer_waits_and_so_does_its_repetition(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, reminders=1)
    await factories.attempt(bank.owner, made.reminders[0], made.contact_id)
    started = time.monotonic()
    said = event("confirmed", "p1", "100.00", invoice_id=made.ref)
    both = await asyncio.gather(bank.say(said, event_id="e1"), bank.say(said, event_id="e1"))
    assert {answer.status_code for answer in both} == {200}
    assert time.monotonic() - started >= WINDOW - 0.05
    started = time.monotonic()
    await bank.say(said, event_id="e1")
    assert time.monotonic() - started < WINDOW  # the attempt is past its window by now


async def test_a_payment_before_its_invoice_is_kept_and_the_invoice_is_born_paid(bank: Payments) -> None:
    answer = await bank.say(event("confirmed", "p1", "100.00", invoice_id="LATE-1"))
    assert (answer.status_code, answer.json()["reason"]) == (202, "unknown_invoice")
    made = await factories.invoice(bank.owner, reminders=1, ref="LATE-1")
    assert await match_waiting(bank.owner, [made.id]) == [made.id, made.id]
    assert await bank.open_amounts(made.id) == [Decimal(0)]
    assert await bank.reminders(made.id) == [("step-0", "cancelled", "paid")]


async def test_a_webhook_and_its_invoice_at_the_same_time_always_find_each_other(
    bank: Payments, database_dsn: str
) -> None:
    """The invoice's side does as the scheduler does: commit, then look for payments in a second transaction."""
    scheduler = Database(database_dsn, pool_size=4)

    async def create(ref: str) -> int:
        async with scheduler.transaction() as tx:
            made = await factories.invoice(tx, reminders=1, ref=ref)
        async with scheduler.connection() as connection:
            await match_waiting(connection, [made.id])
        return made.id

    try:
        for turn in range(25):
            ref = f"RACE-{turn}"
            said = event("confirmed", f"pay-{turn}", "100.00", invoice_id=ref)
            (answer, made) = await asyncio.gather(bank.say(said), create(ref))
            assert answer.status_code in (200, 202)
            assert await bank.open_amounts(made) == [Decimal(0)], turn
            assert await bank.reminders(made) == [("step-0", "cancelled", "paid")]
    finally:
        await scheduler.close()


async def waiting_for_a_lock(owner: asyncpg.Connection) -> None:
    async with asyncio.timeout(5):
        while not await owner.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.01)


async def test_a_payment_and_a_record_that_plans_the_next_reminder_do_not_deadlock(
    bank: Payments, database_dsn: str
) -> None:
    """The payment holds the invoice and waits for the reminder; the other holds the reminder and wants the invoice's key.

    With FOR UPDATE instead of FOR NO KEY UPDATE this is a deadlock."""
    made = await factories.invoice(bank.owner, reminders=2)
    await factories.attempt(bank.owner, made.reminders[0], made.contact_id)
    dispatcher = Database(database_dsn, pool_size=1)
    try:
        async with dispatcher.transaction() as tx:
            recorded = [send.Recorded(made.reminders[0], 1, "notsent")]
            await send.record(tx, recorded, missed_limit=3, deferred_limit=3, broken_limit=3)
            await tx.execute("SELECT FROM reminder WHERE id = $1 FOR UPDATE", made.reminders[1])
            paying = asyncio.create_task(bank.say(event("confirmed", "p1", "100.00", invoice_id=made.ref)))
            await waiting_for_a_lock(bank.owner)
            async with asyncio.timeout(1):
                await factories.reminder(tx, made.id, made.installments[0], "next")
        assert (await paying).status_code == 200
    finally:
        await dispatcher.close()
    assert (await bank.invoice(made.id))["settled_at"] is not None
    states = {step: state for step, state, _ in await bank.reminders(made.id)}
    assert states == {"step-0": "pending", "step-1": "cancelled", "next": "pending"}  # the claim will cancel the rest


async def test_a_payment_waits_for_a_claim_and_a_plan_waits_for_a_payment(bank: Payments, database_dsn: str) -> None:
    made = await factories.invoice(bank.owner, reminders=1)
    scheduler = Database(database_dsn, pool_size=1)
    try:
        async with scheduler.transaction() as tx:
            await plan.lock_invoices(tx, [made.id])
            paying = asyncio.create_task(bank.say(event("confirmed", "p1", "100.00", invoice_id=made.ref)))
            await waiting_for_a_lock(bank.owner)
            assert not paying.done()
        assert (await paying).status_code == 200
    finally:
        await scheduler.close()


async def test_a_locked_table_is_a_503_within_5_seconds_and_the_next_try_counts(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    said = event("confirmed", "p1", "100.00", invoice_id=made.ref)
    async with bank.owner.transaction():
        await bank.owner.execute("LOCK TABLE invoice")
        started = time.monotonic()
        answers = await asyncio.gather(*(bank.say(said, event_id="e1") for _ in range(8)))  # more than the pool holds
        assert time.monotonic() - started < 5
        for answer in answers:
            problem(answer, 503)
            assert answer.headers["retry-after"]
    assert await bank.counts() == (0, 0)
    assert (await bank.say(said, event_id="e1")).status_code == 200
    assert await bank.open_amounts(made.id) == [Decimal(0)]


async def test_connections_that_the_server_closed_cost_no_payment(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    await bank.say(event("confirmed", "p0", "1.00", invoice_id=made.ref))
    await bank.owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with asyncio.timeout(10):
        while (answer := await bank.say(event("confirmed", "p1", "9.00", invoice_id=made.ref), event_id="e1")) and (
            answer.status_code != 200
        ):
            problem(answer, 503)
    assert await bank.open_amounts(made.id) == [Decimal(90)]
