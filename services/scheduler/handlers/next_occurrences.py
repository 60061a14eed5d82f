"""Repeats are planned one occurrence ahead: whoever takes occurrence n out of pending inserts n + 1 in the same
transaction."""

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

import asyncpg

from services.scheduler.domain.batch_planning import row_tail
from services.scheduler.domain.planned import RowFacts
from services.scheduler.domain.planning import next_occurrence
from services.scheduler.store.ledger_rows import DueRow
from shared.flow import Flow, NeverOpens
from shared.ledger.plan import NewReminder, insert_reminders

ANY_INSTALLMENT = 1  # the rules want a number; the rows that follow belong to the same installment


async def insert_next(tx: asyncpg.Connection, rows: Sequence[DueRow], flows: Mapping[int, Flow]) -> None:
    await insert_reminders(tx, [new for row in rows for new in _next(row, flows[row.flow_version_id])])


def _next(row: DueRow, flow: Flow) -> list[NewReminder]:
    facts = RowFacts(
        step=row.step,
        occurrence=row.occurrence,
        leg=row.leg,
        installment_no=ANY_INSTALLMENT,
        issue_date=row.issue_date,
        due_date=row.due_date,
        zone=ZoneInfo(row.timezone),
        country=row.country,
    )
    try:
        planned = next_occurrence(flow, facts, row.business_now)
    except NeverOpens:
        return []
    ids = (row.invoice_id, row.installment_id, row.flow_version_id, row.generation)
    return [NewReminder(*ids, *row_tail(flow, found)) for found in planned]
