"""Hold and resume, promise, dispute, void, uncollectible: of an invoice.

What must stay true: an answer is given only once nothing that was stopped can go out any more.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import asyncpg
from fastapi import Depends, Response

from services.scheduler.api.invoice_answer import InvoiceOut, invoice_out
from services.scheduler.api.parts import Parts, SchedulerParts
from services.scheduler.api.stop_bodies import (
    MOST_AHEAD,
    DisputeIn,
    HoldIn,
    PromiseIn,
    Resumed,
    StopOut,
    in_the_future,
    wrong,
    wrong_day,
)
from services.scheduler.api.stopping import FAULTS, business_now, placed, released
from services.scheduler.handlers.stop_invoice import close
from services.scheduler.store import holds, views
from services.scheduler.store.views import InvoiceRow
from shared.kernel.errors import Conflict, NotFound
from shared.kernel.money import check_minor_units
from shared.ledger.money import Stop
from shared.ledger.promise import Promised, WrongDay, promised_days
from shared.states import ClosedAs, HoldKind
from shared.web.auth import require
from shared.web.idempotency import IdempotencyKey, Once
from shared.web.strict import strict_router

router = strict_router("holds")
may_write = Depends(require("invoices:write"))


@router.post("/v1/invoices/{invoice_id}/void", response_model=InvoiceOut, dependencies=[may_write], responses=FAULTS)
async def post_void(invoice_id: str, parts: Parts) -> InvoiceOut:
    """The invoice was wrong: all that has not gone out is cancelled for good. Again is the same."""
    return await _closed(parts, invoice_id, ClosedAs.VOID)


@router.post(
    "/v1/invoices/{invoice_id}/uncollectible", response_model=InvoiceOut, dependencies=[may_write], responses=FAULTS
)
async def post_uncollectible(invoice_id: str, parts: Parts) -> InvoiceOut:
    """The money is given up: all that has not gone out is cancelled for good. Again is the same."""
    return await _closed(parts, invoice_id, ClosedAs.UNCOLLECTIBLE)


@router.post("/v1/invoices/{invoice_id}/hold", response_model=StopOut, dependencies=[may_write], responses=FAULTS)
async def post_hold(invoice_id: str, body: HoldIn, parts: Parts, once: IdempotencyKey) -> Response:
    """Stops an invoice's reminders until a time; what falls due meanwhile is skipped, the delivery waits."""
    return await _on_invoice(parts, invoice_id, HoldKind.HOLD, body, once)


@router.post("/v1/invoices/{invoice_id}/dispute", response_model=StopOut, dependencies=[may_write], responses=FAULTS)
async def post_dispute(invoice_id: str, body: DisputeIn, parts: Parts, once: IdempotencyKey) -> Response:
    """Holds this invoice while its claim is looked into; other invoices of the customer go on."""
    return await _on_invoice(parts, invoice_id, HoldKind.DISPUTE, body, once)


@router.post("/v1/invoices/{invoice_id}/promise", response_model=StopOut, dependencies=[may_write], responses=FAULTS)
async def post_promise(invoice_id: str, body: PromiseIn, parts: Parts, once: IdempotencyKey) -> Response:
    """Holds the invoice to the end of the last promised day. Each day is kept if what it promises has come by its end;
    else the promise is broken, and the reminders go on."""
    found = await _to_stop(parts, invoice_id, HoldKind.PROMISE)
    for index, (_, amount) in enumerate(body.days):
        _check_amount(amount, found.invoice, body.pointer(index, "amount"))
    days = promised_days(body.days, today=found.now.astimezone(found.zone).date(), zone=found.zone, ahead=MOST_AHEAD)
    if isinstance(days, WrongDay):
        raise wrong_day(body, days)
    return await placed(parts, Promised(found.invoice.id, days, body.reason), once)


@router.post("/v1/invoices/{invoice_id}/resume", response_model=Resumed, dependencies=[may_write], responses=FAULTS)
async def post_resume(invoice_id: str, parts: Parts) -> Resumed:
    """Ends the invoice's own holds, promises and disputes; a customer's or a global hold stays."""
    async with parts.db.connection() as connection:
        invoice = await _invoice(connection, invoice_id)
        found = await holds.of_invoice(connection, invoice.id)
    return await released(parts, found)


async def _closed(parts: SchedulerParts, ref: str, closed_as: ClosedAs) -> InvoiceOut:
    await close(parts.db, ref, closed_as, parts.window)
    async with parts.db.connection() as connection:
        return invoice_out(await views.view(connection, await _invoice(connection, ref)))


@dataclass(frozen=True, slots=True)
class _Found:
    """What is to be stopped; `zone` is the customer's."""

    invoice: InvoiceRow
    now: datetime
    zone: ZoneInfo


async def _on_invoice(
    parts: SchedulerParts, ref: str, kind: HoldKind, body: HoldIn | DisputeIn, once: Once | None
) -> Response:
    found = await _to_stop(parts, ref, kind)
    asked = body.until if isinstance(body, HoldIn) else None
    until = in_the_future(asked, found.now) if asked else found.now + parts.hold_for
    return await placed(parts, Stop(kind, found.invoice.id, None, body.reason, until), once)


async def _to_stop(parts: SchedulerParts, ref: str, kind: HoldKind) -> _Found:
    async with parts.db.connection() as connection:
        invoice = await _invoice(connection, ref)
        now = await business_now(connection)
        zone = ZoneInfo(await views.time_zone(connection, invoice.id))
    if invoice.closed_as or (kind is not HoldKind.HOLD and invoice.settled_at):
        raise Conflict(f"invoice {ref!r} is {invoice.status}; there is nothing to hold")
    return _Found(invoice, now, zone)


def _check_amount(amount: Decimal | None, invoice: InvoiceRow, pointer: str) -> None:
    if amount is not None:
        try:
            check_minor_units(amount, invoice.currency)
        except ValueError as error:
            raise wrong(pointer, str(error)) from None


async def _invoice(connection: asyncpg.Connection, ref: str) -> InvoiceRow:
    row = await views.invoice_by_ref(connection, ref)
    if row is None:
        raise NotFound(f"there is no invoice {ref[:128]!r}")
    return row
