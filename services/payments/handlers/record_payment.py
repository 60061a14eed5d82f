"""Stores what a source said and stops what it settles.

True here: it returns only after the commit and the hand-off barrier, for a repeated event too; so a 2xx after it is a
promise. The database has a deadline: when it does not answer in time, nothing is promised and the sender sends again. A
payment whose invoice is not there looks for it once more after the commit, as the invoice looks for payments after its
own: one of the two sees the other.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import asyncpg

from services.payments.domain.outcome import Kind
from services.payments.handlers.gather import Gather
from shared.crash import crash_point
from shared.db.engine import Database
from shared.ledger.money import PaymentRecorded, PaymentSaid, hold_in_flight, match_by_name
from shared.ledger.money import record_payment as record_in_ledger
from shared.ledger.money import record_payments as record_all_in_ledger

DEADLINE = 4.0  # seconds for all that the database does, so that the 503 leaves within 5
AT_ONCE, MOST = 2, 32  # transactions for payments that come at once, and how many each takes


@dataclass(slots=True)
class PaymentRecorder:
    db: Database
    window: timedelta
    pending_hold: timedelta = timedelta(days=5)
    _together: Gather[PaymentSaid, PaymentRecorded | None] = field(init=False)

    def __post_init__(self) -> None:
        self._together = Gather(self._store_all, at_once=AT_ONCE, most=MOST)

    async def record(self, said: PaymentSaid, within: asyncio.Timeout) -> PaymentRecorded:
        """TimeoutError when the database is too slow: `within` is that of `deadline`, which ends here."""

        async def store(connection: asyncpg.Connection) -> PaymentRecorded:
            return await self.store(connection, said)

        crash_point("before_payment_commit")
        recorded = await self._together(said) if _is_plain(said) else None
        if recorded is None:
            recorded = await self.db.retrying(store)
        crash_point("after_payment_commit")
        if recorded.invoice_id is None and await self.look_again(said):
            recorded = replace(await self.db.retrying(store), fresh=recorded.fresh)
        within.reschedule(None)
        await asyncio.sleep(recorded.wait)
        crash_point("before_payment_answer")
        return recorded

    async def store(self, connection: asyncpg.Connection, said: PaymentSaid) -> PaymentRecorded:
        """In the ledger; what is only under way holds the reminders, in the same transaction."""
        if said.kind != Kind.PENDING:
            return await record_in_ledger(connection, said, window=self.window)
        async with connection.transaction():
            recorded = await record_in_ledger(connection, said, window=self.window)
            await hold_in_flight(connection, recorded.payment_id, self.pending_hold)
        return recorded

    async def _store_all(self, said: Sequence[PaymentSaid]) -> Sequence[PaymentRecorded | None]:
        """What comes back as None, all of it when something goes wrong, is for `store`, where each stands for itself."""
        try:
            async with asyncio.timeout(DEADLINE), self.db.connection() as connection:
                return await record_all_in_ledger(connection, said, window=self.window)
        except Exception:  # noqa: BLE001 it comes again in `store`, or was that of another one
            return [None] * len(said)

    async def look_again(self, said: PaymentSaid) -> bool:
        """Whether the invoice came in the same moment; a transaction of its own, after the commit of the payment."""

        async def look(connection: asyncpg.Connection) -> list[int]:
            return await match_by_name(connection, said.invoice_ref, said.reference)

        if said.invoice_ref is None and said.reference is None:
            return False
        return bool(await self.db.retrying(look))


def _is_plain(said: PaymentSaid) -> bool:
    """Whether it may go together with others."""
    return said.kind == Kind.CONFIRMED and said.installment_no is None and bool(said.invoice_ref or said.reference)
