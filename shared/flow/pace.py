"""The worst case of a flow: how often a customer is written to within a week, and what one invoice costs.

What must stay true: it counts what the planning would send, closed days included, and what the caps let out of it;
holidays, which differ by country, only push messages further together by days that nobody knows here. Contacts are
counted as the caps count them: neither the delivery nor thanks nor what follows a call.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from shared.flow.calendar import Calendar, calendar_of
from shared.flow.ground import Ground
from shared.flow.spec import SOME_MONDAY, Flow
from shared.flow.steps import Step
from shared.flow.timetable import DatedStep
from shared.kernel.caps import Caps

WEEK = 7
FURTHEST = 1100  # days after the due date that are looked at; what goes on longer goes on alike
Spoken = tuple[int, DatedStep, int]
"""(day after the due date, step, occurrence)"""


@dataclass(frozen=True, slots=True)
class WorstCase:
    """`contacts_a_week`: of one invoice. `contacts_of_many`: in a calendar week, however many invoices a customer has; None:
    as many as there are invoices. `cost_a_case`: all that the caps let out goes, each over all of its channels. The
    delivery and the thanks cost, too."""

    contacts_a_week: int
    messages_a_case: int
    cost_a_case: Decimal
    contacts_of_many: int | None = None


@dataclass(frozen=True, slots=True)
class Busiest:
    """So many contacts of one invoice within some days, if nothing caps them, from a day after the due date on."""

    contacts: int
    from_day: int


def worst_case(flow: Flow, ground: Ground) -> WorstCase:
    caps = ground.caps.within(flow.caps)
    allowed, together = _allowed(flow, caps), _together(flow)
    many = min((bound for bound in (allowed, together) if bound is not None), default=None)
    week = busiest(flow, WEEK).contacts
    sent = _sent(flow, ground, allowed)
    return WorstCase(
        week if many is None else min(week, many),
        sum(map(_messages, sent)),
        sum((_cost(step, ground) for step in sent), start=Decimal(0)),
        many,
    )


def busiest(flow: Flow, days: int) -> Busiest:
    """Of several such stretches the earliest."""
    found = (_busiest(_by_day(flow, due), days) for due in mondays_to_sunday())
    most, day = max(found, default=(0, 0))
    return Busiest(most, -day)


def _busiest(contacts: Mapping[int, int], days: int) -> tuple[int, int]:
    stretches = ((sum(contacts.get(day + n, 0) for n in range(days)), -day) for day in contacts)
    return max(stretches, default=(0, 0))


def spoken_days(flow: Flow, due: int) -> Iterator[Spoken]:
    """All that would go out around this due date, in order: a later step takes the day."""
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


def mondays_to_sunday() -> range:
    return range(SOME_MONDAY, SOME_MONDAY + WEEK)


def contacts(step: Step) -> int:
    """Of one occurrence, as the caps count them."""
    return len(step.legs) if step.speaks and step.requires_open else 0


def _by_day(flow: Flow, due: int) -> Mapping[int, int]:
    found: dict[int, int] = defaultdict(int)
    for day, dated, _ in spoken_days(flow, due):
        found[day] += contacts(flow.step(dated.id))
    return found


def _allowed(flow: Flow, caps: Caps) -> int | None:
    """Contacts of a customer in a calendar week, by the caps."""
    days = len(flow.window.weekdays)
    gap = timedelta(days=WEEK) // caps.gap + 1 if caps.gap else None
    bounds = (caps.per_week, caps.per_day and caps.per_day * days, gap)
    return min((bound for bound in bounds if bound is not None), default=None)


def _together(flow: Flow) -> int | None:
    """The same, where one message speaks of all invoices of a creditor that are due at one time of the day."""
    counted = [step for step in flow.steps if contacts(step)]
    if any(step.id not in flow.grouped for step in counted):
        return None
    return len({(step.when.minute, step.channels, leg) for step in counted for leg in step.legs}) * len(
        flow.window.weekdays
    )


def _sent(flow: Flow, ground: Ground, allowed: int | None) -> list[Step]:
    """Each step as often as it goes; of what the caps count the dearest, as many as the weeks of a case let out."""
    every = [step for step in flow.steps if step.speaks for _ in range(_times(step))]
    if allowed is None:
        return every
    days = [dated.day(n) for dated in flow.timetable.steps for n in (1, dated.times)]
    weeks = (max(days, default=0) - min(days, default=0) + flow.catch_up.max_late.days) // WEEK + 2
    counted = sorted((step for step in every if contacts(step)), key=lambda step: -_cost(step, ground))
    return [step for step in every if not contacts(step)] + counted[: allowed * weeks]


def _times(step: Step) -> int:
    return (step.repeat.times or 1) if step.repeat else 1


def _messages(step: Step) -> int:
    return len(step.legs) + (step.then is not None)


def _cost(step: Step, ground: Ground) -> Decimal:
    """Of one occurrence: every channel is tried and billed."""
    channels = [*(step.broadcast or step.channels or ()), *(step.then.channels if step.then else ())]
    return sum((ground.price(channel) for channel in channels), start=Decimal(0))
