"""How values are written in a flow: times of day, days of the week, durations. What is read is written back alike."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, WithJsonSchema

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")
_RANGE = re.compile(r"([a-z]{3})-([a-z]{3})")
_DURATION = TypeAdapter(timedelta)
_LONGEST = timedelta(days=366)


def _read_clock(value: Any) -> int:
    if not isinstance(value, str) or not _CLOCK.fullmatch(value):
        raise ValueError('a time of day is written "HH:MM" in quotes, such as "09:00"')
    return int(value[:2]) * 60 + int(value[3:])


def write_clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _read_weekdays(value: Any) -> tuple[int, ...]:
    if isinstance(value, str) and (found := _RANGE.fullmatch(value)):
        first, last = _weekday(found[1]), _weekday(found[2])
        return tuple(sorted((first + n) % 7 for n in range((last - first) % 7 + 1)))
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise ValueError('days are written as a range, "mon-sat", or as a list, ["mon", "thu"]')
    return tuple(sorted({_weekday(name) for name in names}))


def _weekday(name: Any) -> int:
    if name not in WEEKDAYS:
        raise ValueError(f"unknown day {name!r:.20}; the days are {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(name)


def _write_weekdays(days: tuple[int, ...]) -> list[str]:
    return [WEEKDAYS[day] for day in days]


def _read_duration(value: Any) -> timedelta:
    if not isinstance(value, str) or not value.startswith("P"):
        raise ValueError('a duration is written as in ISO 8601, such as "P3D" or "PT12H"')
    try:
        duration = _DURATION.validate_python(value)
    except ValueError:
        raise ValueError(f"not an ISO 8601 duration of days, hours and minutes: {value!r:.30}") from None
    if duration > _LONGEST:
        raise ValueError("a duration here is at most 366 days")
    return duration


def write_duration(value: timedelta) -> str:
    """In ISO 8601, as it is read."""
    written: str = _DURATION.dump_python(value, mode="json")
    return written


Clock = Annotated[
    int,
    BeforeValidator(_read_clock),
    PlainSerializer(write_clock),
    WithJsonSchema({"type": "string", "pattern": r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$", "examples": ["09:00"]}),
]
"""Minute of the local day, 0 to 1440."""

Weekdays = Annotated[
    tuple[int, ...],
    BeforeValidator(_read_weekdays),
    PlainSerializer(_write_weekdays),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "examples": ["mon-sat"]},
                {"type": "array", "items": {"enum": list(WEEKDAYS)}, "minItems": 1},
            ]
        }
    ),
]
"""Monday = 0."""

Duration = Annotated[
    timedelta,
    BeforeValidator(_read_duration),
    WithJsonSchema({"type": "string", "format": "duration", "examples": ["P3D"]}),
]
