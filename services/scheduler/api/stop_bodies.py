"""What people send to stop reminders, and what they get back."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from services.scheduler.api.customer_body import Line
from services.scheduler.api.invoice_answer import Answer
from services.scheduler.store.holds import HoldRow
from shared.kernel.errors import FieldError, Invalid
from shared.kernel.money import amount_text
from shared.ledger.promise import Fault, WrongDay
from shared.states import SaidBy
from shared.web.fields import IsoDate, IsoTime, PositiveAmount
from shared.web.strict import StrictModel

MOST_DATES = 12
MOST_AHEAD = 366  # days
SaidDays = list[tuple[date, Decimal | None]]


class HoldIn(StrictModel):
    """`until` left out: 30 days, unless the operator set another time."""

    until: IsoTime | None = None
    reason: Annotated[Line, Field(examples=["the customer asked for time"])]


class PromisedDayIn(StrictModel):
    """One part of a promise; `amount` left out: all that is open then, so only the last may."""

    date: IsoDate
    amount: PositiveAmount | None = None


class PromiseIn(StrictModel):
    """The customer says that the money comes on this day (in the customer's time zone) at the latest: `date`, or
    `dates` where it comes in parts."""

    date: IsoDate | None = None
    amount: PositiveAmount | None = None
    dates: Annotated[list[PromisedDayIn], Field(min_length=1, max_length=MOST_DATES)] | None = None
    reason: Line = "promise to pay"

    @property
    def days(self) -> SaidDays:
        if self.date is not None and self.dates is None:
            return [(self.date, self.amount)]
        if self.date is not None or self.amount is not None or self.dates is None:
            raise wrong("/date", "say either date, with amount if you like, or dates, each with its amount")
        return [(part.date, part.amount) for part in self.dates]

    def pointer(self, index: int, field: str) -> str:
        return f"/dates/{index}/{field}" if self.dates else f"/{field}"


class DisputeIn(StrictModel):
    """The customer says that something is wrong with the invoice. It holds this invoice only."""

    reason: Annotated[Line, Field(examples=["goods not received"])]


class StopOut(Answer):
    """A hold. Without `invoice_id` and `customer_id` it stops everything."""

    hold_id: int
    kind: str = Field(examples=["hold"], description="hold, promise, dispute, backlog, said_paid or in_flight")
    invoice_id: str | None = None
    customer_id: str | None = None
    reason: str
    amount: str | None = None
    starts_at: datetime
    until: datetime
    said_by: SaidBy = Field(description="customer: on the pay page or in a reply")
    note: str | None = Field(None, description="the customer's own words")


class EverythingStopped(StopOut):
    """From here on nothing is claimed. `in_flight`: what was claimed before and may still be on its way out; of these none
    is handed over any more after `quiet_in` seconds. Both are 0 where it had all gone before the answer."""

    in_flight: int = Field(examples=[0])
    quiet_in: float = Field(examples=[0.0])


class Resumed(Answer):
    """How many holds ended."""

    released: int


def stop_out(row: HoldRow) -> StopOut:
    return StopOut(
        hold_id=row.id,
        kind=row.kind,
        invoice_id=row.invoice_ref,
        customer_id=row.customer_ref,
        reason=row.reason,
        amount=_amount(row.amount, row.currency),
        starts_at=row.starts_at,
        until=row.until,
        said_by=SaidBy(row.said_by),
        note=row.note,
    )


def _amount(amount: Decimal | None, currency: str | None) -> str | None:
    return None if amount is None or currency is None else amount_text(amount, currency)


def in_the_future(until: datetime, now: datetime) -> datetime:
    if until <= now:
        raise wrong("/until", "must be later than now")
    return until


def wrong_day(body: PromiseIn, found: WrongDay) -> Invalid:
    match found.fault:
        case Fault.NO_AMOUNT:
            return wrong(body.pointer(found.index, "amount"), "is required for all dates but the last")
        case Fault.NOT_AFTER:
            return wrong(body.pointer(found.index, "date"), "must be later than the date before it")
        case Fault.PASSED | Fault.TOO_FAR | Fault.MISSING:
            return wrong(body.pointer(found.index, "date"), "must be today or within a year from now")


def wrong(pointer: str, detail: str) -> Invalid:
    return Invalid(f"{pointer}: {detail}", errors=(FieldError(pointer, detail),))
