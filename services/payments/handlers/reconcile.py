"""Compares payments with their invoices, repairs what differs, and says so.

True here: normally it finds nothing. What it repairs is counted and logged as an alarm, because some process died or
forgot to look, or somebody wrote where nobody should. Money that a person has allocated stays where it is.
"""

from functools import partial

import structlog
from prometheus_client import Counter

from shared.db.engine import Database
from shared.ledger.money import match_waiting, missed_matches, money_differences, repair_money

MOST = 5_000  # invoices a turn
AT_ONCE = 100  # invoices a transaction: their locks are held for as long as it takes
SLICE = 20_000  # ids of invoices that are compared in one statement
SLICES = 100  # a turn; the next turn goes on from there
REPAIRED = Counter("dunnock_payments_repaired", "Invoices that the reconciler matched with money that waited for them")
DIFFERENCES = Counter("dunnock_payments_differences", "Invoices whose money did not add up, repaired by the reconciler")

log = structlog.get_logger("payments")


async def reconcile(db: Database) -> int:
    """Payments without their invoice and invoices without their payment: how many invoices were repaired."""
    async with db.connection() as connection:
        missed = await missed_matches(connection, MOST)
    repaired = 0
    for start in range(0, len(missed), AT_ONCE):
        some = missed[start : start + AT_ONCE]
        repaired += len(set(await db.retrying(partial(match_waiting, invoices=some))))
    if repaired:
        REPAIRED.inc(repaired)
        log.error("reconciler_repaired", invoices=repaired, hint="a payment and its invoice had missed each other")
    return repaired


class Adding:
    """Adds up what was allocated against what installments, payments and invoices say, over all invoices in turn."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._next = 0

    async def __call__(self) -> int:
        """How many invoices were repaired in this turn."""
        async with self._db.connection() as connection:
            last: int = await connection.fetchval("SELECT coalesce(max(id), 0) FROM invoice")
        repaired = 0
        for _ in range(SLICES):
            repaired += await self._slice(self._next)
            self._next += SLICE
            if self._next >= last:
                self._next = 0
                break
        if repaired:
            DIFFERENCES.inc(repaired)
            log.error("money_did_not_add_up", invoices=repaired, hint="what was allocated is dealt out anew")
        return repaired

    async def _slice(self, after: int) -> int:
        async with self._db.connection() as connection:
            wrong = await money_differences(connection, after, after + SLICE)
        return sum([await self._db.retrying(partial(repair_money, invoice_id=one)) for one in wrong[:MOST]])
