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
from shared.web.fields import IsoDate, IsoTime, PositiveAmount
from shared.web.strict import StrictModel


class HoldIn(StrictModel):
    """`until` left out: 30 days, unless the operator set another time."""

    until: IsoTime | None = None
    reason: Annotated[Line, Field(examples=["the customer asked for time"])]


class PromiseIn(StrictModel):
    """The customer says that the money comes on this day (in the customer's time zone) at the latest."""

    date: IsoDate
    amount: PositiveAmount | None = None
    reason: Line = "promise to pay"


class DisputeIn(StrictModel):
    """The customer says that something is wrong with the invoice. It holds this invoice only."""

    reason: Annotated[Line, Field(examples=["goods not received"])]


class StopOut(Answer):
    """A hold. Without `invoice_id` and `customer_id` it stops everything."""

    hold_id: int
    kind: str = Field(examples=["hold"], description="hold, promise, dispute or backlog")
    invoice_id: str | None = None
    customer_id: str | None = None
    reason: str
    amount: str | None = None
    starts_at: datetime
    until: datetime


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
    )


def _amount(amount: Decimal | None, currency: str | None) -> str | None:
    return None if amount is None or currency is None else amount_text(amount, currency)


def in_the_future(until: datetime, now: datetime) -> datetime:
    if until <= now:
        raise wrong("/until", "must be later than now")
    return until


def promised_day(day: date, today: date) -> date:
    if not 0 <= (day - today).days <= 366:
        raise wrong("/date", "must be today or within a year from now")
    return day


def wrong(pointer: str, detail: str) -> Invalid:
    return Invalid(f"{pointer}: {detail}", errors=(FieldError(pointer, detail),))
