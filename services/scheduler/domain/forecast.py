"""What a flow would do with one invoice up to a day, if nobody paid: its plan, with every later occurrence.

What must stay true: it is the planning itself that answers, asked again at each moment at which the scheduler would ask
it; nothing is decided here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from services.scheduler.domain.planned import THEN_LEG, InvoiceFacts, PlannedReminder, RowFacts
from services.scheduler.domain.planning import next_occurrence, plan
from shared.flow import Flow
from shared.states import ReminderState


@dataclass(frozen=True, slots=True)
class Forecast:
    """`rows` by time: what goes and what is left out, at the latest at the end asked for. `waiting`: what needs an event
    that nobody can foresee. `nothing`, `backlog`: as in a plan."""

    rows: tuple[PlannedReminder, ...]
    waiting: tuple[PlannedReminder, ...] = ()
    backlog: bool = False
    nothing: str | None = None


def forecast(flow: Flow, facts: InvoiceFacts, now: datetime, until: datetime) -> Forecast:
    planned = plan(flow, facts, now)
    due_dates = {part.no: part.due_date for part in facts.installments}
    rows: list[PlannedReminder] = []
    waiting = [row for row in planned.reminders if row.state is ReminderState.WAITING and row.leg != THEN_LEG]
    for row in planned.reminders:
        if row.due_at is not None:
            rows.extend(_with_followers(flow, facts, row, due_dates, until))
    rows.sort(key=_time)
    return Forecast(tuple(row for row in rows if _time(row) <= until), tuple(waiting), planned.backlog, planned.nothing)


def _with_followers(
    flow: Flow, facts: InvoiceFacts, row: PlannedReminder, due_dates: dict[int, date], until: datetime
) -> Iterator[PlannedReminder]:
    """The row, its `then`, and all occurrences after it."""
    step, current = flow.step(row.step), row
    while True:
        yield current
        if current.state is ReminderState.PENDING and step.then is not None and current.leg != THEN_LEG:
            yield current._replace(leg=THEN_LEG)
        if step.repeat is None or current.leg == THEN_LEG or _time(current) > until:
            return
        asked = RowFacts(
            current.step,
            current.occurrence,
            current.leg,
            current.installment_no,
            facts.issue_date,
            due_dates.get(current.installment_no or 0),
            facts.zone,
            facts.country,
        )
        later = next((one for one in next_occurrence(flow, asked, _time(current)) if one.leg == current.leg), None)
        if later is None or current.state is not ReminderState.PENDING:
            return
        current = later


def _time(row: PlannedReminder) -> datetime:
    assert row.due_at is not None
    return row.due_at
