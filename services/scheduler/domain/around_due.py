"""The rows of the steps around one installment's due date, once or repeated.

What must stay true:
- an occurrence's number belongs to its day: numbers may be left out but never move;
- of the days a repeat missed only the latest gets a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from services.scheduler.domain.planned import MAIN_LEG, Installment, PlannedReminder, RowKey
from services.scheduler.domain.thens import with_then
from services.scheduler.domain.timing import Judged, Timing
from shared.flow import Anchor, Flow, Step
from shared.flow.timetable import DatedStep
from shared.states import ReminderState


@dataclass(frozen=True, slots=True)
class Target:
    """One step around the due date of one installment; `leg`: which of its messages, where it is a broadcast."""

    step: Step
    dated: DatedStep
    installment_no: int
    due_date: date
    leg: str = MAIN_LEG

    def judged(self, occurrence: int, timing: Timing) -> Judged:
        return timing.judge(self.dated, self.due_date.toordinal(), self.dated.day(occurrence))

    def is_over(self, occurrence: int, timing: Timing) -> bool:
        return timing.is_over(self.dated, self.due_date.toordinal(), self.dated.day(occurrence))


def around_due(
    flow: Flow, installment: Installment, kept: frozenset[RowKey], timing: Timing
) -> tuple[PlannedReminder, ...]:
    """All rows of one installment."""
    rows: list[PlannedReminder] = []
    for target in _targets(flow, installment, timing):
        last = _last_kept(target, kept)
        for main in upcoming(target, last, timing) if target.step.repeat else _single(target, last, timing):
            rows.extend(with_then(target.step, main))
    return tuple(rows)


def _targets(flow: Flow, installment: Installment, timing: Timing) -> Iterator[Target]:
    timetable = timing.timetable(installment.due_date.toordinal())
    for step in flow.anchored(Anchor.DUE):
        for leg in step.legs:
            yield Target(step, timetable.step(step.id), installment.no, installment.due_date, leg)


def upcoming(target: Target, last: int, timing: Timing) -> Iterator[PlannedReminder]:
    """After occurrence `last`: the latest missed one, skipped or caught up; unless it goes, the next that will go."""
    missed = _latest_over(target, timing)
    if missed > last:
        judged = target.judged(missed, timing)
        yield _row(target, missed, judged)
        if judged.reason is None:
            return
    for occurrence in range(max(missed, last) + 1, target.dated.times + 1):
        judged = target.judged(occurrence, timing)
        if judged.reason is None:
            yield _row(target, occurrence, judged)
            return


def _single(target: Target, last: int, timing: Timing) -> Iterator[PlannedReminder]:
    if last == 0:
        yield _row(target, 1, target.judged(1, timing))


def _last_kept(target: Target, kept: frozenset[RowKey]) -> int:
    """The highest occurrence that may have gone out; 0 when none."""
    mine = (target.installment_no, target.step.id, target.leg)
    return max((n for no, step, n, leg in kept if (no, step, leg) == mine), default=0) if kept else 0


def _latest_over(target: Target, timing: Timing) -> int:
    """The last occurrence whose window has closed, or 0."""
    occurrence = target.dated.latest_by(timing.today - target.due_date.toordinal())
    while occurrence > 0 and not target.is_over(occurrence, timing):
        occurrence -= 1
    return max(occurrence, 0)


def _row(target: Target, occurrence: int, judged: Judged) -> PlannedReminder:
    return PlannedReminder(
        step=target.step.id,
        occurrence=occurrence,
        leg=target.leg,
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
