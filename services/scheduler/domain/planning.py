"""Planning: which reminders an invoice gets, and when. The only place that turns a flow into rows.

What must stay true:
- what `kept` names is never planned again, so that a re-plan doubles nothing;
- of a repeat one occurrence ahead is planned, and of those it missed at most one goes out: no outage ends in a burst;
- the delivery is never dropped, whatever else is late.
"""

from collections.abc import Iterator
from datetime import date, datetime

from services.scheduler.domain.around_due import Target, around_due, upcoming
from services.scheduler.domain.planned import MAIN_LEG, InvoiceFacts, Plan, PlannedReminder, RowFacts, Skipped, Timed
from services.scheduler.domain.remembered import rows_ahead
from services.scheduler.domain.thens import of_kept, with_then
from services.scheduler.domain.timing import Timing
from shared.flow import FOREVER, Anchor, Flow, Start, Step
from shared.states import ReminderState

NOT_ISSUED_TODAY = "not_issued_today"


def plan(flow: Flow, facts: InvoiceFacts, now: datetime) -> Plan:
    """The rows of one invoice. `now` is aware UTC."""
    timing = Timing(flow, facts.zone, facts.country, facts.issue_date, now)
    if flow.start is Start.ISSUED_TODAY and timing.calendar.local_day(facts.accepted_at or now) != timing.issue:
        return Plan((), nothing=NOT_ISSUED_TODAY)
    rows: list[PlannedReminder] = []
    owing = [installment for installment in facts.installments if installment.open_amount > 0]
    for step in flow.anchored(Anchor.ISSUE):
        if (owing or not step.requires_open) and (None, step.id, 1, MAIN_LEG) not in facts.kept:
            rows.extend(with_then(step, _delivery(step, timing)))
    for installment in owing:
        if facts.kept:
            rows.extend(around_due(flow, installment, facts.kept, timing))
        else:
            rows.extend(rows_ahead(flow, installment, timing))
    for step in flow.anchored(Anchor.PAYMENT):
        rows.extend(_thank_you(step, facts, now))
    if facts.kept:
        rows.extend(of_kept(flow, facts, now))
    return Plan(tuple(rows), backlog=_is_backlog(flow, facts, timing))


def next_occurrence(flow: Flow, row: RowFacts, now: datetime) -> tuple[PlannedReminder, ...]:
    """What follows occurrence n of a repeat: the row of a later occurrence, and its `then`. Empty: it was the last."""
    step = flow.step(row.step)
    if step.repeat is None or row.leg != MAIN_LEG or row.due_date is None or row.installment_no is None:
        return ()
    timing = Timing(flow, row.zone, row.country, row.issue_date, now)
    target = Target(step, flow.timetable.step(step.id), row.installment_no, row.due_date)
    live = [found for found in upcoming(target, row.occurrence, timing) if found.state is ReminderState.PENDING]
    return tuple(leg for main in live for leg in with_then(step, main))


def retime(flow: Flow, row: RowFacts, now: datetime) -> Timed | Skipped:
    """When a row goes that has no time yet, or whose time passed."""
    start = max(now, row.due_at or now)
    if row.send_until is None or row.due_date is None or row.leg != MAIN_LEG:
        return Timed(start, FOREVER)
    if start < row.send_until:
        return Timed(start, row.send_until)
    timing = Timing(flow, row.zone, row.country, row.issue_date, now)
    step = flow.timetable.step(row.step)
    judged = timing.catch_up_with(step, row.due_date.toordinal(), step.day(row.occurrence), start, tried=row.tried)
    return Skipped(judged.reason) if judged.reason else Timed(judged.slot.due_at, judged.slot.send_until)


def _delivery(step: Step, timing: Timing) -> PlannedReminder:
    return PlannedReminder(
        step=step.id,
        occurrence=1,
        leg=MAIN_LEG,
        anchor=Anchor.ISSUE,
        installment_no=None,
        anchor_date=date.fromordinal(timing.issue),
        requires_open=step.requires_open,
        urgent=step.urgent,
        state=ReminderState.PENDING,
        due_at=max(timing.now, timing.calendar.midnight(timing.issue)),
        send_until=FOREVER,
    )


def _thank_you(step: Step, facts: InvoiceFacts, now: datetime) -> Iterator[PlannedReminder]:
    """One for each settlement: waiting for the next one while open, due when it is planned on a paid invoice."""
    if facts.paid and (facts.settled_by_credit_alone or facts.settled_n == 0):
        return
    occurrence = facts.settled_n if facts.paid else facts.settled_n + 1
    if (None, step.id, occurrence, MAIN_LEG) in facts.kept:
        return
    row = PlannedReminder(
        step=step.id,
        occurrence=occurrence,
        leg=MAIN_LEG,
        anchor=Anchor.PAYMENT,
        installment_no=None,
        anchor_date=None,
        requires_open=step.requires_open,
        urgent=step.urgent,
        state=ReminderState.PENDING if facts.paid else ReminderState.WAITING,
        due_at=now if facts.paid else None,
    )
    yield from with_then(step, row)


def _is_backlog(flow: Flow, facts: InvoiceFacts, timing: Timing) -> bool:
    """By the EARLIEST open due date, and only while being accepted: one installment long overdue is reason enough for
    a person to look before anything goes out, and a hold that this person ended must not come back with a re-plan."""
    owed = [installment.due_date for installment in facts.installments if installment.open_amount > 0]
    if facts.accepted_at is not None or not owed:
        return False
    return timing.now - timing.calendar.midnight(min(owed).toordinal() + 1) > flow.catch_up.max_late
