"""The rows of one step around one installment's due date, once or repeated.

What must stay true: an occurrence's number belongs to its day, so that numbers may be left out but never move; of the
days a repeat missed only the latest gets a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from services.scheduler.domain.planned import MAIN_LEG, PlannedReminder, RowKey
from services.scheduler.domain.timing import Judged, Timing
from shared.flow import Anchor, Step
from shared.flow.timetable import DatedStep
from shared.states import ReminderState


@dataclass(frozen=True, slots=True)
class Target:
    """One step around the due date of one installment."""

    step: Step
    dated: DatedStep
    installment_no: int
    due_date: date

    def last_of(self, kept: frozenset[RowKey]) -> int:
        """The highest occurrence that may have gone out; 0 when none."""
        mine = (self.installment_no, self.step.id, MAIN_LEG)
        return max((n for no, step, n, leg in kept if (no, step, leg) == mine), default=0)


def single(target: Target, kept: frozenset[RowKey], timing: Timing) -> Iterator[PlannedReminder]:
    if (target.installment_no, target.step.id, 1, MAIN_LEG) not in kept:
        yield _row(target, 1, _judged(target, 1, timing))


def upcoming(target: Target, last: int, timing: Timing) -> Iterator[PlannedReminder]:
    """After occurrence `last`: the latest missed one, skipped or caught up; unless it goes, the next that will go."""
    missed = _latest_over(target, timing)
    if missed > last:
        judged = _judged(target, missed, timing)
        yield _row(target, missed, judged)
        if judged.reason is None:
            return
    for occurrence in range(max(missed, last) + 1, target.dated.times + 1):
        judged = _judged(target, occurrence, timing)
        if judged.reason is None:
            yield _row(target, occurrence, judged)
            return


def _latest_over(target: Target, timing: Timing) -> int:
    """The last occurrence whose window has closed, or 0."""
    dated, due = target.dated, target.due_date.toordinal()
    occurrence = min((timing.today - due - dated.offset) // dated.every + 1, dated.times)
    while occurrence > 0 and not timing.is_over(dated, due, dated.day(occurrence)):
        occurrence -= 1
    return max(occurrence, 0)


def _judged(target: Target, occurrence: int, timing: Timing) -> Judged:
    return timing.judge(target.dated, target.due_date.toordinal(), target.dated.day(occurrence))


def _row(target: Target, occurrence: int, judged: Judged) -> PlannedReminder:
    return PlannedReminder(
        step=target.step.id,
        occurrence=occurrence,
        leg=MAIN_LEG,
        anchor=Anchor.DUE,
        installment_no=target.installment_no,
        anchor_date=target.due_date,
        requires_open=target.step.requires_open,
        urgent=target.step.urgent,
        state=ReminderState.SKIPPED if judged.reason else ReminderState.PENDING,
        reason=judged.reason,
        due_at=judged.slot.due_at,
        send_until=judged.slot.send_until,
    )
