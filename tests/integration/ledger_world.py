"""One invoice, two dispatchers, messages that are lost and doubled, and providers of which only the test knows what they
really did: what the machine and the directed tests drive the ledger with.

Time is the ledger's `now`. The hand-off window is a day of real time, so that a barrier is never over by itself:
`barrier_passes` says when, and closes the gates of what was claimed before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg

from shared.ledger.due import (
    Retimed,
    expire_receipts,
    queue_due,
    resolve_uncertain,
    retime,
    sweep_leases,
    sweep_queued,
    to_retime,
    uncertain_since,
)
from shared.ledger.money import (
    PaymentSaid,
    Stop,
    barrier,
    close_invoice,
    place_hold,
    record_payment,
    record_payments,
    release_holds,
    settle,
)
from shared.ledger.plan import lock_invoices
from shared.ledger.send import Receipt, give_back, receive, record, request_replan
from tests import factories
from tests.integration.ledger_checks import Truth, check_always, check_at_rest, check_claim
from tests.integration.ledger_plan import FOREVER, SOON, STEPS, plan, plan_next
from tests.integration.ledger_workers import Held, Worker, look, outcome, take

WINDOW = timedelta(days=1)
DAY = timedelta(hours=25)
MANY = 1000
EMPTIED = (
    "receipt attempt reminder allocation payment_event payment hold promise installment invoice suppression customer_contact"
    " contact_point customer event"
)
EMPTY = "; ".join(f"DELETE FROM {table}" for table in EMPTIED.split())  # far quicker than TRUNCATE where little is
ACTIVE = "SELECT count(*) FROM hold WHERE id = ANY($1::bigint[]) AND released_at IS NULL AND until > $2"
BAR = """
INSERT INTO suppression (contact_point_id, channel, reason)
SELECT p.id, $2, 'opted_out' FROM contact_point p
 WHERE p.customer_id = $1 AND p.kind = CASE $2 WHEN 'email' THEN 'email' ELSE 'phone' END ON CONFLICT DO NOTHING
