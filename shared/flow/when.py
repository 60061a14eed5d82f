"""When a step goes out, in the words of the language: on, before or after a day, once or again and again.

What must stay true: a step's day is found from its anchor's day alone (and the country, where business days count), so
that planning it again gives the same day.
"""

from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StrictInt, model_validator

from shared.flow.business_days import business_days_from
from shared.flow.notation import Clock

DEFAULT_AT = 9 * 60
UNITS = ("days", "business_days", "weeks")
LONGEST_COUNT = 7000

Count = Annotated[StrictInt, Field(ge=1, le=1000)]


class Anchor(StrEnum):
    ISSUE = "issue"
    DUE = "due"
    PAYMENT = "payment"
    BROKEN_PROMISE = "broken_promise"
    PARENT = "parent"  # the end of the reminder that a `then` follows


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(Part):
    """A number of days, business days (Monday to Friday without the customer's public holidays) or weeks."""

    days: Count | None = None
    business_days: Count | None = None
    weeks: Count | None = None

    @property
    def units(self) -> list[str]:
        return [unit for unit in UNITS if getattr(self, unit) is not None]

    @property
    def counts_business_days(self) -> bool:
        return self.business_days is not None

    def day_from(self, day: int, times: int, country: str | None) -> int:
        """The day (an ordinal) that lies `times` spans after `day`; before it where `times` is negative."""
        if self.business_days is not None:
            return business_days_from(day, times * self.business_days, country)
        return day + times * (self.days or 7 * (self.weeks or 0))


class When(Span):
    """`{on: issue | due | payment | broken_promise}`, or a span `before: due` or `after:` one of them; with `at` where
    the day is not the moment itself."""

    on: Literal["issue", "due", "payment", "broken_promise"] | None = None
    before: Literal["due"] | None = None
    after: Literal["issue", "due", "payment", "broken_promise"] | None = None
    at: Annotated[Clock, Field(lt=1440)] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        words = [word for word in ("on", "before", "after") if getattr(self, word) is not None]
        if len(words) != 1:
            raise ValueError(f"say exactly one of on, before, after; found {', '.join(words) or 'none'}")
        if self.on is None and not self.units:
            raise ValueError(f"'{words[0]}: {self.anchor}' needs days, such as days: 3")
        if len(self.units) > 1:
            raise ValueError(f"say only one of days, business_days, weeks; found {', '.join(self.units)}")
        if self.on is not None and self.units:
            unit = self.units[0]
            raise ValueError(f"'on: {self.on}' takes no {unit}; write before or after instead of on")
        if self.on in ("issue", "payment") and self.at is not None:
            raise ValueError(f"'on: {self.on}' goes out at once and takes no time of day; remove at")
        return self

    @cached_property
    def anchor(self) -> Anchor:
        return Anchor(self.on or self.before or self.after or "due")

    @property
    def minute(self) -> int:
        """The local minute of its day."""
        return DEFAULT_AT if self.at is None else self.at

    @property
    def offset(self) -> int:
        """Days after the anchor, negative before; business days without a weekend between."""
        return self.day(0, None) if not self.counts_business_days else self._sign * (self.business_days or 0)

    def day(self, anchor_day: int, country: str | None) -> int:
        return self.day_from(anchor_day, self._sign, country) if self.units else anchor_day

    @property
    def _sign(self) -> int:
        return -1 if self.before else 1


def _read_every(value: Any) -> Any:
    """`every: 7` are seven days."""
    return {"days": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _write_every(value: "Every") -> Any:
    return value.days if value.days is not None else value.model_dump(mode="json", exclude_none=True)


class Every(Span):
    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if len(self.units) != 1:
            found = ", ".join(self.units) or "none"
            raise ValueError(f"say exactly one of days, business_days, weeks; found {found}")
        return self


class Repeat(Part):
    """Again `every` span, `times` in all (the first included), while the invoice is open."""

    every: Annotated[
        Every,
        BeforeValidator(_read_every, json_schema_input_type=Count | Every),
        PlainSerializer(_write_every, return_type=Any),
    ]
    until: Literal["paid"] = "paid"
    times: Annotated[StrictInt, Field(ge=1, le=1000)] | None = Field(None, json_schema_extra={"minimum": 1})

    @model_validator(mode="after")
    def _ends_in_time(self) -> Self:
        """Business days are counted one by one, and a date has four digits."""
        days = (self.every.business_days or 7 * (self.every.weeks or 0)) * (self.times or 1)
        if days > LONGEST_COUNT:
            raise ValueError(f"a repeat of weeks or business days ends within {LONGEST_COUNT} days; say fewer times")
        return self
