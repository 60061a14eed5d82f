"""What a customer may say on the page, and how often.

True here: whatever was said before and still stands is not said again; nobody holds an invoice for ever with a button.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum


class Grievance(StrEnum):
    """Why an invoice is disputed."""

    NOT_RECEIVED = "not_received"
    DEFECTIVE = "defective"
    WRONG_AMOUNT = "wrong_amount"
    NOT_MINE = "not_mine"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class HasPaid:
    """The money is on its way."""


@dataclass(frozen=True, slots=True)
class WillPay:
    """On these days; an amount left out is the rest."""

    days: tuple[tuple[date, Decimal | None], ...]


@dataclass(frozen=True, slots=True)
class Disputes:
    reason: Grievance
    note: str | None


@dataclass(frozen=True, slots=True)
class Prefers:
    """`language` is one that the page speaks; `channel` None: whatever is cheapest."""

    language: str
    channel: str | None


Word = HasPaid | WillPay | Disputes | Prefers


@dataclass(frozen=True, slots=True)
class Refused:
    """`why` names the page's sentence; `field` the one that is wrong."""

    why: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Days and counts; the counts are per invoice, `actions` per invoice and day."""

    paid_days: int
    paid_times: int
    promise_days: int
    promise_dates: int
    promise_times: int
    dispute_days: int
    dispute_times: int
    actions: int


@dataclass(frozen=True, slots=True)
class SaidBefore:
    """How often this customer said what of this invoice; `today`: everything, in the last 24 hours."""

    today: int
    paid: int
    promises: int
    disputes: int


def heard_enough(word: Word, before: SaidBefore, bounds: Bounds) -> Refused | None:
    if before.today >= bounds.actions:
        return Refused("too_often")
    match word:
        case HasPaid() if before.paid >= bounds.paid_times:
            return Refused("paid_no_more")
        case WillPay() if before.promises >= bounds.promise_times:
            return Refused("promise_no_more")
        case Disputes() if before.disputes >= bounds.dispute_times:
            return Refused("dispute_no_more")
    return None


def wrong_plan(word: WillPay, open_amount: Decimal, bounds: Bounds) -> Refused | None:
    """What of a promise can be wrong beside its days."""
    if len(word.days) > bounds.promise_dates:
        return Refused("promise_too_many", "date1")
    named = sum((amount or Decimal(0) for _, amount in word.days), Decimal(0))
    complete = all(amount is not None for _, amount in word.days)
    if named > open_amount or (not complete and len(word.days) > 1 and named >= open_amount):
        return Refused("promise_too_much", "amount1")
    return None
