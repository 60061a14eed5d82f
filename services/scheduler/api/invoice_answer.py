"""An invoice as the API answers it. Addresses are masked, amounts are text, nothing here is a table."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.scheduler.domain.contacts import mask
from services.scheduler.domain.ways_said import why_said
from services.scheduler.store.views import (
    AttemptRow,
    HoldRow,
    InstallmentRow,
    InvoiceRow,
    InvoiceView,
    PromiseRow,
    ReminderRow,
)
from shared.kernel.money import amount_text
from shared.states import AttemptState, PromiseState, ReminderState, SaidBy
from shared.web.fields import AmountText

Day = date


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class AttemptOut(Answer):
    """One try on one channel at one address."""

    channel: str = Field(examples=["email"])
    address_masked: str = Field(examples=["a***@example.com"])
    provider: str = Field(examples=["smtp"])
    state: AttemptState
    cost: str = Field(examples=["0.0075"])
    at: datetime
    detail: str | None = None
    decision: str | None = Field(None, examples=["email was the cheapest of email, SMS"])
    wording: str | None = Field(
        None,
        examples=["overdue/email/pt@3"],
        description="the text and version that it was made of: the path under /v1/templates, and after @ the version, or "
        "`shipped-` and a hash of a built-in text; behind it the pictures that it carried, such as `banner@2`",
    )


class ReminderOut(Answer):
    """One step, planned for one installment or (no `installment`) for the invoice. `channel`: of the last attempt."""

    reminder_id: int
    invoice_id: str
    installment: int | None = None
    step: str = Field(examples=["due-today"], description="a `then` is called like its step, with `.then` behind")
    occurrence: int
    due_at: datetime | None = Field(description="null while it waits for its trigger")
    state: ReminderState
    channel: str | None = None
    reason: str | None = None
    attempts: list[AttemptOut] = []


class InstallmentOut(Answer):
    no: int
    due_date: date
    amount: AmountText
    open_amount: AmountText
    written_off: AmountText = Field(
        description="what a bank kept of the money, as far as the tolerance of its source goes"
    )
    status: str = Field(examples=["open"], description="open, paid, void or uncollectible")


class HoldOut(Answer):
    """A dated stop; it ends by itself at `until`."""

    hold_id: int
    kind: str = Field(examples=["hold"], description="hold, promise, dispute or backlog")
    reason: str
    starts_at: datetime
    until: datetime
    scope: str = Field(examples=["invoice"], description="invoice, customer or everything")


class PromiseOut(Answer):
    """One day of a promise to pay."""

    date: Day = Field(description="to the end of this day of the customer's")
    amount: AmountText | None = Field(description="null: all that is open then")
    state: PromiseState = Field(description="dropped: another promise took its place, or a person ended its hold")
    said_by: SaidBy
    made_at: datetime


class DocumentOut(Answer):
    filename: str
    media_type: str
    size: int


class InvoiceSummary(Answer):
    """An invoice in a list."""

    invoice_id: str
    number: str
    creditor_id: str
    customer_id: str
    status: str = Field(examples=["open"], description="open, paid, void or uncollectible")
    currency: str
    amount: AmountText
    open_amount: AmountText
    issue_date: date
    due_date: date = Field(description="the oldest open due date, or the last one")
    flow: str
    flow_version: int
    accepted_at: datetime
    hold: HoldOut | None = None


class InvoiceOut(InvoiceSummary):
    """All of it."""

    payment_url: str | None = None
    payment_reference: str
    document: DocumentOut | None = None
    attributes: dict[str, Any] = {}
    installments: list[InstallmentOut]
    holds: list[HoldOut] = Field(description="all that stop it now; `hold` is the one that ends last")
    promises: list[PromiseOut] = Field(description="in the order in which they were made")
    reminders: list[ReminderOut]


def summary_out(row: InvoiceRow, parts: list[InstallmentRow], hold: HoldRow | None) -> InvoiceSummary:
    return InvoiceSummary(**_summary(row, parts, hold))


def invoice_out(view: InvoiceView) -> InvoiceOut:
    row = view.invoice
    return InvoiceOut(
        **_summary(row, view.installments, view.holds[0] if view.holds else None),
        payment_url=row.payment_url,
        payment_reference=row.payment_reference,
        document=document_out(row),
        attributes=row.attributes,
        installments=[_installment_out(row, part) for part in view.installments],
        holds=[hold_out(hold) for hold in view.holds],
        promises=[_promise_out(row, promise) for promise in view.promises],
        reminders=reminders_out(view.reminders, view.attempts),
    )


def document_out(row: InvoiceRow) -> DocumentOut | None:
    if row.document_key is None:
        return None
    return DocumentOut(
        filename=row.document_name or "", media_type=row.document_type or "", size=row.document_size or 0
    )


def reminders_out(reminders: list[ReminderRow], attempts: list[AttemptRow]) -> list[ReminderOut]:
    tries: dict[int, list[AttemptOut]] = {}
    for attempt in attempts:
        tries.setdefault(attempt.reminder_id, []).append(_attempt_out(attempt))
    return [_reminder_out(row, tries.get(row.id, [])) for row in reminders]


def hold_out(row: HoldRow) -> HoldOut:
    return HoldOut(
        hold_id=row.id,
        kind=row.kind,
        reason=row.reason,
        starts_at=row.starts_at,
        until=row.until,
        scope=row.scope,
    )


def step_name(step: str, leg: str) -> str:
    return f"{step}.{leg}" if leg else step


def _reminder_out(row: ReminderRow, tries: list[AttemptOut]) -> ReminderOut:
    return ReminderOut(
        reminder_id=row.id,
        invoice_id=row.invoice_ref,
        installment=row.installment_no,
        step=step_name(row.step, row.leg),
        occurrence=row.occurrence,
        due_at=row.due_at,
        state=ReminderState(row.state),
        channel=tries[-1].channel if tries else None,
        reason=row.reason,
        attempts=tries,
    )


def _attempt_out(row: AttemptRow) -> AttemptOut:
    return AttemptOut(
        channel=row.channel,
        address_masked=mask(row.address),
        provider=row.provider,
        state=AttemptState(row.state),
        cost=f"{row.cost.normalize():f}",
        at=row.at,
        detail=row.detail,
        decision=why_said(row.why),
        wording=row.wording,
    )


def _promise_out(invoice: InvoiceRow, row: PromiseRow) -> PromiseOut:
    return PromiseOut(
        date=row.day,
        amount=None if row.amount is None else amount_text(row.amount, invoice.currency),
        state=PromiseState(row.state),
        said_by=SaidBy(row.said_by),
        made_at=row.made_at,
    )


def _installment_out(invoice: InvoiceRow, row: InstallmentRow) -> InstallmentOut:
    return InstallmentOut(
        no=row.no,
        due_date=row.due_date,
        amount=amount_text(row.amount, invoice.currency),
        open_amount=amount_text(row.open_amount, invoice.currency),
        written_off=amount_text(row.written_off, invoice.currency),
        status=invoice.closed_as or ("open" if row.open_amount else "paid"),
    )


def _summary(row: InvoiceRow, parts: list[InstallmentRow], hold: HoldRow | None) -> dict[str, Any]:
    owed = [part.due_date for part in parts if part.open_amount]
    return {
        "invoice_id": row.ref,
        "number": row.number,
        "creditor_id": row.creditor_ref,
        "customer_id": row.customer_ref,
        "status": row.status,
        "currency": row.currency,
        "amount": amount_text(sum((part.amount for part in parts), start=parts[0].amount * 0), row.currency),
        "open_amount": amount_text(sum((part.open_amount for part in parts), start=parts[0].amount * 0), row.currency),
        "issue_date": row.issue_date,
        "due_date": min(owed, default=max(part.due_date for part in parts)),
        "flow": row.flow,
        "flow_version": row.flow_version,
        "accepted_at": row.accepted_at,
        "hold": hold_out(hold) if hold else None,
    }
