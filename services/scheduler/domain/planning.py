"""Planning: which reminders an invoice gets, and when. The only place that turns a flow into rows.

What must stay true:
- what `kept` names is never planned again, so that a re-plan doubles nothing;
- of a repeat one occurrence ahead is planned, and of those it missed at most one goes out: no outage ends in a burst;
- an installment whose follow-up was stopped gets no row any more.
"""

from datetime import datetime

from services.scheduler.domain.around_due import Target, around_due, upcoming
from services.scheduler.domain.by_event import by_event, event_time
from services.scheduler.domain.planned import THEN_LEG, InvoiceFacts, Plan, PlannedReminder, RowFacts, Skipped, Timed
from services.scheduler.domain.remembered import rows_ahead
from services.scheduler.domain.thens import of_kept, with_then
from services.scheduler.domain.timing import Timing
from shared.flow import FOREVER, Anchor, Flow, Start
from shared.states import ReminderState

NOT_ISSUED_TODAY = "not_issued_today"


def plan(flow: Flow, facts: InvoiceFacts, now: datetime) -> Plan:
    """The rows of one invoice. `now` is aware UTC."""
    timing = Timing(flow, facts.zone, facts.country, facts.issue_date, now)
    if flow.start is Start.ISSUED_TODAY and timing.calendar.local_day(facts.accepted_at or now) != timing.issue:
        return Plan((), nothing=NOT_ISSUED_TODAY)
    owing = [installment for installment in facts.installments if installment.open_amount > 0]
    rows = list(by_event(Anchor.ISSUE, flow, facts, owing, timing))
    for installment in owing:
        if installment.no in facts.stopped:
            continue
        if facts.kept:
            rows.extend(around_due(flow, installment, facts.kept, timing))
        else:
            rows.extend(rows_ahead(flow, installment, timing))
    for anchor in (Anchor.PAYMENT, Anchor.BROKEN_PROMISE):
        rows.extend(by_event(anchor, flow, facts, owing, timing))
    if facts.kept:
        rows.extend(of_kept(flow, facts, now))
    return Plan(tuple(rows), backlog=_is_backlog(flow, facts, timing))


def next_occurrence(flow: Flow, row: RowFacts, now: datetime) -> tuple[PlannedReminder, ...]:
    """What follows occurrence n of a repeat: the row of a later occurrence, and its `then`. Empty: it was the last."""
    step = flow.step(row.step)
    if step.repeat is None or row.leg == THEN_LEG or row.due_date is None or row.installment_no is None:
        return ()
    timing = Timing(flow, row.zone, row.country, row.issue_date, now)
    dated = timing.timetable(row.due_date.toordinal()).step(step.id)
    target = Target(step, dated, row.installment_no, row.due_date, row.leg)
    live = [found for found in upcoming(target, row.occurrence, timing) if found.state is ReminderState.PENDING]
    return tuple(leg for main in live for leg in with_then(step, main))


def retime(flow: Flow, row: RowFacts, now: datetime) -> Timed | Skipped:
    """When a row goes that has no time yet, or whose time passed."""
    start = max(now, row.due_at or now)
    step = flow.step(row.step)
    if row.leg == THEN_LEG:
        return Timed(start, FOREVER)
    timing = Timing(flow, row.zone, row.country, row.issue_date, now)
    if row.due_date is None or step.when.anchor is not Anchor.DUE:
        return event_time(step, row, timing)
    if row.send_until is None:
        return Timed(start, FOREVER)
    if start < row.send_until:
        return Timed(start, row.send_until)
    due = row.due_date.toordinal()
    dated = timing.timetable(due).step(row.step)
    judged = timing.catch_up_with(dated, due, dated.day(row.occurrence), start, tried=row.tried)
    return Skipped(judged.reason) if judged.reason else Timed(judged.slot.due_at, judged.slot.send_until)


def _is_backlog(flow: Flow, facts: InvoiceFacts, timing: Timing) -> bool:
    """By the EARLIEST open due date, and only while being accepted: one installment long overdue is reason enough for
    a person to look before anything goes out, and a hold that this person ended must not come back with a re-plan."""
    owed = [installment.due_date for installment in facts.installments if installment.open_amount > 0]
    if facts.accepted_at is not None or not owed:
        return False
    return timing.now - timing.calendar.midnight(min(owed).toordinal() + 1) > flow.catch_up.max_late
