"""The rows that follow what happened to the whole invoice: its issue, its payment, a promise that was broken.

What must stay true:
- each goes once per event: the delivery once, the thank-you once per settlement, the answer to a broken promise once
  per promise;
- the delivery is never dropped, whatever else is late;
- what follows an event later goes on its local day, inside the window, and on no day on which a due date is spoken of.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

from services.scheduler.domain.planned import (
    Installment,
    InvoiceFacts,
    PlannedReminder,
    RowFacts,
    Skipped,
    SkipReason,
    Timed,
)
from services.scheduler.domain.thens import with_then
from services.scheduler.domain.timing import Judged, Timing
from shared.flow import FOREVER, Anchor, Flow, Missed, Step
from shared.flow.calendar import Slot
from shared.states import ReminderState


def by_event(
    anchor: Anchor, flow: Flow, facts: InvoiceFacts, owing: Sequence[Installment], timing: Timing
) -> Iterator[PlannedReminder]:
    """Those on or after one kind of event, but for those that `facts.kept` names."""
    for step in flow.anchored(anchor):
        for leg in step.legs:
            for row in _PLANS[anchor](step, leg, facts, owing, timing):
                if (None, row.step, row.occurrence, row.leg) not in facts.kept:
                    yield from with_then(step, row)


def event_time(step: Step, row: RowFacts, timing: Timing) -> Timed | Skipped:
    """When a row goes that has no due date: it was triggered (no `send_until`), or its time passed."""
    start = max(timing.now, row.due_at or timing.now)
    if step.when.on in ("issue", "payment", "due") or (row.send_until is None and step.when.after == "issue"):
        return Timed(start, FOREVER)
    if row.send_until is None:
        slot = _slot(step, timing.calendar.local_day(row.due_at or start), timing)
        if slot.send_until > start:
            return Timed(max(slot.due_at, start), slot.send_until)
    else:
        slot = Slot(0, row.due_at or start, row.send_until)
        if start < row.send_until:
            return Timed(start, row.send_until)
    judged = _caught_up(slot, timing, start, tried=row.tried)
    return Skipped(judged.reason) if judged.reason else Timed(judged.slot.due_at, judged.slot.send_until)


def _on_issue(
    step: Step, leg: str, _: InvoiceFacts, owing: Sequence[Installment], timing: Timing
) -> Iterator[PlannedReminder]:
    if step.requires_open and not owing:
        return
    if step.when.on:
        due_at = max(timing.now, timing.calendar.midnight(timing.issue))
        yield _row(step, leg, timing, 1, due_at=due_at, send_until=FOREVER)
        return
    slot = _slot(step, timing.issue, timing)
    judged = Judged(slot) if slot.send_until > timing.now else _caught_up(slot, timing, timing.now, tried=False)
    if judged.reason is None and any(_speaks_on(judged.slot.day, part, timing) for part in owing):
        judged = Judged(judged.slot, SkipReason.SUPERSEDED)
    yield _row(step, leg, timing, 1, judged.reason, due_at=judged.slot.due_at, send_until=judged.slot.send_until)


def _thank_you(
    step: Step, leg: str, facts: InvoiceFacts, _: Sequence[Installment], timing: Timing
) -> Iterator[PlannedReminder]:
    """One for each settlement: waiting for the next one while open, due when it is planned on a paid invoice."""
    if facts.paid and (facts.settled_by_credit_alone or facts.settled_n == 0):
        return
    occurrence = facts.settled_n if facts.paid else facts.settled_n + 1
    yield _row(step, leg, timing, occurrence, due_at=timing.now if facts.paid else None)


def _broken(
    step: Step, leg: str, facts: InvoiceFacts, owing: Sequence[Installment], timing: Timing
) -> Iterator[PlannedReminder]:
    """One waits for the next promise; that of the last one goes unless it did, while it is not too late."""
    if step.requires_open and not owing:
        return
    if facts.broken_at is not None and timing.now - facts.broken_at <= timing.catch_up.max_late:
        yield _row(step, leg, timing, facts.broken_n, due_at=facts.broken_at)
    yield _row(step, leg, timing, facts.broken_n + 1)


def _row(
    step: Step,
    leg: str,
    timing: Timing,
    occurrence: int,
    reason: SkipReason | None = None,
    *,
    due_at: datetime | None = None,
    send_until: datetime | None = None,
) -> PlannedReminder:
    live = ReminderState.PENDING if due_at else ReminderState.WAITING
    anchor = step.when.anchor
    return PlannedReminder(
        step=step.id,
        occurrence=occurrence,
        leg=leg,
        anchor=anchor,
        installment_no=None,
        anchor_date=None if anchor is Anchor.PAYMENT else date.fromordinal(timing.issue),
        requires_open=step.requires_open,
        urgent=step.urgent,
        state=ReminderState.SKIPPED if reason else live,
        reason=reason,
        due_at=due_at,
        send_until=send_until,
    )


def _slot(step: Step, event_day: int, timing: Timing) -> Slot:
    return timing.calendar.slot_after(step.when.day(event_day, timing.country), step.when.minute)


def _caught_up(slot: Slot, timing: Timing, moment: datetime, *, tried: bool) -> Judged:
    if timing.catch_up.missed is Missed.SKIP and not tried:
        return Judged(slot, SkipReason.MISSED)
    if moment - slot.due_at > timing.catch_up.max_late:
        return Judged(slot, SkipReason.TOO_LATE)
    opening = timing.calendar.next_opening(moment)
    return Judged(Slot(opening.day, max(moment, opening.opens), opening.closes))


def _speaks_on(day: int, part: Installment, timing: Timing) -> bool:
    """Whether a step around this due date goes out on `day`, where closed days move it."""
    due = part.due_date.toordinal()
    for dated in timing.timetable(due).steps:
        before = dated.latest_by(day - due)
        for occurrence in (before, before + 1) if dated.speaks else ():
            if 1 <= occurrence <= dated.times and timing.regular_slot(dated, due, dated.day(occurrence)).day == day:
                return True
    return False


_PLANS = {Anchor.ISSUE: _on_issue, Anchor.PAYMENT: _thank_you, Anchor.BROKEN_PROMISE: _broken}
