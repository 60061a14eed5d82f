"""The steps around a due date, as offsets in days: which one follows which, without looking at a calendar.

What must stay true: an occurrence is known by its number alone, `day(n)` days after the due date, so that planning it
again gives the same row. Only steps that speak count as what follows: handing over to a person silences nobody.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DatedStep:
    """`offset` in days after the due date, `at` in minutes of the local day; `every` 0 and `times` 1: no repeat."""

    index: int
    id: str
    offset: int
    at: int
    every: int
    times: int
    speaks: bool = True

    def day(self, occurrence: int) -> int:
        return self.offset + (occurrence - 1) * self.every

    def latest_by(self, offset: int) -> int:
        """The last occurrence that falls on this day or before it; 0 when there is none."""
        if offset < self.offset:
            return 0
        return min((offset - self.offset) // self.every + 1, self.times) if self.every else 1

    def first_after(self, offset: int) -> int | None:
        """The first day of this step that is later than `offset`."""
        occurrence = self.latest_by(offset) + 1
        return self.day(occurrence) if occurrence <= self.times else None

    def falls_on(self, offset: int) -> bool:
        occurrence = self.latest_by(offset)
        return occurrence > 0 and self.day(occurrence) == offset


@dataclass(frozen=True, slots=True)
class CountedStep(DatedStep):
    """Of business days: how far apart its occurrences lie depends on weekends and holidays, so they are listed."""

    days: tuple[int, ...] = ()

    def day(self, occurrence: int) -> int:
        return self.days[occurrence - 1]

    def latest_by(self, offset: int) -> int:
        return bisect_right(self.days, offset)


class Timetable:
    """The dated steps of one flow, with what follows each day remembered."""

    __slots__ = ("_by_id", "_following", "steps")

    def __init__(self, steps: Iterable[DatedStep]) -> None:
        self.steps = tuple(steps)
        self._by_id = {step.id: step for step in self.steps}
        self._following: dict[int, int | None] = {}

    def step(self, step_id: str) -> DatedStep:
        return self._by_id[step_id]

    def following(self, offset: int) -> int | None:
        """The offset of the next day after `offset` on which any step speaks; None when it was the last."""
        if offset not in self._following:
            days = [day for step in self.steps if step.speaks and (day := step.first_after(offset)) is not None]
            self._following[offset] = min(days, default=None)
        return self._following[offset]

    def last_on(self, offset: int) -> int:
        """The index of the last step, in the order of the flow, that speaks on this day; -1 when none does."""
        return max((step.index for step in self.steps if step.speaks and step.falls_on(offset)), default=-1)
