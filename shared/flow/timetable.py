"""The steps around a due date, as offsets in days: which one follows which, without looking at a calendar.

What must stay true: an occurrence is known by its number alone, `offset + (n - 1) * every` days after the due date,
so that planning it again gives the same row.
"""

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

    def day(self, occurrence: int) -> int:
        return self.offset + (occurrence - 1) * self.every

    def first_after(self, offset: int) -> int | None:
        """The first day of this step that is later than `offset`."""
        if self.offset > offset:
            return self.offset
        if self.every == 0:
            return None
        occurrence = (offset - self.offset) // self.every + 2
        return self.day(occurrence) if occurrence <= self.times else None

    def falls_on(self, offset: int) -> bool:
        if self.every == 0:
            return offset == self.offset
        steps, rest = divmod(offset - self.offset, self.every)
        return rest == 0 and 0 <= steps < self.times


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
        """The offset of the next day after `offset` on which any step falls; None when it was the last."""
        if offset not in self._following:
            days = [day for step in self.steps if (day := step.first_after(offset)) is not None]
            self._following[offset] = min(days, default=None)
        return self._following[offset]

    def last_on(self, offset: int) -> int:
        """The index of the last step, in the order of the flow, that falls on this day."""
        return max(step.index for step in self.steps if step.falls_on(offset))
