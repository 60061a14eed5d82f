"""Stops against claims that are being made at the same moment, and the order in which what locks many rows locks them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from shared.kernel.caps import Caps
from shared.ledger.money import Stop, in_flight, place_hold, release_holds
from shared.ledger.send import Claim, claim, hasten
from tests import factories
from tests.integration.ledger_database import connect
from tests.integration.ledger_mutants import Mutant, break_ledger
from tests.integration.ledger_workers import look

LEASE, WINDOW = timedelta(minutes=1), timedelta(minutes=10)
UNTIL = datetime.now(UTC) + timedelta(days=9)
Work = Callable[[asyncpg.Connection], Awaitable[object]]


class Bench:
    """`owner` looks; `make` makes a connection, closed at the end."""

    def __init__(self, dsn: str, owner: asyncpg.Connection) -> None:
        self._dsn = dsn
        self.patience = 60.0
        self.owner = owner
        self.made = [owner]

    async def make(self) -> asyncpg.Connection:
        self.made.append(await connect(self._dsn))
        return self.made[-1]

    async def queued(self) -> tuple[factories.Made, int]:
        made = await factories.invoice(self.owner, reminders=1)
        await self.owner.execute(
            "UPDATE reminder SET state = 'queued', queued_at = now() WHERE invoice_id = $1", made.id
        )
        return made, made.reminders[0]

    async def claim(self, db: asyncpg.Connection, *reminders: int) -> list[Claim]:
        wanted = await look(db, reminders)
        return await claim(db, wanted, worker="one", lease=LEASE, caps=Caps())

    async def blocked(self, waiting: asyncpg.Connection) -> None:
        """Until this connection waits for another one's lock."""
        async with asyncio.timeout(self.patience):
            while not await self.owner.fetchval("SELECT pg_blocking_pids($1) <> '{}'", waiting.get_server_pid()):
                await asyncio.sleep(0.01)


@pytest.fixture
async def bench(database_dsn: str) -> AsyncIterator[Bench]:
    made = Bench(database_dsn, await connect(database_dsn))
    yield made
    for connection in made.made:
        await connection.close()


def everything(reason: str = "the printer burns", until: datetime = UNTIL) -> Stop:
    return Stop("hold", None, None, reason, until)


async def test_a_stop_of_everything_lets_claims_that_are_being_made_end_and_counts_them(bench: Bench) -> None:
    _, reminder = await bench.queued()
    claiming, stopping = await bench.make(), await bench.make()
    open_claim = claiming.transaction()
    await open_claim.start()
    (claimed,) = await bench.claim(claiming, reminder)
    stop = asyncio.create_task(place_hold(stopping, everything(), window=WINDOW))
    await bench.blocked(stopping)
    await open_claim.commit()

    _, wait = await stop
    left = await in_flight(bench.owner, WINDOW)
    assert (claimed.verdict, left.attempts) == ("claimed", 1)
    assert 0 < left.wait <= wait <= WINDOW.total_seconds()


async def test_a_claim_that_waits_for_a_stop_of_everything_obeys_it(bench: Bench) -> None:
    _, reminder = await bench.queued()
    claiming, stopping = await bench.make(), await bench.make()
    open_stop = stopping.transaction()
    await open_stop.start()
    _, wait = await place_hold(stopping, everything(), window=WINDOW)
    late = asyncio.create_task(bench.claim(claiming, reminder))
    await bench.blocked(claiming)
    await open_stop.commit()

    assert [one.verdict for one in await late] == ["skipped"]
    assert (wait, (await in_flight(bench.owner, WINDOW)).attempts) == (0, 0)


async def test_two_stops_of_everything_at_once_are_one(bench: Bench) -> None:
    first, second = await bench.make(), await bench.make()
    holds = await asyncio.gather(*(place_hold(one, everything(), window=WINDOW) for one in (first, second)))
    assert holds[0][0] == holds[1][0]


async def test_a_hold_placed_while_a_claim_waits_for_another_invoice_stops_it(bench: Bench) -> None:
    (busy, one), (held, other) = await bench.queued(), await bench.queued()
    claiming, paying = await bench.make(), await bench.make()
    payment = paying.transaction()
    await payment.start()
    await paying.execute("SELECT FROM invoice WHERE id = $1 FOR NO KEY UPDATE", busy.id)
    waiting = asyncio.create_task(bench.claim(claiming, one, other))
    await bench.blocked(claiming)
    _, barrier = await place_hold(bench.owner, Stop("hold", held.id, None, "asked", UNTIL), window=WINDOW)
    await payment.commit()

    assert barrier == 0, "whoever placed it was told that nothing can go any more"
    assert {claim.reminder_id: claim.verdict for claim in await waiting} == {one: "claimed", other: "skipped"}


