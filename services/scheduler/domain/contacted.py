"""How often a customer was contacted, and whether another contact is within the caps: as `claim` counts it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from shared.flow.calendar import instant
from shared.kernel.caps import Caps


@dataclass(slots=True)
class Contacted:
    """`last_at`: the last contact. `day_n` contacts on the local day `day` (an ordinal), `week_n` in the week of the Monday
    `week`."""

    caps: Caps
    last_at: datetime | None = None
    day: int = 0
    day_n: int = 0
    week: int = 0
    week_n: int = 0

    def wait(self, at: datetime, zone: ZoneInfo) -> timedelta | None:
        """How long until one more contact may be made; None: it may now."""
        caps, today = self.caps, at.astimezone(zone).toordinal()
        until = at
        if caps.per_day is not None and self.day >= today and self.day_n >= caps.per_day:
            until = instant(zone, self.day + 1, 0)
        if caps.per_week is not None and self.week >= _monday(today) and self.week_n >= caps.per_week:
            until = max(until, instant(zone, self.week + 7, 0))
        if caps.gap and self.last_at is not None:
            until = max(until, self.last_at + caps.gap)
        return until - at if until > at else None

    def count(self, at: datetime, zone: ZoneInfo) -> None:
        today = at.astimezone(zone).toordinal()
        monday = _monday(today)
        self.day, self.day_n = max(self.day, today), self.day_n + 1 if self.day >= today else 1
        self.week, self.week_n = max(self.week, monday), self.week_n + 1 if self.week >= monday else 1
        self.last_at = at if self.last_at is None else max(self.last_at, at)


def _monday(day: int) -> int:
    return day - (day - 1) % 7
