"""Public holidays per country and year, counted once. A country that is not known has none."""

from datetime import date
from functools import lru_cache

import holidays


def is_holiday(country: str | None, day: date) -> bool:
    """`country`: ISO 3166-1 alpha-2, or None."""
    return country is not None and day in _holidays(country.upper(), day.year)


@lru_cache(maxsize=4096)
def _holidays(country: str, year: int) -> frozenset[date]:
    try:
        return frozenset(holidays.country_holidays(country, years=year))
    except NotImplementedError:
        return frozenset()
