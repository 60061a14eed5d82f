"""A payment in an answer."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from services.payments.domain.matching import Suggestion
from services.payments.domain.outcome import EXPLAINED, Match
from services.payments.store.payments import PaymentRow
from shared.kernel.money import amount_text


class Allocation(BaseModel):
    """The part of it that paid an installment."""

    invoice_id: str
    installment: int
    amount: str


class Candidate(BaseModel):
    """An invoice that waiting money may be for; `confidence` from 0 to 1, and why."""

    invoice_id: str
    open_amount: str
    currency: str
    confidence: str
    reasons: list[str]


class Payment(BaseModel):
    """`id` is ours, `payment_id` the source's. `amount` is what counts of it now: confirmed less reversed. `remittance` is
    what the payer wrote; `candidates` stand in lists of what is unmatched."""

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
    remittance: str | None
    created_at: datetime
    allocations: list[Allocation]
    candidates: list[Candidate] | None = None


def payment_body(row: PaymentRow, likely: Sequence[Suggestion] | None = None) -> Payment:
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
        remittance=row.remittance,
        created_at=row.created_at,
        allocations=[
            Allocation(
                invoice_id=a["invoice_id"],
                installment=a["installment"],
                amount=_text(Decimal(a["amount"]), row.currency),
            )
            for a in row.allocations
        ],
        candidates=None if likely is None else [_candidate(each) for each in likely],
    )


def _candidate(suggestion: Suggestion) -> Candidate:
    return Candidate(
        invoice_id=suggestion.ref,
        open_amount=amount_text(suggestion.open_amount, suggestion.currency),
        currency=suggestion.currency,
        confidence=f"{suggestion.confidence:.2f}",
        reasons=list(suggestion.reasons),
    )


def _match(row: PaymentRow) -> Match:
    if row.allocated < row.amount:
        return Match.PARTLY if row.allocated else Match.UNMATCHED
    return Match.UNMATCHED if row.matched_id is None and not row.amount else Match.MATCHED


def _text(amount: Decimal, currency: str | None) -> str:
    return amount_text(amount, currency) if currency else f"{amount.normalize():f}"
