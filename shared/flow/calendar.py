"""When one may speak to a customer: opening windows per local day, as exact instants.

What must stay true:
- every instant that leaves this module is aware UTC; local rules are turned into instants here and nowhere else;
- a local time that the clock skips becomes the first instant after the gap; one that comes twice means its first pass;
- a day is open or it has no opening at all: its window never reaches into another local day;
- an instant found for a step lies inside the window of the day found for it.

Days are ordinals (`date.toordinal`) inside, because they are computed and compared by the million.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from shared.flow.public_holidays import is_holiday

FOREVER = datetime(9999, 12, 31, tzinfo=UTC)
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2199, 12, 31)  # dates of invoices outside are refused by the API

_MINUTE = timedelta(minutes=1)
_BEFORE_CLOSING = timedelta(minutes=30)  # where a time of day after the window's end is moved to
_SEARCHED_DAYS = 400
_KEPT_DAYS = 8192


class NeverOpens(Exception):
    """No opening within 400 days. Give the contact window more days or hours."""


@dataclass(frozen=True, slots=True)
class Window:
    """Minutes of the local day, `opens < closes <= 1440`; weekdays count from Monday = 0."""

    opens: int = 0
    closes: int = 1440
    weekdays: frozenset[int] = frozenset(range(7))
    avoid_holidays: bool = False


class Opening(NamedTuple):
    """The window of one local day: `opens <= instant < closes`, both aware UTC."""

    day: int
    opens: datetime
    closes: datetime


class Slot(NamedTuple):
    """When a step may go: from `due_at`, before `send_until`, on the local day `day`."""

    day: int
    due_at: datetime
    send_until: datetime


class Calendar:
    """The openings of one window in one zone and country. Obtain it through `calendar_of`: it remembers days."""

    __slots__ = ("_after", "_before", "_country", "_midnights", "_openings", "_window", "zone")

    def __init__(self, window: Window, zone: ZoneInfo, country: str | None) -> None:
        self.zone = zone
        self._window = window
        self._country = country
        self._openings: dict[int, Opening | None] = {}
        self._midnights: dict[int, datetime] = {}
        self._after: dict[tuple[int, int], Slot] = {}
        self._before: dict[tuple[int, int], Slot] = {}

    def opening(self, day: int) -> Opening | None:
        """The window of this local day, None when it is closed."""
        if day not in self._openings:
            _make_room(self._openings)
            self._openings[day] = self._find_opening(day)
        return self._openings[day]

    def next_open_day(self, day: int) -> Opening:
        """The first opening on this day or after it."""
        return self._search(range(day, day + _SEARCHED_DAYS))

    def previous_open_day(self, day: int) -> Opening:
        """The last opening on this day or before it."""
        return self._search(range(day, day - _SEARCHED_DAYS, -1))

    def next_opening(self, after: datetime) -> Opening:
        """The first opening that is not over at `after`: it may already be open."""
        opening = self.next_open_day(self.local_day(after))
        return opening if opening.closes > after else self.next_open_day(opening.day + 1)

    def slot_after(self, day: int, at: int) -> Slot:
        """At the local minute `at` of this day, or of the next open one."""
        slot = self._after.get((day, at))
        if slot is None:
            _make_room(self._after)
            slot = self._after[day, at] = self.slot_in(self.next_open_day(day), at)
        return slot

    def slot_before(self, day: int, at: int) -> Slot:
        """At the local minute `at` of this day, or of the previous open one."""
        slot = self._before.get((day, at))
        if slot is None:
            _make_room(self._before)
            slot = self._before[day, at] = self.slot_in(self.previous_open_day(day), at)
        return slot

    def slot_in(self, opening: Opening, at: int) -> Slot:
        """At the local minute `at` of an open day, moved into its window."""
        due_at = instant(self.zone, opening.day, at)
        if due_at >= opening.closes:
            due_at = opening.closes - _BEFORE_CLOSING
        return Slot(opening.day, max(due_at, opening.opens), opening.closes)

    def local_day(self, moment: datetime) -> int:
        return moment.astimezone(self.zone).toordinal()

    def midnight(self, day: int) -> datetime:
        """The first instant of a local day."""
        found = self._midnights.get(day)
        if found is None:
            _make_room(self._midnights)
            found = self._midnights[day] = instant(self.zone, day, 0)
        return found

    def _find_opening(self, day: int) -> Opening | None:
        if (day - 1) % 7 not in self._window.weekdays:  # date.fromordinal(1) was a Monday
            return None
        if self._window.avoid_holidays and is_holiday(self._country, date.fromordinal(day)):
            return None
        opens, closes = instant(self.zone, day, self._window.opens), instant(self.zone, day, self._window.closes)
        return Opening(day, opens, closes) if opens < closes else None

    def _search(self, days: range) -> Opening:
        for day in days:
            opening = self.opening(day)
            if opening is not None:
                return opening
        around = date.fromordinal(days.start)
        raise NeverOpens(f"the contact window has no opening within {_SEARCHED_DAYS} days of {around} in {self.zone}")


@lru_cache(maxsize=4096)
def calendar_of(window: Window, zone: ZoneInfo, country: str | None) -> Calendar:
    return Calendar(window, zone, country)


def may_interrupt(now: datetime, window: Window, zone: ZoneInfo, country: str | None) -> datetime | None:
    """None: a message that interrupts (anything but email) may go now. Else the instant when the window opens."""
    opening = calendar_of(window, zone, country).next_opening(now)
    return None if opening.opens <= now else opening.opens


def instant(zone: ZoneInfo, day: int, minute: int) -> datetime:
    """The UTC instant of a local minute; 1440 is the next day's midnight."""
    local = datetime.combine(date.fromordinal(day), time()) + minute * _MINUTE
    found = local.replace(tzinfo=zone).astimezone(UTC)
    if found.astimezone(zone).replace(tzinfo=None) == local:
        return found
    return _end_of_gap(zone, local)


def _end_of_gap(zone: ZoneInfo, local: datetime) -> datetime:
    """The first instant after the gap that swallows `local`: found between the two readings of its offset."""
    low = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    high = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    before = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= _KEPT_DAYS:
        kept.clear()
