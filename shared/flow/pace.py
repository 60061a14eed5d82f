"""The worst case of a flow: how often a customer is written to within a week, and what one invoice costs.

What must stay true: it counts what the planning would send, closed days included; holidays, which differ by country,
only push messages further together by days that nobody knows here.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from shared.flow.calendar import Calendar, calendar_of
from shared.flow.ground import Ground
from shared.flow.spec import SOME_MONDAY, Flow
from shared.flow.steps import Step
from shared.flow.timetable import DatedStep

WEEK = 7
FURTHEST = 1100  # days after the due date that are looked at; what goes on longer goes on alike


@dataclass(frozen=True, slots=True)
class WorstCase:
    """`contacts_a_week`: reminders within seven days, the first of them `from_day` days after the due date.
    `cost_a_case`: every occurrence goes out, each over all of its channels. The delivery and the thanks cost, too."""

    contacts_a_week: int
    from_day: int
    messages_a_case: int
    cost_a_case: Decimal


def worst_case(flow: Flow, ground: Ground) -> WorstCase:
    contacts, from_day = max((_worst_week(_by_day(flow, due)) for due in _mondays_to_sunday()), default=(0, 0))
    counted = [(step, _times(step)) for step in flow.steps if step.speaks]
    return WorstCase(
        contacts,
        from_day,
        sum(times * _messages(step) for step, times in counted),
        sum((times * _cost(step, ground) for step, times in counted), start=Decimal(0)),
    )


def spoken_days(flow: Flow, due: int) -> Iterator[tuple[int, DatedStep, int]]:
    """(day, step, occurrence) of all that would go out around this due date, in order: a later step takes the day."""
    calendar, timetable = open_days(flow), flow.timetable_of(due, None)
    for step in timetable.steps:
        for occurrence in range(1, step.times + 1) if step.speaks else ():
            offset = step.day(occurrence)
            if offset > FURTHEST:
                break
            day = moved(calendar, due, offset)
            following = timetable.following(offset)
            if following is None or moved(calendar, due, following) > day:
                yield day - due, step, occurrence


def open_days(flow: Flow) -> Calendar:
    """Of nowhere in particular: weekdays only."""
    return calendar_of(flow.window, ZoneInfo("UTC"), None)


def moved(calendar: Calendar, due: int, offset: int) -> int:
    """The open day on which a step of this offset goes."""
    move = calendar.slot_after if offset > 0 else calendar.slot_before
    return move(due + offset, 0).day


def _mondays_to_sunday() -> range:
    return range(SOME_MONDAY, SOME_MONDAY + WEEK)


def _by_day(flow: Flow, due: int) -> Mapping[int, int]:
    messages: dict[int, int] = defaultdict(int)
    for day, dated, _ in spoken_days(flow, due):
        messages[day] += _messages(flow.step(dated.id))
    return messages


def _worst_week(messages: Mapping[int, int]) -> tuple[int, int]:
    """The most within seven days; of several such weeks the earliest."""
    weeks = ((sum(messages.get(day + n, 0) for n in range(WEEK)), -day) for day in messages)
    most, day = max(weeks, default=(0, 0))
    return most, -day


def _times(step: Step) -> int:
    return (step.repeat.times or 1) if step.repeat else 1


def _messages(step: Step) -> int:
    return len(step.legs) + (step.then is not None)


def _cost(step: Step, ground: Ground) -> Decimal:
    """Of one occurrence: every channel is tried and billed."""
    channels = [*(step.broadcast or step.channels or ()), *(step.then.channels if step.then else ())]
    return sum((ground.price(channel) for channel in channels), start=Decimal(0))
