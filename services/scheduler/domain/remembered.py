"""Rows of a due date that lie wholly ahead, remembered: an import has many invoices of few due dates.

What must stay true: what is remembered is exactly what would be computed. It holds for every moment before the first
of its windows closes and for every issue date up to its first day, because then nothing depends on either.
"""

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from services.scheduler.domain.around_due import around_due
from services.scheduler.domain.planned import THEN_LEG, Installment, PlannedReminder
from services.scheduler.domain.timing import Timing
from shared.flow import Calendar, Flow
from shared.flow.timetable import Timetable

MOST_REMEMBERED = 4096
NOTHING_KEPT = frozenset[tuple[int | None, str, int, str]]()


class _Remembered(NamedTuple):
    rows: tuple[PlannedReminder, ...]
    until: datetime
    issued_by: int


def rows_ahead(flow: Flow, installment: Installment, timing: Timing) -> tuple[PlannedReminder, ...]:
    """The same as `around_due` with nothing kept."""
    memory = _memory(flow.timetable, timing.calendar)
    key = (installment.no, installment.due_date)
    known = memory.get(key)
    if known is not None and timing.now < known.until and timing.issue <= known.issued_by:
        return known.rows
    rows = around_due(flow, installment, NOTHING_KEPT, timing)
    found = _if_lasting(rows, installment.due_date.toordinal(), timing)
    if found is not None:
        if len(memory) >= MOST_REMEMBERED:
            memory.clear()
        memory[key] = found
    return rows


def _if_lasting(rows: tuple[PlannedReminder, ...], due: int, timing: Timing) -> _Remembered | None:
    """Only rows exactly where the calendar alone puts them: neither missed, nor skipped, nor moved forward."""
    mains = [row for row in rows if row.leg != THEN_LEG]
    if not mains or any(row.reason for row in mains):
        return None
    untils, days = [], []
    for row in mains:
        step = timing.timetable(due).step(row.step)
        offset = step.day(row.occurrence)
        slot = timing.regular_slot(step, due, offset)
        if (row.due_at, row.send_until) != (slot.due_at, slot.send_until):
            return None
        untils.append(slot.send_until)
        days.append(min(slot.day, due + offset))
    return _Remembered(rows, min(untils), min(days))


@lru_cache(maxsize=1024)
def _memory(timetable: Timetable, calendar: Calendar) -> dict[tuple[int, object], _Remembered]:
    """One dictionary for each flow version and calendar; both are compared by identity."""
    return {}
