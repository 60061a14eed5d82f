"""Finds what a crash left between a payment and its invoice, and says so.

True here: normally it finds nothing. What it repairs is counted and logged as an alarm, because some process died or
forgot to look.
"""

from functools import partial

import structlog
from prometheus_client import Counter

from shared.db.engine import Database
from shared.ledger.money import match_waiting, missed_matches

MOST = 5_000  # invoices a turn
AT_ONCE = 100  # invoices a transaction: their locks are held for as long as it takes
REPAIRED = Counter("dunnock_payments_repaired", "Invoices that the reconciler matched with money that waited for them")

log = structlog.get_logger("payments")


async def reconcile(db: Database) -> int:
    """How many invoices were repaired."""
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
