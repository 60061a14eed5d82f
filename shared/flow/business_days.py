"""Business days: Monday to Friday, without the public holidays of a country."""

from datetime import date
from functools import lru_cache

from shared.flow.public_holidays import is_holiday

_FRIDAY = 4


@lru_cache(maxsize=65536)
def business_days_from(day: int, count: int, country: str | None) -> int:
    """The `count`th business day after `day` (an ordinal), before it where `count` is negative; 0: `day` itself."""
    step = 1 if count > 0 else -1
    for _ in range(abs(count)):
        day += step
        while not is_business_day(day, country):
            day += step
    return day


@lru_cache(maxsize=65536)
def is_business_day(day: int, country: str | None) -> bool:
    found = date.fromordinal(day)
    return found.weekday() <= _FRIDAY and not is_holiday(country, found)
