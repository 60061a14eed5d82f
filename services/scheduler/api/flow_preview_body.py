"""The example that a preview is about: an invoice, its customer, and what else that customer owes."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from services.scheduler.api.customer_body import InlineCustomerIn, Line
from services.scheduler.api.flow_choice import FlowIn
from services.scheduler.api.invoice_body import InvoiceIn, read_invoice
from services.scheduler.domain.new_invoice import NewInvoice
from shared.kernel.errors import FieldError, Invalid
from shared.web.fields import IsoTime, Ref
from shared.web.strict import StrictModel

MOST_ALSO = 20
EXAMPLE: dict[str, Any] = {
    "flow": "standard",
    "invoice": {"issue_date": "2026-12-07", "due_date": "2026-12-21", "currency": "EUR", "amount": "1250.00"},
    "customer": {
        "name": "Ana García",
        "locale": "es-ES",
        "timezone": "Europe/Madrid",
        "country": "ES",
        "contact_points": [
            {"kind": "email", "address": "ana@example.com"},
            {"kind": "phone", "address": "+34600111222"},
        ],
    },
}


class ExampleInvoiceIn(InvoiceIn):
    """An invoice as `POST /v1/invoices` takes it; what an example has no need of may be left out."""

    invoice_id: Ref = "example"
    number: Line = "EXAMPLE-1"


class ExampleCustomerIn(InlineCustomerIn):
    """A customer as `PUT /v1/customers/{customer_id}` takes it."""

    customer_id: Ref = "example"
    name: Line = "Example"


class PreviewIn(StrictModel):
    """`at`: from when on (now). `customer` may also stand in the invoice. `also`: what else this customer owes, to see
    what rides on one message and what caps move."""

    flow: FlowIn
    invoice: ExampleInvoiceIn
    customer: ExampleCustomerIn | None = None
    also: list[ExampleInvoiceIn] = Field(default_factory=list, max_length=MOST_ALSO)
    at: IsoTime | None = None
    days: Annotated[int, Field(ge=1, le=1100, strict=True)] = 400


def read_invoices(body: PreviewIn, *, sandbox: bool) -> list[tuple[str, NewInvoice]]:
    """(place in the body, invoice), the example first. Raises `Invalid`."""
    wanted = [("/invoice", _example(body, body.invoice)), *_also(body)]
    return [(place, _read(place, invoice, body, sandbox=sandbox)) for place, invoice in wanted]


def _example(body: PreviewIn, invoice: ExampleInvoiceIn) -> InvoiceIn:
    customer = body.customer or body.invoice.customer or ExampleCustomerIn()
    return invoice.model_copy(update={"customer": customer, "document": None})


def _also(body: PreviewIn) -> Iterator[tuple[str, InvoiceIn]]:
    for number, invoice in enumerate(body.also):
        if invoice.customer is not None or invoice.customer_id is not None:
            place = f"/also/{number}/customer" if invoice.customer is not None else f"/also/{number}/customer_id"
            detail = "is the customer of the example; leave it out"
            raise Invalid(f"{place}: {detail}", errors=(FieldError(place, detail),))
        ids = {} if "invoice_id" in invoice.model_fields_set else {"invoice_id": f"also-{number + 1}"}
        ids |= {} if "number" in invoice.model_fields_set else {"number": f"ALSO-{number + 1}"}
        yield f"/also/{number}", _example(body, invoice.model_copy(update=ids))


def _read(place: str, invoice: InvoiceIn, body: PreviewIn, *, sandbox: bool) -> NewInvoice:
    try:
        return read_invoice(invoice, sandbox=sandbox)
    except Invalid as error:
        raise _inside(error, place, body) from None


def _inside(error: Invalid, place: str, body: PreviewIn) -> Invalid:
    """The same faults, where they stand in this body."""
    own = body.customer is not None
    at = [
        one.pointer if own and one.pointer.startswith("/customer/") else f"{place}{one.pointer}" for one in error.errors
    ]
    errors = tuple(FieldError(where, one.detail) for where, one in zip(at, error.errors, strict=True))
    return Invalid(f"{at[0]}: {errors[0].detail}", errors=errors)
