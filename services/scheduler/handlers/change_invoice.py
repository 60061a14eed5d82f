"""PATCH: what the ERP corrects after the invoice was accepted.

What must stay true: what is already paid or credited of an installment is never more than its amount; a change of
date, amount or flow plans the invoice anew in the same transaction; the answer is given only after the barrier,
because what was about to go out said the old date or amount.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

import asyncpg

from services.scheduler.domain.new_invoice import NewContactPoint
from services.scheduler.handlers.plan_anew import plan_anew
from services.scheduler.handlers.stop_invoice import locked
from services.scheduler.store import accepting, accepting_customers, changing, replanning
from services.scheduler.store.flows import FlowVersions, latest
from services.scheduler.store.replanning import Part
from services.scheduler.store.views import InvoiceRow
from shared.db.engine import Database
from shared.kernel.errors import Conflict, FieldError, Invalid
from shared.kernel.money import amount_text, check_minor_units
from shared.ledger.money import barrier, settle


@dataclass(frozen=True, slots=True)
class PartChange:
    """Of the installment `no`; None leaves a value as it is. `at`: where the body says it."""

    no: int | None
    due_date: date | None
    amount: Decimal | None
    at: str


@dataclass(frozen=True, slots=True)
class Change:
    """None: not changed."""

    parts: Sequence[PartChange] = ()
    flow: str | None = None
    payment_url: str | None = None
    contact_points: tuple[NewContactPoint, ...] | None = None


async def change_invoice(db: Database, flows: FlowVersions, ref: str, change: Change, window: timedelta) -> None:
    """Raises `NotFound`, `Conflict` or `Invalid`."""
    async with db.transaction() as tx:
        invoice = await locked(tx, ref)
        if invoice.closed_as:
            raise Conflict(f"invoice {ref!r} is {invoice.closed_as}; nothing of it changes any more")
        said = await _apply(tx, invoice, change)
        if {"due_date", "amount", "flow"} & said.keys():
            await settle(tx, [invoice.id])
            await plan_anew(tx, [invoice.id], flows)
        wait = await barrier(tx, [invoice.id], window)
    await asyncio.sleep(wait)


async def _apply(tx: asyncpg.Connection, invoice: InvoiceRow, change: Change) -> Mapping[str, object]:
    """What really changed, as the timeline keeps it."""
    now = await tx.fetchval("SELECT business_now()")
    said: dict[str, object] = {}
    stored = await replanning.parts(tx, [invoice.id])
    for one in change.parts:
        part = _judged(one, stored, invoice)
        due_date, amount = one.due_date or part.due_date, one.amount or part.amount
        if (due_date, amount) != (part.due_date, part.amount):
            await changing.installment(tx, part.id, due_date, amount)
            said |= {"due_date": due_date.isoformat()} if due_date != part.due_date else {}
            said |= {"amount": amount_text(amount, invoice.currency)} if amount != part.amount else {}
    if change.flow is not None:
        version = (await latest(tx, [change.flow])).get(change.flow)
        if version is None:
            raise _wrong("/flow", f"there is no flow {change.flow!r}; PUT it first")
        if await changing.flow(tx, invoice.id, version):
            said["flow"] = change.flow
    if change.payment_url is not None and change.payment_url != invoice.payment_url:
        await changing.payment_url(tx, invoice.id, change.payment_url)
        said["payment_url"] = True
    if change.contact_points is not None:
        await accepting_customers.replace_points(tx, [(invoice.customer_id, change.contact_points)], now)
        said["contact"] = True
    if said:
        await accepting.log_events(tx, now, "invoice.changed", [(invoice.id, said)])
    return said


def _judged(one: PartChange, stored: Sequence[Part], invoice: InvoiceRow) -> Part:
    """The installment that is meant, if the change is possible."""
    if one.no is None and len(stored) > 1:
        raise _wrong(
            one.at or "/installments", f"the invoice has {len(stored)} installments; change them by their 'no'"
        )
    part = next((part for part in stored if part.no == (one.no or 1)), None)
    if part is None:
        raise _wrong(f"{one.at}/no", f"the invoice has no installment {one.no}")
    if one.due_date is not None and one.due_date < invoice.issue_date:
        raise _wrong(f"{one.at}/due_date", f"{one.due_date} is before the issue date {invoice.issue_date}")
    if one.amount is not None:
        _check_amount(one, part, invoice.currency)
    return part


def _check_amount(one: PartChange, part: Part, currency: str) -> None:
    assert one.amount is not None
    done = part.credited + part.allocated
    if one.amount < done:
        detail = f"{amount_text(done, currency)} {currency} of it is already paid or credited; it cannot become less"
        raise _wrong(f"{one.at}/amount", detail)
    try:
        check_minor_units(one.amount, currency)
    except ValueError as error:
        raise _wrong(f"{one.at}/amount", str(error)) from None


def _wrong(pointer: str, detail: str) -> Invalid:
    return Invalid(f"{pointer}: {detail}", errors=(FieldError(pointer, detail),))
