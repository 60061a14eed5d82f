"""What a payment looks like when somebody tells us of it: by webhook, or by hand."""

import hashlib
from typing import Annotated, Any, Literal

from pydantic import Field

from services.payments.domain.outcome import Kind
from shared.kernel import json
from shared.kernel.errors import FieldError, Invalid
from shared.kernel.money import check_minor_units
from shared.ledger.money import PaymentSaid
from shared.web.fields import Currency, IsoTime, PositiveAmount, Ref
from shared.web.strict import StrictModel

EventType = Literal["payment.confirmed", "payment.pending", "payment.failed", "payment.reversed"]
Reference = Annotated[str, Field(min_length=1, max_length=255)]
Installment = Annotated[int, Field(ge=1, le=10_000, strict=True, description="`no` of the installment that is paid")]


class Money(StrictModel):
    """`amount` and `currency` are required unless it is a reversal (without an amount that means all of the payment) or
    says that a pending payment failed."""

    amount: PositiveAmount | None = None
    currency: Currency | None = None
    invoice_id: Ref | None = None
    installment: Installment | None = None
    reference: Reference | None = None
    paid_at: IsoTime | None = None
    payer: dict[str, Any] | None = None

    def said(self, source_id: int, payment_ref: str, kind: Kind, event_ref: str, body: bytes) -> PaymentSaid:
        return PaymentSaid(
            source_id,
            payment_ref,
            kind.value,
            event_ref,
            self.amount,
            self.currency,
            self.invoice_id,
            self.installment,
            self.reference,
            self.paid_at,
            self.payer,
            body,
        )


def kind_of(event: EventType) -> Kind:
    return Kind(event.removeprefix("payment."))


def check(money: Money, kind: Kind, where: str) -> None:
    """What one field alone does not show; `where` is the pointer of the object that holds the money."""
    faults = []
    if kind in (Kind.CONFIRMED, Kind.PENDING):
        faults = [
            FieldError(f"{where}/{name}", f"is required for payment.{kind}")
            for name in ("amount", "currency")
            if getattr(money, name) is None
        ]
    if money.amount is not None and money.currency is not None:
        try:
            check_minor_units(money.amount, money.currency)
        except ValueError as error:
            faults.append(FieldError(f"{where}/amount", str(error)))
    if faults:
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}", errors=tuple(faults))


def content_ref(content: dict[str, Any]) -> str:
    """The same content is the same event."""
    return hashlib.sha256(json.dumps(sorted(content.items()))).hexdigest()[:32]
