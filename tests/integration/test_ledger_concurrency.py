"""The ledger under real connections at the same time: what locks must decide, they decide, and never by a deadlock."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from shared.kernel.caps import Caps
from shared.ledger.due import nobody_knows, queue_due, sweep_leases
from shared.ledger.money import PaymentRecorded, PaymentSaid, match_by_name, match_waiting, record_payment
from shared.ledger.send import Claim, Receipt, Recorded, Wanted, claim, receive, record, request_replan
from tests import factories
from tests.integration.ledger_database import connect
from tests.integration.ledger_plan import plan
from tests.integration.ledger_workers import look

PAID_AND_STOPPED = """
SELECT n.open_amount = 0 AND r.state = 'cancelled' FROM installment n JOIN reminder r ON r.installment_id = n.id WHERE n.invoice_id = $1
"""
Connect = Callable[[], Awaitable[asyncpg.Connection]]
NOW = datetime.now(UTC)
WINDOW, CONNECT_TIMEOUT = 0.25, 0.05
LEASE = timedelta(minutes=1)
OUTCOMES = ["accepted", "rejected", "unknown", *["notsent"] * 9]  # mostly to be sent again


@pytest.fixture
async def connected(database_dsn: str) -> AsyncIterator[Connect]:
    """Makes connections that are closed at the end."""
    made: list[asyncpg.Connection] = []

    async def one() -> asyncpg.Connection:
        made.append(await connect(database_dsn))
        return made[-1]

    yield one
    for connection in made:
        await connection.close()


async def many_invoices(db: asyncpg.Connection, invoices: int, reminders: int, state: str) -> None:
    """Copies of one invoice, each with so many reminders that are due."""
    made = await factories.invoice(db)
    await db.execute(
        """
        WITH more AS (
          INSERT INTO invoice (ref, number, creditor_id, customer_id, flow_version_id, issue_date, currency, payment_reference,
                               content_hash)
          SELECT 'many-' || n, 'No ' || n, i.creditor_id, i.customer_id, i.flow_version_id, i.issue_date, 'EUR', 'RF-many-' || n, ''
            FROM invoice i, generate_series(1, $2) n WHERE i.id = $1 RETURNING id, flow_version_id
        ), part AS (
          INSERT INTO installment (invoice_id, no, due_date, amount)
          SELECT id, 1, current_date, 100 FROM more RETURNING id, invoice_id
        )
        INSERT INTO reminder (invoice_id, installment_id, flow_version_id, generation, step, anchor, anchor_date, state, queued_at,
                              due_at, send_until)
        SELECT m.id, p.id, m.flow_version_id, 0, 'step-' || n, 'due', current_date, $4, now(),
               now() - interval '1 h', now() + interval '1 day'
          FROM more m JOIN part p ON p.invoice_id = m.id, generate_series(1, $3) n
        """,
        made.id,
        invoices,
        reminders,
        state,
    )


def said(ref: str, payment: str, source: int) -> PaymentSaid:
    return PaymentSaid(source, payment, "confirmed", "1", Decimal(100), "EUR", ref, None, None, None, None, None)


async def test_two_schedulers_queue_each_row_once(connected: Connect) -> None:
    first, second = await connected(), await connected()
    await many_invoices(first, 1000, 5, "pending")
    queued: Counter[int] = Counter()

    async def schedule(db: asyncpg.Connection) -> int:
        rounds = 0
        while await db.fetchval("SELECT EXISTS (SELECT FROM reminder WHERE state = 'pending')"):
            queued.update(row.id for row in await queue_due(db, limit=300, max_queued=10_000))
            rounds += 1
        return rounds

    rounds = await asyncio.gather(schedule(first), schedule(second))
    assert (len(queued), max(queued.values())) == (5000, 1)
    assert min(rounds) > 1, "both took part"


async def test_two_dispatchers_claim_each_reminder_once(connected: Connect) -> None:
    first, second = await connected(), await connected()
    await many_invoices(first, 100, 2, "queued")
    ids = [row["id"] for row in await first.fetch("SELECT id FROM reminder ORDER BY id")]
    wanted = {wanted.reminder_id: wanted for wanted in await look(first, ids)}

    async def work(db: asyncpg.Connection, name: str, order: list[int]) -> list[Claim]:
        batches = [order[at : at + 20] for at in range(0, len(order), 20)]
        found = [await claim(db, [wanted[i] for i in ids], worker=name, lease=LEASE, caps=Caps()) for ids in batches]
        return [each for batch in found for each in batch]

    one, two = await asyncio.gather(
        work(first, "one", ids), work(second, "two", random.Random(1).sample(ids, len(ids)))
    )
    claimed = Counter(each.reminder_id for each in one + two if each.verdict == "claimed")
    assert (len(claimed), max(claimed.values())) == (200, 1)
    assert {bool(one), bool(two)} == {True}


async def test_no_hand_off_begins_after_a_payment_was_acknowledged(connected: Connect) -> None:
    """Sixty races of a claim against a payment, at every distance; the gate and the barrier are real time."""
    owner = await connected()
    source = await factories.source(owner)
    pairs = [(await connected(), await connected()) for _ in range(6)]
    rng = random.Random(7)
    seen: Counter[str] = Counter()

    async def dispatch(db: asyncpg.Connection, wanted: Wanted, pause: float, dawdle: float) -> float | None:
        await asyncio.sleep(pause)
        start = time.monotonic()
        claims = await claim(db, [wanted], worker="one", lease=LEASE, caps=Caps())
        if not claims or claims[0].verdict != "claimed":
            seen["stopped"] += 1
            return None
        await asyncio.sleep(dawdle)
        if time.monotonic() - start > WINDOW - CONNECT_TIMEOUT:
            seen["gate refused"] += 1
            return None
        seen["handed over"] += 1
        return time.monotonic()

    async def pay(db: asyncpg.Connection, ref: str, pause: float) -> float:
        await asyncio.sleep(pause)
        recorded = await record_payment(db, said(ref, f"p-{ref}", source), window=timedelta(seconds=WINDOW))
        if recorded.wait > 0:
            seen["waited"] += 1
        await asyncio.sleep(recorded.wait)
        return time.monotonic()

    async def race(pair: tuple[asyncpg.Connection, asyncpg.Connection]) -> None:
        for _ in range(10):
            made = await factories.invoice(pair[0], reminders=1)
            await pair[0].execute(
                "UPDATE reminder SET state = 'queued', queued_at = now() WHERE id = $1", made.reminders[0]
            )
            (wanted,) = await look(pair[0], made.reminders)
            sleeps = rng.uniform(0, 0.004), rng.uniform(0, WINDOW * 1.2), rng.uniform(0, 0.004)
            handed, acknowledged = await asyncio.gather(
                dispatch(pair[0], wanted, *sleeps[:2]), pay(pair[1], made.ref, sleeps[2])
            )
            assert handed is None or handed <= acknowledged, "handed over after the 2xx"

    await asyncio.gather(*(race(pair) for pair in pairs))
    assert set(seen) == {"handed over", "stopped", "gate refused", "waited"}, seen


async def test_one_payment_told_ten_times_at_once_counts_once(connected: Connect) -> None:
    connections = [await connected() for _ in range(10)]
    source = await factories.source(connections[0])
    made = await factories.invoice(connections[0], ("250.00",))
    recorded: list[PaymentRecorded] = await asyncio.gather(
        *(record_payment(db, said(made.ref, "p1", source), window=timedelta(seconds=1)) for db in connections)
    )
    assert sorted(each.fresh for each in recorded) == [False] * 9 + [True]
    assert await connections[0].fetchval("SELECT open_amount FROM installment WHERE invoice_id = $1", made.id) == 150


async def test_a_payment_does_not_wait_for_who_only_refers_to_its_invoice(connected: Connect) -> None:
    """Foreign keys take KEY SHARE: with FOR UPDATE instead of FOR NO KEY UPDATE this would wait for ever."""
    scheduler, payments = await connected(), await connected()
    source = await factories.source(scheduler)
    made = await factories.invoice(scheduler)
    await payments.execute("SET lock_timeout = '3s'")
    async with scheduler.transaction():
        await factories.reminder(scheduler, made.id, made.installments[0])
        recorded = await record_payment(payments, said(made.ref, "p1", source), window=timedelta(seconds=1))
        assert recorded.fresh


async def test_a_payment_and_the_word_that_nobody_knows_do_not_deadlock(connected: Connect) -> None:
    """Whoever changes installments holds their invoice first: else the two could take them in another order."""
    payer, asker, watcher = [await connected() for _ in range(3)]
    made = await factories.invoice(payer, ("50.00", "50.00"))
    take = "UPDATE installment SET allocated = 1 WHERE id = $1"
    async with payer.transaction():
        await payer.execute("SELECT FROM invoice WHERE id = $1 FOR NO KEY UPDATE", made.id)
        await payer.execute(take, made.installments[1])
        asking = asyncio.create_task(nobody_knows(asker, [made.id], "send", timedelta(minutes=10)))
        async with asyncio.timeout(60):
            while not await watcher.fetchval("SELECT pg_blocking_pids($1) <> '{}'", asker.get_server_pid()):
                await asyncio.sleep(0.01)
        await payer.execute(take, made.installments[0])
    await asking
    waived = await watcher.fetchval(
        "SELECT bool_and(waived_at IS NOT NULL) FROM installment WHERE invoice_id = $1", made.id
    )
    assert waived


async def test_a_payment_and_its_invoice_in_the_same_moment_find_each_other(connected: Connect) -> None:
    bank, erp = await connected(), await connected()
    source = await factories.source(bank)
    rng = random.Random(3)
    found: Counter[str] = Counter()

    async def pay(ref: str, pause: float) -> None:
        await asyncio.sleep(pause)
        recorded = await record_payment(bank, said(ref, f"p-{ref}", source), window=timedelta(seconds=1))
        if recorded.invoice_id is not None:
            found["the invoice was there"] += 1
        elif await match_by_name(bank, ref, None):
            found["the payment looked again"] += 1

    async def accept(ref: str, pause: float) -> int:
        await asyncio.sleep(pause)
        async with erp.transaction():
            made = await factories.invoice(erp, reminders=1, ref=ref)
        if await match_waiting(erp, [made.id]):
            found["the invoice looked"] += 1
        return made.id

    for turn in range(60):
        ref = f"same-moment-{turn}"
        _, made = await asyncio.gather(pay(ref, rng.choice([0, 0.01, 0.02, 0.1])), accept(ref, rng.uniform(0, 0.02)))
        assert await bank.fetchval(PAID_AND_STOPPED, made), found
    assert {"the invoice was there", "the invoice looked"} <= set(found), found


async def test_a_plan_and_a_payment_in_the_same_moment_leave_nothing_to_send(connected: Connect) -> None:
    scheduler, payments = await connected(), await connected()
    source = await factories.source(scheduler)
    rng = random.Random(5)
    for _ in range(40):
        made = await factories.invoice(scheduler)

        async def pay(ref: str, pause: float) -> None:
            await asyncio.sleep(pause)
            await record_payment(payments, said(ref, f"p-{ref}", source), window=timedelta(seconds=1))

        await asyncio.gather(plan(scheduler, made.id, NOW), pay(made.ref, rng.uniform(0, 0.01)))
        left = await scheduler.fetchval(
            "SELECT count(*) FROM reminder WHERE invoice_id = $1 AND requires_open AND state IN ('waiting', 'pending', 'queued')",
            made.id,
        )
        assert left == 0


@dataclass(slots=True)
class Crowd:
    """Everybody at work on the same few invoices; `done` counts, `again` what another event of a payment made to be told again."""

    connected: Connect
    source: int
    invoices: list[factories.Made]
    done: Counter[str] = field(default_factory=Counter)

    async def repeat(self, work: Callable[[asyncpg.Connection, random.Random], Awaitable[object]], seed: int) -> None:
        db, rng = await self.connected(), random.Random(seed)
        while self.done["dispatch"] < 120:
            try:
                await work(db, rng)
                self.done[work.__name__] += 1
            except asyncpg.SerializationError:
                self.done["again"] += 1

    async def schedule(self, db: asyncpg.Connection, _: random.Random) -> None:
        await queue_due(db, limit=100, max_queued=1000)
        await sweep_leases(db, 100)

    async def dispatch(self, db: asyncpg.Connection, rng: random.Random) -> None:
        queued = [row["id"] for row in await db.fetch("SELECT id FROM reminder WHERE state = 'queued'")]
        claims = await claim(db, await look(db, queued), worker="one", lease=LEASE, caps=Caps(per_day=1000))
        mine = [(c.reminder_id, c.fence) for c in claims if c.verdict == "claimed"]
        rng.shuffle(mine)
        outcomes = [Recorded(*key, rng.choice(OUTCOMES), retry_in=timedelta(0)) for key in mine]
        await request_replan(db, await record(db, outcomes, missed_limit=3, deferred_limit=3, broken_limit=3))

    async def hear(self, db: asyncpg.Connection, rng: random.Random) -> None:
        rows = await db.fetch("SELECT reminder_id, fence FROM attempt ORDER BY random() LIMIT 10")
        told = [Receipt(r["reminder_id"], r["fence"], rng.choice(["delivered", "undelivered"])) for r in rows]
        await request_replan(db, await receive(db, told, retry_missed=timedelta(0), missed_limit=3))

    async def pay(self, db: asyncpg.Connection, rng: random.Random) -> None:
        event = replace(said(rng.choice(self.invoices).ref, f"p{rng.randrange(30)}", self.source), amount=Decimal(20))
        if rng.random() < 0.5:
            event = replace(event, kind="reversed", amount=None)
        await record_payment(db, event, window=timedelta(seconds=1))

    async def replan(self, db: asyncpg.Connection, rng: random.Random) -> None:
        await plan(db, rng.choice(self.invoices).id, NOW)


async def test_all_at_once_on_the_same_few_invoices_never_deadlock(connected: Connect) -> None:
    """PostgreSQL would name a deadlock after a second."""
    owner = await connected()
    made = [await factories.invoice(owner, ("40.00", "4000.00")) for _ in range(4)]
    for each in made:
        await plan(owner, each.id, NOW)
    crowd = Crowd(connected, await factories.source(owner), made)
    parts = (crowd.schedule, crowd.dispatch, crowd.hear, crowd.pay, crowd.replan)
    await asyncio.gather(*(crowd.repeat(part, seed) for part in parts for seed in range(2)))
    assert min(crowd.done[part.__name__] for part in parts) > 20, crowd.done
    assert await owner.fetchval("SELECT count(*) FROM attempt") > 50