async def moved_to(bench: Bench, until: datetime) -> list[int]:
    """Deliveries that wait for the end of a hold."""
    made = [await factories.invoice(bench.owner) for _ in range(4)]
    return [
        await factories.reminder(
            bench.owner, one.id, None, "deliver-invoice", anchor="issue", requires_open=False, due_at=until
        )
        for one in made
    ]


async def ended_earlier(bench: Bench) -> tuple[list[int], Work]:
    await place_hold(bench.owner, everything(), window=WINDOW)
    sooner = everything(until=UNTIL - timedelta(days=1))
    return await moved_to(bench, UNTIL), lambda db: place_hold(db, sooner, window=WINDOW)


async def released(bench: Bench) -> tuple[list[int], Work]:
    hold, _ = await place_hold(bench.owner, everything(), window=WINDOW)
    return await moved_to(bench, UNTIL), lambda db: release_holds(db, [hold])


async def hastened(bench: Bench) -> tuple[list[int], Work]:
    calls, thens = [], []
    for _ in range(3):
        made = await factories.invoice(bench.owner)
        part = made.installments[0]
        thens.append(await factories.reminder(bench.owner, made.id, part, "call", state="waiting", leg="then"))
        calls.append(
            await factories.reminder(bench.owner, made.id, part, "call", state="accepted", fence=1, followed=True)
        )
    return thens, lambda db: hasten(db, [(call, 1) for call in reversed(calls)])


@pytest.mark.parametrize("prepare", [ended_earlier, released, hastened])
async def test_who_waits_for_one_row_holds_none_behind_it(
    bench: Bench, prepare: Callable[[Bench], Awaitable[tuple[list[int], Work]]]
) -> None:
    """So two that lock the same rows never wait for each other, in whatever order the rows lie on the disk."""
    rows, work = await prepare(bench)
    holding, working = await bench.make(), await bench.make()
    for row in sorted(rows, reverse=True):
        await bench.owner.execute("UPDATE reminder SET tries = tries + 1 WHERE id = $1", row)
    hold = holding.transaction()
    await hold.start()
    await holding.execute("SELECT FROM reminder WHERE id = $1 FOR UPDATE", min(rows))
    waiting = asyncio.ensure_future(work(working))
    await bench.blocked(working)

    free = await holding.fetch("SELECT id FROM reminder WHERE id = ANY ($1) ORDER BY id FOR UPDATE NOWAIT", rows)
    assert [row["id"] for row in free] == sorted(rows)
    await hold.commit()
    await waiting
    due = "SELECT count(*) FROM reminder WHERE id = ANY ($1) AND state = 'pending' AND due_at < $2"
    assert await bench.owner.fetchval(due, rows, UNTIL) == len(rows)


SHARED = "PERFORM pg_advisory_xact_lock_shared(hashtextextended('stop everything', 0));"
MISTAKES = [
    Mutant(
        "a claim does not share",
        "test_a_stop_of_everything_lets_claims_that_are_being_made_end_and_counts_them",
        SHARED,
        "",
    ),
    Mutant("a claim waits for nobody", "test_a_claim_that_waits_for_a_stop_of_everything_obeys_it", SHARED, ""),
    Mutant(
        "a claim judges by the time at which it began to wait",
        "test_a_hold_placed_while_a_claim_waits_for_another_invoice_stops_it",
        "v_now := coalesce(p_now, business_now());  -- after the locks",
        "v_now := coalesce(p_now, transaction_timestamp());  -- before the locks",
    ),
]


@pytest.mark.parametrize("mutant", MISTAKES, ids=lambda mutant: mutant.what.replace(" ", "-"))
async def test_a_mistake_in_a_stop_is_noticed(bench: Bench, mutant: Mutant) -> None:
    await break_ledger(bench.owner, mutant)
    bench.patience = 2.0
    with pytest.raises((AssertionError, TimeoutError)):
        await globals()[mutant.noticed_by](bench)


DESCENDING = [
    (ended_earlier, "ORDER BY r.id FOR UPDATE OF r\n  ), earlier AS ("),
    (released, "(e.invoice_id IS NULL AND e.customer_id IS NULL))\n     ORDER BY r.id FOR UPDATE OF r"),
    (hastened, "ORDER BY t.id FOR UPDATE OF t\n  ), moved AS ("),
]


@pytest.mark.parametrize(("prepare", "good"), DESCENDING, ids=["ended_earlier", "released", "hastened"])
async def test_another_order_is_noticed(
    bench: Bench, prepare: Callable[[Bench], Awaitable[tuple[list[int], Work]]], good: str
) -> None:
    await break_ledger(bench.owner, Mutant("", "", good, good.replace(".id FOR", ".id DESC FOR", 1)))
    with pytest.raises(asyncpg.LockNotAvailableError):
        await test_who_waits_for_one_row_holds_none_behind_it(bench, prepare)
