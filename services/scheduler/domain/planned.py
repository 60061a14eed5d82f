"""What planning is asked and what it answers: plain values, no rule."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from shared.flow import MAIN_LEG, THEN_LEG, Anchor
from shared.states import ReminderState

__all__ = ["MAIN_LEG", "THEN_LEG", "Installment", "InvoiceFacts", "Plan", "PlannedReminder", "RowFacts", "RowKey",
           "SkipReason", "Skipped", "Timed"]  # fmt: skip

RowKey = tuple[int | None, str, int, str]
"""(installment number, step, occurrence, leg): what is unique within a generation."""


class SkipReason(StrEnum):
    MISSED = "missed"  # its day passed, and the flow does not catch up
    TOO_LATE = "too_late"  # its day passed longer ago than the flow allows, or the due date it announces passed
    SUPERSEDED = "superseded"  # a later step of the same installment speaks instead
    BEFORE_ISSUE = "before_issue"  # its day lies before the invoice was issued


@dataclass(frozen=True, slots=True)
class Installment:
    no: int
    due_date: date
    open_amount: Decimal


@dataclass(frozen=True, slots=True)
class InvoiceFacts:
    """`kept`: rows of the current generation that must not be planned again. `ended`: those of them whose end has
    come, so that their `then` is due. `accepted_at`: None while the invoice is being accepted, else when it was.
    `broken_n`: how many promises were broken so far, `broken_at`: when the last one was. `stopped`: installments whose
    follow-up a `stop` has ended."""

    issue_date: date
    zone: ZoneInfo
    country: str | None
    installments: tuple[Installment, ...]
    settled_n: int = 0
    paid: bool = False
    settled_by_credit_alone: bool = False
    kept: frozenset[RowKey] = frozenset()
    ended: frozenset[RowKey] = frozenset()
    accepted_at: datetime | None = None
    broken_n: int = 0
    broken_at: datetime | None = None
    stopped: frozenset[int] = frozenset()


class PlannedReminder(NamedTuple):
    """A row to insert; a tuple, because an import plans millions.

    `send_until` None with a `due_at`: triggered, to be timed by `retime`.
    """

    step: str
    occurrence: int
    leg: str
    anchor: Anchor
    installment_no: int | None
    anchor_date: date | None
    requires_open: bool
    urgent: bool
    state: ReminderState
    reason: SkipReason | None = None
    due_at: datetime | None = None
    send_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """`backlog`: accepted so long after a due date that a person decides first. `nothing`: why there is no reminder."""

    reminders: tuple[PlannedReminder, ...]
    backlog: bool = False
    nothing: str | None = None


@dataclass(frozen=True, slots=True)
class RowFacts:
    """A row that is timed anew, or whose next occurrence is wanted. `due_date`: of its installment, None without one.
    `tried`: it has an attempt, so that it is rather sent late than not at all."""

    step: str
    occurrence: int
    leg: str
    installment_no: int | None
    issue_date: date
    due_date: date | None
    zone: ZoneInfo
    country: str | None
    due_at: datetime | None = None
    send_until: datetime | None = None
    tried: bool = False


@dataclass(frozen=True, slots=True)
class Timed:
    due_at: datetime
    send_until: datetime


@dataclass(frozen=True, slots=True)
class Skipped:
    reason: SkipReason