"""


@dataclass(slots=True)
class Promise:
    """Something that was committed and will be acknowledged once what was claimed before `number` is past its gate."""

    number: int
    kept: Callable[[], None]


FEES = {"currency": "EUR", "most": "5", "percent": "5", "creditors": []}


class World:
    def __init__(self, db: asyncpg.Connection) -> None:
        self.db = db
        self.now = datetime.now(UTC)
        self.workers = (Worker("one"), Worker("two"))
        self.messages: list[int] = []
        self.truth: Truth = {}
        self.handed: dict[tuple[int, int], Held] = {}
        self.claims = 0
        self.promises: list[Promise] = []
        self.settled: set[int] = set()
        self.paid: set[int] = set()
        self.holds: set[int] = set()
        self.barred: set[str] = set()
        self.voided = False
        self.said: list[PaymentSaid] = []

    async def begin(self, amounts: Sequence[str] = ("100.00",), *, planned: bool = True) -> None:
        await self.db.execute(EMPTY)
        self.invoice = await factories.invoice(self.db, tuple(amounts))
        await factories.contact_point(self.db, self.invoice.customer_id, "phone", "+44 7700 900123")
        self.source = await factories.source(self.db, config={"fees": [FEES]})
        if planned:
            await plan(self.db, self.invoice.id, self.now)

    # --- the scheduler

    async def due(self, *, published: bool = True) -> int:
        async with self.db.transaction():
            moved = await queue_due(self.db, limit=MANY, max_queued=MANY, now=self.now)
            await plan_next(self.db, [row.id for row in moved if row.repeats], self.now)
        if published:
            self.messages += sorted(row.id for row in moved if row.state == "queued")
        return len(moved)

    async def sweep(self) -> None:
        self.messages += sorted(row for row, _ in await sweep_queued(self.db, timedelta(0), MANY))

    async def retime(self, *, skip: bool = False) -> int:
        async with self.db.transaction():
            rows = await to_retime(self.db, limit=MANY, now=self.now)
            await retime(self.db, [self._new_time(row.id, row.send_until, skip) for row in rows], self.now)
            await plan_next(self.db, [row.id for row in rows if row.repeats], self.now)
        return len(rows)

    def _new_time(self, reminder: int, until: datetime | None, skip: bool) -> Retimed:
        if until is None:
            return Retimed(reminder, self.now, FOREVER, None)
        return Retimed(reminder, None, None, "too_late") if skip else Retimed(reminder, self.now, self.now + SOON, None)

    async def replan(self) -> None:
        if await self.db.fetchval("SELECT replan_at IS NOT NULL FROM invoice WHERE id = $1", self.invoice.id):
            await plan(self.db, self.invoice.id, self.now)

    async def receipts_stay_out(self) -> None:
        self.now += timedelta(hours=7)
        await expire_receipts(self.db, MANY, self.now)

    async def decide_uncertain(self) -> None:
        """A day later; what a worker still holds is left, 24 h being longer than any pause."""
        self.now += DAY
        alive = {held.key for worker in self.workers for held in worker.held}
        rows = await uncertain_since(self.db, timedelta(hours=24), MANY, self.now)
        actions = [(row, STEPS[row.step].on_uncertain) for row in rows if (row.id, row.fence) not in alive]
        bounded = [(row, "assume_sent" if action == "resend" and row.tries > 2 else action) for row, action in actions]
        await resolve_uncertain(self.db, bounded, self.now)

    # --- dispatchers

    async def look(self, worker: Worker, ids: Sequence[int]) -> None:
        worker.looked = await look(self.db, sorted(set(ids)))

    async def claim(self, worker: Worker) -> list[str]:
        """The verdicts."""
        self.claims += 1
        before = len(worker.held)
        claims = await take(self.db, worker, self.now, self.claims)
        for held in worker.held[before:]:
            await check_claim(self.db, *held.key, self.now)
        return sorted(claim.verdict for claim in claims)

    async def take_due(self, worker: Worker) -> list[str]:
        await self.due()
        ids, self.messages = self.messages, []
        await self.look(worker, ids)
        return await self.claim(worker)

    async def give_back(self, worker: Worker) -> None:
        looked, worker.looked = worker.looked, []
        await give_back(self.db, [(wanted.reminder_id, self.now) for wanted in looked])

    async def hand_over(self, worker: Worker, truth: str = "delivered", *, at_most: int = MANY) -> None:
        for held in [held for held in worker.held if held.result is None][:at_most]:
            await self._hand_over(held, truth)

    async def _hand_over(self, held: Held, truth: str) -> None:
        if not held.gate_open:
            held.result = "not_sent"
            return
        said = held.claim
        assert not self.voided, "hand-off after the void's 2xx"
        assert not await self.db.fetchval(ACTIVE, list(self.holds), self.now), "hand-off after the hold's 2xx"
        assert said.channel not in self.barred, f"hand-off after the opt-out of {said.channel}"
        if STEPS[said.step].requires_open:
            part = self.invoice.installments[said.installment_no - 1]
            assert part not in self.paid, f"hand-off of {said.step} after the payment's 2xx"
        held.result = self.truth[held.key] = truth
        self.handed[held.key] = held

    async def record(self, worker: Worker, times: int = 1) -> None:
        done = [outcome(held) for held in worker.held if held.result]
        for _ in range(times if done else 0):
            late = await record(self.db, done, missed_limit=3, deferred_limit=3, broken_limit=3, now=self.now)
            await request_replan(self.db, late, self.now)
        worker.held = [held for held in worker.held if not held.result]

    async def send_due(self, worker: Worker, truth: str = "delivered") -> list[str]:
        verdicts = await self.take_due(worker)
        await self.hand_over(worker, truth)
        await self.record(worker)
        return verdicts

    async def end_leases(self, worker: Worker, *, dead: bool) -> None:
        """The worker is dead, or will wake up and find its gate closed."""
        keys = [held.key for held in worker.held]
        self.close_gates(worker)
        if dead:
            worker.crash()
        await self.db.executemany(
            "UPDATE attempt SET lease = clock_timestamp() - interval '1 s' WHERE reminder_id = $1 AND fence = $2", keys
        )
        await sweep_leases(self.db, MANY, self.now)

    def close_gates(self, worker: Worker, before: int = MANY * MANY) -> None:
        for held in worker.held:
            if held.number <= before:
                held.gate_open = False

    async def receipt(self, key: tuple[int, int]) -> None:
        """What the provider says of a hand-off that it took; nothing of others."""
        kind = {"delivered": "delivered", "silent_but_taken": "delivered", "bounces": "undelivered", "misses": "missed"}
        if said := kind.get(self.truth[key]):
            suppress = "bounced" if said == "undelivered" else None
            await self.receive(Receipt(*key, said, suppress=suppress))

    async def receive(self, receipt: Receipt) -> None:
        late = await receive(self.db, [receipt], retry_missed=timedelta(minutes=5), missed_limit=3, now=self.now)
        await request_replan(self.db, late, self.now)

    # --- money and people

    def acknowledge(self, wait: float, kept: Callable[[], None]) -> None:
        if wait > 0:
            self.promises.append(Promise(self.claims, kept))
        else:
            kept()

    def barrier_passes(self) -> None:
        for promise in self.promises:
            for worker in self.workers:
                self.close_gates(worker, promise.number)
            promise.kept()
        self.promises = []

    async def pay(self, amount: str = "100.00", installment: int | None = None) -> PaymentSaid:
        said = PaymentSaid(
            source_id=self.source,
            payment_ref=f"p{len(self.said)}",
            kind="confirmed",
            event_ref="1",
            amount=Decimal(amount),
            currency="EUR",
            invoice_ref=self.invoice.ref,
            installment_no=installment,
            reference=None,
            paid_at=None,
            payer=None,
            body=None,
        )
        self.said.append(said)
        await self.say(said)
        return said

    async def reverse(self, said: PaymentSaid, amount: Decimal | None = None) -> None:
        event = "all" if amount is None else "part"
        await self.say(replace(said, kind="reversed", event_ref=event, amount=amount, installment_no=None))

    async def say(self, said: PaymentSaid) -> None:
        """Every other one as those that come at once."""
        together = said.kind == "confirmed" and said.installment_no is None and len(self.said) % 2
        recorded = (await record_payments(self.db, [said], window=WINDOW, now=self.now))[0] if together else None
        recorded = recorded or await record_payment(self.db, said, window=WINDOW, now=self.now)
        await self._owed_changed(recorded.wait)

    async def _owed_changed(self, wait: float) -> None:
        """From the 2xx on nothing goes out for what is settled now and stays so."""
        rows = await self.db.fetch(
            "SELECT id FROM installment WHERE invoice_id = $1 AND open_amount = 0", self.invoice.id
        )
        self.settled = settled = {row["id"] for row in rows}
        self.paid &= settled
        self.acknowledge(wait, lambda: self.paid.update(settled & self.settled))

    async def credit(self, installment: int, amount: str) -> None:
        async with self.db.transaction():
            await lock_invoices(self.db, [self.invoice.id])
            await self.db.execute(
                "UPDATE installment SET credited = credited + least(open_amount, $2) WHERE id = $1",
                installment,
                Decimal(amount),
            )
            await settle(self.db, [self.invoice.id], self.now)
            wait = await barrier(self.db, [self.invoice.id], WINDOW)
        await self._owed_changed(wait)

    async def change(self, *, other_date: bool) -> None:
        """PATCH: the first installment's due date goes to another day and, the next time, back."""
        async with self.db.transaction():
            await lock_invoices(self.db, [self.invoice.id])
            if other_date:
                await self.db.execute(
                    "UPDATE installment SET due_date = CASE due_date WHEN $2 THEN $2 + 30 ELSE $2 END WHERE id = $1",
                    self.invoice.installments[0],
                    factories.TODAY,
                )
            await self.db.execute(
                "UPDATE invoice SET replan_at = $2 WHERE id = $1 AND closed_as IS NULL", self.invoice.id, self.now
            )

    async def hold(self, kind: str = "hold", *, customer: bool = False, days: int = 2) -> int:
        invoice, owner = (None, self.invoice.customer_id) if customer else (self.invoice.id, None)
        stop = Stop(kind, invoice, owner, "asked", self.now + timedelta(days=days))
        hold, wait = await place_hold(self.db, stop, window=WINDOW, now=self.now)
        self.acknowledge(wait, lambda: self.holds.add(hold))
        return hold

    async def release(self) -> None:
        holds = [row["id"] for row in await self.db.fetch("SELECT id FROM hold WHERE released_at IS NULL ORDER BY id")]
        await release_holds(self.db, holds, self.now)

    async def bar(self, channel: str) -> None:
        """An opt-out, which waits for a whole window whatever is in flight."""
        await self.db.execute(BAR, self.invoice.customer_id, channel)
        self.acknowledge(1, lambda: self.barred.add(channel))

    async def void(self) -> None:
        wait = await close_invoice(self.db, self.invoice.id, "void", window=WINDOW, now=self.now)
        self.acknowledge(wait, self._void_is_acknowledged)

    def _void_is_acknowledged(self) -> None:
        self.voided = True

    # --- the end

    async def come_to_rest(self) -> None:
        """All parts are up and nothing new happens: everything must find its end."""
        await self.release()
        for worker in self.workers:
            self.close_gates(worker)
        self.barrier_passes()
        for worker in self.workers:
            worker.looked = []
            await self.hand_over(worker)
            await self.record(worker)
        for _ in range(30):
            await self.replan()
            moved = await self.retime() + await self.due()
            await self.sweep()
            await self.send_due(self.workers[0])
            await sweep_leases(self.db, MANY, self.now)
            await self.decide_uncertain()
            if not moved and not await self.db.fetchval("SELECT unrest($1)", self.now + DAY):
                break
        await check_always(self.db, self.truth)
        await check_at_rest(self.db)
