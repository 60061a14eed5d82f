"""POST and GET of invoices."""

from datetime import date
from typing import Annotated, Literal

import asyncpg
from fastapi import Depends, Query, Response
from fastapi.responses import JSONResponse

from services.scheduler.api.documents_in import keep
from services.scheduler.api.examples import INVOICES
from services.scheduler.api.invoice_answer import InvoiceOut, InvoiceSummary, invoice_out, summary_out
from services.scheduler.api.invoice_body import InvoiceIn, read_invoice
from services.scheduler.api.parts import Parts
from services.scheduler.domain.new_invoice import NewInvoice
from services.scheduler.handlers.accept_invoices import accept_invoices, find_payments, in_transaction
from services.scheduler.handlers.intake import Accepted
from services.scheduler.store import invoice_lists, views
from services.scheduler.store.flows import FlowVersions
from shared.kernel.errors import NotFound, Problem
from shared.web import idempotency
from shared.web.auth import require
from shared.web.fields import parse_date
from shared.web.idempotency import IdempotencyKey, Once, Stored
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("invoices")
may_write, may_read = Depends(require("invoices:write")), Depends(require("invoices:read"))
LOCATION = {"Location": {"description": "Where the invoice is read", "schema": {"type": "string"}}}


@router.post(
    "/v1/invoices",
    status_code=201,
    response_model=InvoiceOut,
    dependencies=[may_write],
    responses={
        201: {"description": "Accepted and planned", "headers": LOCATION},
        200: {"description": "It was there already, with the same content", "model": InvoiceOut},
        **declared(400, 401, 403, 409, 413, 415, 503),
    },
)
async def post_invoice(parts: Parts, once: IdempotencyKey, body: Annotated[InvoiceIn, INVOICES]) -> Response:
    """Takes an invoice in, and plans its reminders. The same id and content again changes nothing but an inline
    customer."""
    new = read_invoice(body, await keep(parts.documents, parts.fetch, body.document), sandbox=parts.sandbox)

    async def work(tx: asyncpg.Connection) -> tuple[Stored, list[int]]:
        return await _accept(tx, new, once, parts.flows)

    answer, created = await in_transaction(parts.db, work)
    if created:
        parts.wake()
        if await find_payments(parts.db, created):
            answer = await _read_again(parts, new.ref, once)
    return JSONResponse(answer.response, answer.status, {"Location": f"/v1/invoices/{new.ref}"})


async def _accept(
    tx: asyncpg.Connection, new: NewInvoice, once: Once | None, flows: FlowVersions
) -> tuple[Stored, list[int]]:
    """The answer, and the invoice's id if it is new."""
    if (stored := await idempotency.claim(tx, once)) is not None:
        return stored, []
    [outcome] = await accept_invoices(tx, [new], flows)
    if isinstance(outcome, Problem):
        raise outcome
    assert isinstance(outcome, Accepted)
    answer = await _read(tx, new.ref, 201 if outcome.created else 200)
    await idempotency.store(tx, once, answer.status, answer.response)
    return answer, [outcome.invoice_id] if outcome.created else []


async def _read_again(parts: Parts, ref: str, once: Once | None) -> Stored:
    """A payment was there first: the answer says so, and says so again."""
    async with parts.db.transaction() as tx:
        answer = await _read(tx, ref, 201)
        await idempotency.store(tx, once, answer.status, answer.response)
    return answer


async def _read(connection: asyncpg.Connection, ref: str, status: int) -> Stored:
    return Stored(status, (await _invoice(connection, ref)).model_dump(mode="json"))


async def _invoice(connection: asyncpg.Connection, ref: str) -> InvoiceOut:
    row = await views.invoice_by_ref(connection, ref)
    if row is None:
        raise NotFound(f"there is no invoice {ref[:128]!r}")
    return invoice_out(await views.view(connection, row))


@router.get(
    "/v1/invoices/{invoice_id}", response_model=InvoiceOut, dependencies=[may_read], responses=declared(401, 403, 404)
)
async def get_invoice(invoice_id: str, parts: Parts) -> InvoiceOut:
    """What is owed, what stops it, what was and will be sent."""
    async with parts.db.connection() as connection:
        return await _invoice(connection, invoice_id)


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return parse_date(text)
    except ValueError as error:
        raise Problem(f"due_from and due_to: {error}", status=422) from None


@router.get(
    "/v1/invoices",
    response_model=Page[InvoiceSummary],
    dependencies=[may_read],
    responses=declared(400, 401, 403),
)
async def list_invoices(
    parts: Parts,
    paging: Paged,
    status: Annotated[Literal["open", "paid", "void", "uncollectible"] | None, Query()] = None,
    customer_id: Annotated[str | None, Query(description="only this customer's")] = None,
    due_from: Annotated[
        str | None, Query(description="some due date on this day or later", examples=["2026-12-01"])
    ] = None,
    due_to: Annotated[str | None, Query(description="some due date on this day or earlier")] = None,
) -> Page[InvoiceSummary]:
    """Newest first."""
    wanted = invoice_lists.Wanted(status, customer_id, _day(due_from), _day(due_to))
    async with parts.db.connection() as connection:
        after = paging.last(int)
        found = await invoice_lists.page(connection, wanted, after[0] if after else None, paging.limit + 1)
        rows, cursor = paging.cut(found, lambda row: (row.id,))
        ids = [row.id for row in rows]
        split = await views.installments(connection, ids)
        held = await views.holds(connection, ids)
    items = [summary_out(row, [part for part in split if part.invoice_id == row.id], held.get(row.id)) for row in rows]
    return Page(items=items, next_cursor=cursor)
