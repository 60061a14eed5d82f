"""How often a customer is contacted at most: a flow says it, a deployment says it, and the stricter of both holds."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol


class Limits(Protocol):
    """Whatever says it."""

    @property
    def per_day(self) -> int | None: ...
    @property
    def per_week(self) -> int | None: ...
    @property
    def gap(self) -> timedelta | None: ...


@dataclass(frozen=True, slots=True)
class Caps:
    """At most so many contacts of a customer; None is no limit. The delivery and the thank-you do not count."""

    per_day: int | None = None
    per_week: int | None = None
    gap: timedelta | None = None

    def within(self, other: Limits | None) -> "Caps":
        """The stricter of both in each."""
        if other is None:
            return self
        return Caps(
            _least(self.per_day, other.per_day), _least(self.per_week, other.per_week), _most(self.gap, other.gap)
        )

    def __bool__(self) -> bool:
        return self.per_day is not None or self.per_week is not None or bool(self.gap)


def _least(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)


def _most(one: timedelta | None, other: timedelta | None) -> timedelta | None:
    return max((gap for gap in (one, other) if gap is not None), default=None)


NO_CAPS = Caps()
