"""SWEEP: what was lost on the way comes back, and what nobody can know is decided after a day.

What must stay true: nothing that may have gone out goes out again, except where its step says `resend`; and that at
most
`MOST_RESENDS` times.
"""

from datetime import timedelta

import structlog

from services.scheduler.handlers.queue_due import publish
from services.scheduler.metrics import LOST, REPUBLISHED
from services.scheduler.store.flows import FlowVersions
from services.scheduler.store.housekeeping import forget_answers
from shared.bus.port import Bus
from shared.db.engine import Database
from shared.flow import THEN_LEG, Flow, OnUncertain
from shared.ledger.due import (
    Uncertain,
    expire_receipts,
    resolve_uncertain,
    sweep_leases,
    sweep_queued,
    sweep_replans,
    uncertain_since,
)
from shared.ledger.money import judge_promises

UNCERTAIN_FOR = timedelta(hours=24)
MOST_RESENDS = 3
UNTOLD_FOR = timedelta(seconds=5)  # for which a dispatcher may still ask itself
ANSWERS_KEPT = timedelta(days=7)
log = structlog.get_logger("scheduler.sweep")


async def publish_again(db: Database, bus: Bus, older: timedelta, limit: int) -> int:
    """Queued too long: a lost message, a dead broker. How many ids."""
    if not bus.ready():
        return 0
    async with db.connection() as connection:
        rows = await sweep_queued(connection, older, limit)
    if rows:
        await publish(bus, rows)
        REPUBLISHED.inc(len(rows))
        log.warning("published_again", reminders=len(rows), queued_for=older.total_seconds())
    return len(rows)


async def give_up_lost(db: Database, limit: int) -> int:
    """Attempts whose worker never answered: an alarm, because only a person at the provider's can know more."""
    async with db.connection() as connection:
        lost = await sweep_leases(connection, limit)
        expired = await expire_receipts(connection, limit)
        await sweep_replans(connection, UNTOLD_FOR, limit)
    if lost:
        LOST.inc(lost)
        log.error("attempts_lost", attempts=lost, advice="a dispatcher died or hung while it sent; see the runbook")
    return max(lost, expired)


async def resolve_old(db: Database, flows: FlowVersions, limit: int) -> int:
    """Uncertain for a day of business time: what the step says."""
    async with db.connection() as connection:
        rows = await uncertain_since(connection, UNCERTAIN_FOR, limit)
        if rows:
            loaded = await flows.load(connection, {row.flow_version_id for row in rows})
            await resolve_uncertain(connection, [(row, _action(row, loaded[row.flow_version_id])) for row in rows])
    return len(rows)


def _action(row: Uncertain, flow: Flow) -> OnUncertain:
    """A `then` is a reminder like others; bounded, so that a provider which never answers is not asked for ever."""
    action = OnUncertain.ASSUME_SENT if row.leg == THEN_LEG else flow.step(row.step).when_uncertain
    return OnUncertain.ASSUME_SENT if row.tries >= MOST_RESENDS else action


async def keep_house(db: Database, limit: int) -> int:
    """Promises whose day passed are kept or broken; answers of idempotent calls are forgotten after a week."""
    async with db.connection() as connection:
        judged = await judge_promises(connection, limit)
        forgotten = await forget_answers(connection, ANSWERS_KEPT, limit)
    return max(len(judged), forgotten)
