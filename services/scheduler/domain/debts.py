"""What a customer owes, and what becomes of its reminders: plain values between those who foresee them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from services.scheduler.domain.planned import PlannedReminder
from shared.routing import Candidate


class Held(NamedTuple):
    kind: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Debt:
    """One of the customer's invoices. `rows`: as foreseen, by time. `way`: the first one of a row, or why there is none.
    `refused`: why a row does not go at that instant after so many messages, if it does not."""

    rows: Sequence[PlannedReminder]
    issue_date: date
    zone: ZoneInfo
    country: str | None
    creditor: int | str
    held: Held | None
    way: Callable[[PlannedReminder], tuple[Candidate | None, str]]
    refused: Callable[[PlannedReminder, datetime, int], str | None]


class Fate(NamedTuple):
    """What becomes of a row of the customer's `debt`th invoice. `reason`: why it does not go. `way`: what it goes by; None
    also for what sends nothing. `carrier`: (debt, row) of whose message it rides on. `moved`: why it goes on a later
    day than it was planned for."""

    debt: int
    row: PlannedReminder
    at: datetime
    reason: str | None = None
    way: Candidate | None = None
    carrier: tuple[int, PlannedReminder] | None = None
    moved: str | None = None


class Due(NamedTuple):
    """A row whose time has come. `number`: its place among its invoice's. `until`: its window's end; None: not known."""

    at: datetime
    debt: int
    number: int
    row: PlannedReminder
    until: datetime | None
    moved: str | None = None


class Going(NamedTuple):
    due: Due
    way: Candidate
