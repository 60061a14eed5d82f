"""Where a customer's clock stands when nobody says so: by the area of a phone number, else by the country.

True here: a zone is only guessed where all that it may be keep the same time; else the creditor's counts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

import phonenumbers
from babel.core import get_global
from phonenumbers import PhoneNumber
from phonenumbers.timezone import time_zones_for_geographical_number

_MONTHS = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 13))
_AREA = 8  # characters of an E.164 number that tell its area


def zone_of(phones: Iterable[str], country: str | None) -> str | None:
    """`phones` in E.164, the first that tells counts."""
    for phone in phones:
        if (zone := _of_area(phone[:_AREA], len(phone))) is not None:
            return zone
    return None if country is None else _of_country(country)


@lru_cache(maxsize=65_536)
def _of_area(start: str, length: int) -> str | None:
    try:
        number = phonenumbers.parse(start.ljust(length, "0"))
    except phonenumbers.NumberParseException:
        return None
    plain = PhoneNumber(country_code=number.country_code, national_number=number.national_number)
    return _agreed(time_zones_for_geographical_number(plain))


@lru_cache(maxsize=512)
def _of_country(country: str) -> str | None:
    return _agreed(tuple(_zones_of_countries().get(country, ())))


@cache
def _zones_of_countries() -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for zone, territory in get_global("zone_territories").items():
        found[territory].append(zone)
    return found


@lru_cache(maxsize=4096)
def _agreed(zones: tuple[str, ...]) -> str | None:
    try:
        clocks = {tuple(month.astimezone(ZoneInfo(zone)).utcoffset() for month in _MONTHS) for zone in zones}
    except (ValueError, LookupError):
        return None
    return zones[0] if len(clocks) == 1 else None
