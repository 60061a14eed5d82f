"""PATCH of an invoice."""

from typing import Annotated

from fastapi import Body, Depends
from fastapi.openapi.models import Example
from pydantic import Field

from services.scheduler.api.customer_body import MOST_CONTACT_POINTS, ContactPointIn, WebAddress, read_points
from services.scheduler.api.invoice_answer import InvoiceOut, invoice_out
from services.scheduler.api.invoice_body import Day
from services.scheduler.api.parts import Parts
from services.scheduler.handlers.change_invoice import Change, PartChange, change_invoice
from services.scheduler.store import views
from shared.flow.steps import Name
from shared.kernel.errors import FieldError, Invalid
from shared.web.auth import require
from shared.web.fields import PositiveAmount
from shared.web.problems import declared
from shared.web.strict import StrictModel, strict_router

router = strict_router("invoices")


class PartIn(StrictModel):
    """New values of one installment."""

    no: Annotated[int, Field(ge=1, le=1000, strict=True)]
    due_date: Day | None = None
    amount: PositiveAmount | None = None


class ChangeIn(StrictModel):
    """What is left out stays. `due_date` and `amount` are those of an invoice with one installment. `contact_points`
    replaces the customer's. `flow` moves the invoice to that flow's newest version."""

    due_date: Day | None = None
    amount: PositiveAmount | None = None
    installments: Annotated[list[PartIn], Field(min_length=1, max_length=120)] | None = None
    flow: Name | None = None
    payment_url: WebAddress | None = None
    contact_points: Annotated[list[ContactPointIn], Field(max_length=MOST_CONTACT_POINTS)] | None = None


EXAMPLES = {
    "a later due date": Example(value={"due_date": "2027-01-15"}),
    "a new address": Example(value={"contact_points": [{"kind": "email", "address": "ana.garcia@example.com"}]}),
}


@router.patch(
    "/v1/invoices/{invoice_id}",
    response_model=InvoiceOut,
    dependencies=[Depends(require("invoices:write"))],
    responses=declared(400, 401, 403, 404, 409, 413, 415),
)
async def patch_invoice(
    invoice_id: str, body: Annotated[ChangeIn, Body(openapi_examples=EXAMPLES)], parts: Parts
) -> InvoiceOut:
    """Changes an invoice. A new date, amount or flow plans what has not gone out anew; nothing goes out twice."""
    await change_invoice(parts.db, parts.flows, invoice_id, _read(body, parts.sandbox), parts.window)
    parts.wake()
    async with parts.db.connection() as connection:
        row = await views.invoice_by_ref(connection, invoice_id)
        assert row is not None
        return invoice_out(await views.view(connection, row))


def _read(body: ChangeIn, sandbox: bool) -> Change:
    if not body.model_fields_set or all(getattr(body, name) is None for name in body.model_fields_set):
        raise _wrong("", "nothing to change; send the fields that are new")
    single = body.due_date is not None or body.amount is not None
    if single and body.installments:
        raise _wrong("/installments", "stands beside due_date or amount; send one of the two")
    changes = [PartChange(None, body.due_date, body.amount, "")] if single else []
    for index, part in enumerate(body.installments or ()):
        changes.append(PartChange(part.no, part.due_date, part.amount, f"/installments/{index}"))
    faults: list[FieldError] = []
    points = body.contact_points
    found = None if points is None else read_points(points, None, faults, "", sandbox)
    if faults:
        raise _wrong(faults[0].pointer, faults[0].detail)
    return Change(changes, body.flow, body.payment_url, found)


def _wrong(pointer: str, detail: str) -> Invalid:
    return Invalid(f"{pointer}: {detail}" if pointer else detail, errors=(FieldError(pointer, detail),))
