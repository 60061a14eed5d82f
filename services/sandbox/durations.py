"""ISO 8601 durations ("P3D", "PT1H30M", "P1M") added to an instant; a month is the calendar's, a day 24 hours."""

import calendar
import re
from datetime import datetime, timedelta

from shared.kernel.errors import Invalid

DURATION = re.compile(
    r"P(?=.)(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?=.)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:[.,]\d{1,6})?)S)?)?"
)


def later(start: datetime, duration: str) -> datetime:
    """`start` plus the duration; Invalid if it is malformed or leads beyond the calendar."""
    match = DURATION.fullmatch(duration)
    if match is None:
        raise Invalid(f"advance: {duration[:40]!r} is not an ISO 8601 duration forward in time, such as P3D or PT1H30M")
    parts = {name: float((value or "0").replace(",", ".")) for name, value in match.groupdict().items()}
    try:
        moved = _add_months(start, int(parts.pop("years") * 12 + parts.pop("months")))
        return moved + timedelta(**parts)
    except (OverflowError, ValueError) as error:
        raise Invalid(f"advance: {duration[:40]!r} leads beyond the year 9999") from error


def _add_months(start: datetime, months: int) -> datetime:
    years, month = divmod(start.month - 1 + months, 12)
    year = start.year + years
    if year > 9999:
        raise OverflowError
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)
