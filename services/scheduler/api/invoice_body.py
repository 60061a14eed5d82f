"""An invoice as the ERP sends it, by POST or as one line of an import.

What must stay true: what leaves `read_invoice` can be stored and planned as it is, unless it names an unknown
customer, creditor or flow; everything wrong with it is said at once, each with its place.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field

from services.scheduler.api.customer_body import Attributes, InlineCustomerIn, Line, WebAddress, read_customer
from services.scheduler.domain.new_invoice import NewDocument, NewInvoice, content_hash
from services.scheduler.domain.reference import creditor_reference
from shared.flow import FIRST_DAY, LAST_DAY
from shared.flow.steps import Name
from shared.kernel.errors import FieldError, Invalid
from shared.kernel.money import check_minor_units
from shared.web.fields import Currency, IsoDate, PositiveAmount, Ref
from shared.web.strict import StrictModel

MOST_INSTALLMENTS = 120
LARGEST = Decimal(10) ** 15
DEFAULT_CREDITOR = "default"
DEFAULT_FLOW = "standard"


def within_reach(day: date) -> date:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(f"must lie between {FIRST_DAY} and {LAST_DAY}")
    return day


Day = Annotated[IsoDate, AfterValidator(within_reach)]


class InstallmentIn(StrictModel):
    """One due date's part of the invoice."""

    due_date: Day
    amount: PositiveAmount


class DocumentIn(StrictModel):
    """The electronic invoice itself, at most 20 MiB: its content, or an https address where it is fetched at once."""

    filename: Line
    media_type: Annotated[str, Field(max_length=200, examples=["application/pdf"])]
    content_base64: Annotated[str, Field(max_length=28 * 1024 * 1024, examples=["JVBERi0xLjcK"])] | None = None
    url: WebAddress | None = None


class InvoiceIn(StrictModel):
    """Either `due_date` and `amount`, or `installments`; either `customer_id`, or `customer` (which is an upsert)."""

    invoice_id: Ref
    number: Line
    creditor_id: Ref = DEFAULT_CREDITOR
    customer_id: Ref | None = None
    customer: InlineCustomerIn | None = None
    issue_date: Day
    due_date: Day | None = None
    currency: Currency
    amount: PositiveAmount | None = None
    installments: Annotated[list[InstallmentIn], Field(min_length=1, max_length=MOST_INSTALLMENTS)] | None = None
    flow: Name = DEFAULT_FLOW
    payment_url: WebAddress | None = None
    payment_reference: Annotated[Line, Field(max_length=140)] | None = None
    document: DocumentIn | None = None
    attributes: Attributes = Field(default_factory=dict)


def read_invoice(body: InvoiceIn, document: NewDocument | None = None, *, sandbox: bool) -> NewInvoice:
    """Raises `Invalid`. `document` is the stored form of the body's."""
    faults: list[FieldError] = []
    parts = _parts(body, faults)
    customer = None
    if body.customer is not None:
        customer = read_customer(body.customer.customer_id, body.customer, faults, at="/customer", sandbox=sandbox)
    customer_ref = _customer_ref(body, faults)
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}{more}", errors=tuple(faults))
    attributes = body.attributes
    return NewInvoice(
        body.invoice_id,
        body.number,
        body.creditor_id,
        customer_ref,
        customer,
        body.issue_date,
        body.currency,
        parts,
        body.flow,
        body.payment_url,
        body.payment_reference or creditor_reference(body.invoice_id),
        attributes,
        document,
        content_hash(
            number=body.number,
            creditor=body.creditor_id,
            customer_ref=customer_ref,
            issue_date=body.issue_date,
            currency=body.currency,
            installments=parts,
            flow=body.flow,
            payment_url=body.payment_url,
            payment_reference=body.payment_reference,
            attributes=attributes,
            document=document,
        ),
    )


def _customer_ref(body: InvoiceIn, faults: list[FieldError]) -> str:
    inline = body.customer.customer_id if body.customer else None
    if inline and body.customer_id and inline != body.customer_id:
        faults.append(FieldError("/customer_id", "differs from /customer/customer_id; send one of them"))
    ref = inline or body.customer_id
    if ref is None:
        faults.append(FieldError("/customer_id", "is required, or send the customer inline as 'customer'"))
    return ref or ""


def _parts(body: InvoiceIn, faults: list[FieldError]) -> tuple[tuple[date, Decimal], ...]:
    """(due date, amount), oldest first."""
    if body.installments is not None:
        parts = [(part.due_date, part.amount) for part in body.installments]
        places = [f"/installments/{index}" for index in range(len(parts))]
        if body.due_date is not None:
            faults.append(FieldError("/due_date", "stands in each installment; remove it here"))
        if body.amount is not None and body.amount != sum(amount for _, amount in parts):
            faults.append(FieldError("/amount", "is not the sum of the installments; correct it or leave it out"))
    elif body.due_date is None or body.amount is None:
        place = "/due_date" if body.due_date is None else "/amount"
        faults.append(FieldError(place, "is required, or send 'installments'"))
        return ()
    else:
        parts, places = [(body.due_date, body.amount)], [""]
    for (due, amount), place in zip(parts, places, strict=True):
        if due < body.issue_date:
            faults.append(FieldError(f"{place}/due_date", f"{due} is before the issue date {body.issue_date}"))
        try:
            check_minor_units(amount, body.currency)
        except ValueError as error:
            faults.append(FieldError(f"{place}/amount", str(error)))
    if len(parts) > 1 and sum(amount for _, amount in parts) >= LARGEST:
        faults.append(FieldError("/installments", "add up to more than 15 digits; split the invoice"))
    return tuple(sorted(parts))
