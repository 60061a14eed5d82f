"""Rows whose window has closed, or that were triggered without a time: the calendar finds the next opening, or skips
them.

What must stay true: a repeating row that is skipped here is followed by its next occurrence in the same transaction.
"""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

import asyncpg

from services.scheduler.domain.planned import RowFacts, Skipped
from services.scheduler.domain.planning import retime as judge_anew
from services.scheduler.handlers.next_occurrences import ANY_INSTALLMENT, insert_next
from services.scheduler.store.flows import FlowVersions
from services.scheduler.store.ledger_rows import due_rows, tried
from shared.db.engine import Database
from shared.flow import Flow, NeverOpens
from shared.ledger.due import Retimed, ToRetime, retime, to_retime

NEVER_OPENS = "never_opens"


async def retime_late(db: Database, flows: FlowVersions, limit: int) -> int:
    """One batch, committed; how many rows it had."""
    async with db.transaction() as tx:
        late = await to_retime(tx, limit=limit)
        if late:
            await _retime(tx, late, await flows.load(tx, {row.flow_version_id for row in late}))
        return len(late)


async def _retime(tx: asyncpg.Connection, late: list[ToRetime], flows: Mapping[int, Flow]) -> None:
    now: datetime = await tx.fetchval("SELECT business_now()")
    attempted = await tried(tx, [row.id for row in late])
    judged = [_judged(row, flows[row.flow_version_id], now, tried=row.id in attempted) for row in late]
    repeating = {row.id for row in late if row.repeats}
    over = [row.id for row in judged if row.reason is not None and row.id in repeating]
    if over:
        await insert_next(tx, await due_rows(tx, over), flows)
    await retime(tx, judged)


def _judged(row: ToRetime, flow: Flow, now: datetime, *, tried: bool) -> Retimed:
    facts = RowFacts(
        step=row.step,
        occurrence=row.occurrence,
        leg=row.leg,
        installment_no=None if row.installment_id is None else ANY_INSTALLMENT,
        issue_date=row.issue_date,
        due_date=row.due_date,
        zone=ZoneInfo(row.timezone),
        country=row.country,
        due_at=row.due_at,
        send_until=row.send_until,
        tried=tried,
    )
    try:
        found = judge_anew(flow, facts, now)
    except NeverOpens:
        return Retimed(row.id, None, None, NEVER_OPENS)
    if isinstance(found, Skipped):
        return Retimed(row.id, None, None, found.reason)
    return Retimed(row.id, found.due_at, found.send_until, None)
