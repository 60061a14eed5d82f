"""What a promise to pay may look like, whoever takes it: an ERP, a page, a reply.

True here: its days ascend, none has passed, none is further ahead than allowed; only the last may leave its amount out,
which means all that is open then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from shared.states import SaidBy


class Fault(StrEnum):
    """Why a day was not taken."""

    MISSING = "missing"
    PASSED = "passed"
    TOO_FAR = "too_far"
    NOT_AFTER = "not_after"
    NO_AMOUNT = "no_amount"


@dataclass(frozen=True, slots=True)
class WrongDay:
    """`index` counts from 0."""

    index: int
    fault: Fault


@dataclass(frozen=True, slots=True)
class PromisedDay:
    """`until`: the end of the day; `amount` None: all that is open then."""

    until: datetime
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Promised:
    """A promise for an invoice, its days ascending."""

    invoice_id: int
    days: tuple[PromisedDay, ...]
    reason: str = "promise to pay"
    said_by: SaidBy = SaidBy.CLERK


def promised_days(
    said: Sequence[tuple[date, Decimal | None]], *, today: date, zone: ZoneInfo, ahead: int
) -> tuple[PromisedDay, ...] | WrongDay:
    """`said`: days of the customer's calendar, `today` among them; `ahead`: how many days from today at most."""
    if not said:
        return WrongDay(0, Fault.MISSING)
    before: date | None = None
    for index, (day, amount) in enumerate(said):
        if fault := _fault(day, before, today, ahead, amount is None and index < len(said) - 1):
            return WrongDay(index, fault)
        before = day
    return tuple(PromisedDay(end_of_day(day, zone), amount) for day, amount in said)


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)


def _fault(day: date, before: date | None, today: date, ahead: int, unsaid: bool) -> Fault | None:
    if day < today:
        return Fault.PASSED
    if (day - today).days > ahead:
        return Fault.TOO_FAR
    if before is not None and day <= before:
        return Fault.NOT_AFTER
    return Fault.NO_AMOUNT if unsaid else None
