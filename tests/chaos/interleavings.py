"""Pay, claim, send and crash, interleaved at random over the real database: with hand-off windows of 50 ms, thousands of
times in a minute.

What must stay true: no hand-off begins after the 2xx of the payment that settles its invoice. The ledger, the gate and
the recorder of payments are the product's; only the provider is a list, so that a hand-off takes no time and its moment
is exact. A crash is a task that ends where it stands: its connection is cut, what it had not committed is gone.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from services.dispatcher.domain.ports import Gate, GateClosed
from services.payments.handlers.record_payment import DEADLINE, PaymentRecorder
from services.payments.wiring import LIMITS, ROLE
from shared.db.engine import Database
from shared.kernel.caps import Caps
from shared.ledger.money import PaymentSaid
from shared.ledger.send import Recorded, Wanted, claim, record
from tests import factories
from tests.chaos.seed import due_invoices

WINDOW, MARGIN = 0.05, 0.01  # D and C of the protocol, in seconds
SPREAD = 0.12  # seconds within which everything about one invoice begins
AT_ONCE, FEWEST, ROUND = 24, 3, 200  # cases
FAST = {"synchronous_commit": "off"}  # no server dies here, and a slow disk would close every gate
QUEUE = (
    "UPDATE reminder SET state = 'queued', queued_at = clock_timestamp(), send_until = 'infinity' WHERE id = ANY ($1)"
)
CONTACTS = """
SELECT i.id, r.id, (SELECT min(p.id) FROM contact_point p WHERE p.customer_id = i.customer_id)
  FROM invoice i JOIN reminder r ON r.invoice_id = i.id WHERE r.id = ANY ($1)
"""


def _unless_cut(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A connection that a crash cut says so to nobody."""
    if not isinstance(context.get("exception"), ConnectionError):
        loop.default_exception_handler(context)


@dataclass(frozen=True, slots=True)
class Case:
    """One invoice with one reminder that is queued."""

    ref: str
    reminder_id: int
    contact_id: int


@dataclass(slots=True)
class Tally:
    """`late`: hand-offs after the 2xx, by how many seconds; `raced`: cases where claim and payment met within a window."""

    cases: int = 0
    handed_over: int = 0
    stopped: int = 0
    gates_closed: int = 0
    crashes: int = 0
    raced: int = 0
    late: list[float] = field(default_factory=list)
    twice: int = 0

    def add(self, handed: Sequence[float], paid: float) -> None:
        self.cases += 1
        self.handed_over += len(handed)
        self.twice += len(handed) > 1
        self.raced += any(abs(at - paid) < 2 * WINDOW for at in handed)
        self.late += [at - paid for at in handed if at > paid]


class Interleavings:
    """`patience`: the window that payments wait for, which must be the dispatchers'; less shows what the barrier is for."""

    def __init__(self, database: str, chance: random.Random, patience: float = WINDOW) -> None:
        self._database = database
        self._chance = chance
        self._patience = timedelta(seconds=patience)
        self._at_once = AT_ONCE
        self.tally = Tally()

    async def run(self, count: int) -> Tally:
        dispatchers = Database(self._database, role="dunnock_dispatcher", pool_size=AT_ONCE, limits=FAST)
        payments = Database(self._database, role=ROLE, pool_size=AT_ONCE, limits=LIMITS | FAST)
        recorder = PaymentRecorder(payments, self._patience)
        asyncio.get_running_loop().set_exception_handler(_unless_cut)
        try:
            source = await self._source()
            for start in range(0, count, ROUND):
                cases, room = await self._seed(min(ROUND, count - start)), asyncio.Semaphore(self._at_once)
                before = self.tally.handed_over
                await asyncio.gather(*(self._case(one, dispatchers, recorder, source, room) for one in cases))
                if self.tally.handed_over - before < len(cases) / 5:  # the machine is too slow for so many
                    self._at_once = max(FEWEST, self._at_once // 2)
        finally:
            await dispatchers.close()
            await payments.close()
        return self.tally

    async def _case(
        self, case: Case, dispatchers: Database, recorder: PaymentRecorder, source: int, room: asyncio.Semaphore
    ) -> None:
        async with room:
            handed: list[float] = []
            workers = [self._dispatcher(case, dispatchers, handed) for _ in range(self._chance.choice((1, 1, 2)))]
            async with asyncio.TaskGroup() as world:
                paying = world.create_task(self._payment(case, recorder, source))
                for worker in workers:
                    world.create_task(worker)
        self.tally.add(handed, paying.result())

    async def _dispatcher(self, case: Case, db: Database, handed: list[float]) -> None:
        await self._pause(SPREAD)
        claimed_at = time.monotonic()
        async with db.connection() as connection:
            wanted = Wanted(case.reminder_id, "email", case.contact_id, "smtp", Decimal(0), 0)
            claims = await claim(connection, [wanted], worker="w", lease=timedelta(minutes=1), caps=Caps())
        if not claims or claims[0].verdict != "claimed":
            self.tally.stopped += 1
            return
        if self._crashes():
            return
        await self._pause(1.5 * WINDOW)  # rendering, a connection, a slow machine
        outcome = self._hand_over(Gate(claimed_at, WINDOW, MARGIN), handed)
        if self._crashes():
            return
        await self._record(db, Recorded(case.reminder_id, claims[0].fence, outcome, retry_in=timedelta(minutes=5)))

    def _hand_over(self, gate: Gate, handed: list[float]) -> str:
        try:
            gate.check()
        except GateClosed:
            self.tally.gates_closed += 1
            return "notsent"
        handed.append(time.monotonic())
        return "accepted"

    async def _record(self, db: Database, outcome: Recorded) -> None:
        async with db.connection() as connection:
            await record(connection, [outcome], missed_limit=3, deferred_limit=3, broken_limit=3)

    async def _payment(self, case: Case, recorder: PaymentRecorder, source: int) -> float:
        """When its 2xx was there; said again until it is, after every crash."""
        await self._pause(SPREAD)
        said = PaymentSaid(
            source,
            f"P-{case.ref}",
            "confirmed",
            f"m-{case.ref}",
            Decimal(100),
            "EUR",
            case.ref,
            None,
            None,
            None,
            None,
            None,
        )
        while True:
            saying = asyncio.create_task(self._say(recorder, said))
            if self._crashes():
                await self._pause(1.5 * WINDOW)
                saying.cancel()
            await asyncio.wait([saying])
            if not saying.cancelled() and saying.exception() is None:
                return saying.result()
            await self._pause(WINDOW)

    async def _say(self, recorder: PaymentRecorder, said: PaymentSaid) -> float:
        async with asyncio.timeout(DEADLINE) as within:
            await recorder.record(said, within)
        return time.monotonic()

    async def _pause(self, most: float) -> None:
        await asyncio.sleep(self._chance.uniform(0, most))

    def _crashes(self) -> bool:
        crashes = self._chance.random() < 0.15
        self.tally.crashes += crashes
        return crashes

    async def _source(self) -> int:
        connection = await asyncpg.connect(self._database)
        try:
            return await factories.source(connection, "interleaved", "standard_webhook")
        finally:
            await connection.close()

    async def _seed(self, count: int) -> list[Case]:
        batch = await due_invoices(self._database, count)
        connection = await asyncpg.connect(self._database)
        try:
            await connection.execute(QUEUE, list(batch.reminders))
            rows = await connection.fetch(CONTACTS, list(batch.reminders))
        finally:
            await connection.close()
        return [Case(batch.invoices[row[0]], row[1], row[2]) for row in rows]
