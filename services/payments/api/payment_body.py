"""A payment in an answer."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from services.payments.domain.outcome import EXPLAINED, Match
from services.payments.store.payments import PaymentRow
from shared.kernel.money import amount_text


class Allocation(BaseModel):
    """The part of it that paid an installment."""

    invoice_id: str
    installment: int
    amount: str


class Payment(BaseModel):
    """`id` is ours, `payment_id` the source's. `amount` is what counts of it now: confirmed less reversed."""

    id: int
    payment_id: str
    source: str
    status: Match
    amount: str
    allocated: str
    unallocated: str
    currency: str | None
    reason: str | None
    detail: str | None
    invoice_id: str | None
    installment: int | None
    reference: str | None
    paid_at: datetime | None
    payer: dict[str, Any] | None
    created_at: datetime
    allocations: list[Allocation]


def payment_body(row: PaymentRow) -> Payment:
    over = row.amount - row.allocated
    reason = row.unmatched_reason if over else None if row.currency else "unknown_payment"
    return Payment(
        id=row.id,
        payment_id=row.payment_ref,
        source=row.source,
        status=_match(row),
        amount=_text(row.amount, row.currency),
        allocated=_text(row.allocated, row.currency),
        unallocated=_text(over, row.currency),
        currency=row.currency,
        reason=reason,
        detail=EXPLAINED[reason] if reason else None,
        invoice_id=row.invoice_ref or row.matched_ref,
        installment=row.installment_no,
        reference=row.reference,
        paid_at=row.paid_at,
        payer=row.payer,
        created_at=row.created_at,
        allocations=[
            Allocation(
                invoice_id=a["invoice_id"],
                installment=a["installment"],
                amount=_text(Decimal(a["amount"]), row.currency),
            )
            for a in row.allocations
        ],
    )


def _match(row: PaymentRow) -> Match:
    if row.allocated < row.amount:
        return Match.PARTLY if row.allocated else Match.UNMATCHED
    return Match.UNMATCHED if row.matched_id is None and not row.amount else Match.MATCHED


def _text(amount: Decimal, currency: str | None) -> str:
    return amount_text(amount, currency) if currency else f"{amount.normalize():f}"
