"""When a step around the due date goes out, or why it does not.

What must stay true:
- never before the invoice's issue date, never outside the window of its day;
- up to the due date a closed day gives way to the previous open one, after it to the next one;
- a step whose time passed follows the flow's catch-up rule, the same one in planning and in timing anew;
- no step goes out on the day of a later step of the same installment: the later one speaks.
"""

from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.scheduler.domain.planned import SkipReason
from shared.flow import Flow, Missed, calendar_of
from shared.flow.calendar import Slot
from shared.flow.timetable import DatedStep, Timetable


class Judged(NamedTuple):
    """The slot of a step; with a reason, the slot that it would have had."""

    slot: Slot
    reason: SkipReason | None = None


class Timing:
    """One flow in one customer's zone and country, for one invoice, at one moment."""

    __slots__ = ("calendar", "catch_up", "country", "flow", "issue", "now", "today")

    def __init__(self, flow: Flow, zone: ZoneInfo, country: str | None, issue_date: date, now: datetime) -> None:
        self.flow = flow
        self.country = country
        self.catch_up = flow.catch_up
        self.calendar = calendar_of(flow.window, zone, country)
        self.issue = issue_date.toordinal()
        self.now = now
        self.today = self.calendar.local_day(now)

    def timetable(self, due: int) -> Timetable:
        return self.flow.timetable_of(due, self.country)

    def judge(self, step: DatedStep, due: int, offset: int) -> Judged:
        """`due`: the due date, `offset`: the occurrence's day after it."""
        slot = self.slot(step, due, offset)
        if due + offset < self.issue:
            return Judged(slot, SkipReason.BEFORE_ISSUE)
        if slot.send_until <= self.now:
            return self.catch_up_with(step, due, offset, self.now, tried=False)
        if offset < 0 and slot.day > due:
            return Judged(slot, SkipReason.TOO_LATE)  # moved forward past the date that it announces
        if step.speaks and self._superseded(due, offset, slot.day):
            return Judged(slot, SkipReason.SUPERSEDED)
        return Judged(slot)

    def slot(self, step: DatedStep, due: int, offset: int) -> Slot:
        """The time that the calendar gives, which may have passed."""
        day = due + offset
        slot = self.regular_slot(step, due, offset)
        if slot.day >= day:
            return slot
        # The day is closed. What the move would take before the issue date or into the past goes forward instead.
        over = slot.send_until <= self.now and day >= self.today
        return self._forward(step) if slot.day < self.issue or over else slot

    def regular_slot(self, step: DatedStep, due: int, offset: int) -> Slot:
        """By the calendar alone, whatever the issue date and the moment."""
        move = self.calendar.slot_after if offset > 0 else self.calendar.slot_before
        return move(due + offset, step.at)

    def is_over(self, step: DatedStep, due: int, offset: int) -> bool:
        return self.slot(step, due, offset).send_until <= self.now

    def catch_up_with(self, step: DatedStep, due: int, offset: int, moment: datetime, *, tried: bool) -> Judged:
        """The step missed its slot; the next opening at `moment`, if the rule allows it. What sends nothing is always
        caught up with."""
        slot = self.slot(step, due, offset)
        if not step.speaks:
            opening = self.calendar.next_opening(moment)
            return Judged(Slot(opening.day, max(moment, opening.opens), opening.closes))
        if self.catch_up.missed is Missed.SKIP and not tried:
            return Judged(slot, SkipReason.MISSED)
        if moment - slot.due_at > self.catch_up.max_late:
            return Judged(slot, SkipReason.TOO_LATE)
        opening = self.calendar.next_opening(moment)
        if offset < 0 and opening.day > due:
            return Judged(slot, SkipReason.TOO_LATE)
        if self._superseded(due, offset, opening.day) or self._spoken_for(step, due, offset):
            return Judged(slot, SkipReason.SUPERSEDED)
        return Judged(Slot(opening.day, max(moment, opening.opens), opening.closes))

    def _forward(self, step: DatedStep) -> Slot:
        earliest = max(self.now, self.calendar.midnight(self.issue))
        slot = self.calendar.slot_in(self.calendar.next_opening(earliest), step.at)
        return slot._replace(due_at=max(slot.due_at, earliest))

    def _superseded(self, due: int, offset: int, day: int) -> bool:
        """Whether the next step of the installment falls on `day` or before it, where closed days move it."""
        following = self.timetable(due).following(offset)
        if following is None:
            return False
        move = self.calendar.slot_after if following > 0 else self.calendar.slot_before
        return move(due + following, 0).day <= day

    def _spoken_for(self, step: DatedStep, due: int, offset: int) -> bool:
        """Of several missed steps of one day, `latest_only` sends the last one of the flow."""
        return self.catch_up.missed is Missed.LATEST_ONLY and self.timetable(due).last_on(offset) != step.index
