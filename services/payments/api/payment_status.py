"""`/v1/payment-status/{invoice_id}`: is it paid?"""

import asyncio
from datetime import date, datetime
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from services.payments.api.parts import PaymentsParts
from services.payments.handlers.check_payments import Asked
from services.payments.handlers.record_payment import DEADLINE
from services.payments.store.invoices import Owed, owed_by_ref
from shared.kernel.errors import NotFound
from shared.kernel.money import amount_text
from shared.ledger.money import barrier, match_waiting
from shared.web.auth import Scope, require
from shared.web.fields import Ref
from shared.web.parts import part
from shared.web.problems import declared
from shared.web.strict import strict_router

router: APIRouter = strict_router("payment status")
Parts = Annotated[PaymentsParts, part(PaymentsParts)]


class InstallmentStatus(BaseModel):
    no: int
    due_date: date
    amount: str
    open_amount: str
    written_off: str
    status: str


class PaymentStatus(BaseModel):
    """`status`: open, paid, void or uncollectible, at business time `as_of`. `written_off`: what a bank kept of the money, as far
    as the tolerance of its source goes."""

    invoice_id: str
    status: str
    currency: str
    amount: str
    open_amount: str
    written_off: str
    as_of: datetime
    installments: list[InstallmentStatus]


class RefreshedStatus(PaymentStatus):
    """`asked`: the polled sources that answered just now, `unanswered`: the others, each with why; `matched`: whether that,
    or waiting money, changed what is owed."""

    asked: list[str]
    unanswered: dict[str, str]
    matched: bool
    detail: str


@router.get(
    "/v1/payment-status/{invoice_id}",
    dependencies=[Depends(require(Scope.PAYMENTS_READ))],
    responses=declared(401, 403, 404),
    summary="What is owed of an invoice now",
)
async def status(invoice_id: Ref, parts: Parts) -> PaymentStatus:
    async with parts.db.connection() as connection:
        return PaymentStatus(**_fields(await _owed(connection, invoice_id)))


@router.post(
    "/v1/payment-status/{invoice_id}/refresh",
    dependencies=[Depends(require(Scope.PAYMENTS_WRITE))],
    responses=declared(401, 403, 404),
    summary="Ask the sources that can be asked, and match what waits; answers after the hand-off barrier",
)
async def refresh(invoice_id: Ref, parts: Parts) -> RefreshedStatus:
    asked = await parts.payment_check.ask_now(invoice_id)
    if asked is None:
        raise _missing(invoice_id)

    async def match(connection: asyncpg.Connection) -> tuple[Owed, bool, float]:
        before = await _owed(connection, invoice_id)
        touched = await match_waiting(connection, [before.id])
        wait = await barrier(connection, [before.id], parts.recorder.window)
        return (await _owed(connection, invoice_id) if touched else before), bool(touched), wait

    async with asyncio.timeout(DEADLINE):
        owed, matched, wait = await parts.db.retrying(match)
    await asyncio.sleep(max(wait, asked.wait))
    changed = matched or asked.changed
    return RefreshedStatus(
        **_fields(owed), asked=asked.answered, unanswered=asked.silent, matched=changed, detail=_detail(asked)
    )


async def _owed(connection: asyncpg.Connection, invoice_ref: str) -> Owed:
    owed = await owed_by_ref(connection, invoice_ref)
    if owed is None:
        raise _missing(invoice_ref)
    return owed


def _missing(invoice_ref: str) -> NotFound:
    return NotFound(f"there is no invoice {invoice_ref!r}")


def _detail(asked: Asked) -> str:
    if asked.answered:
        return "what the sources said just now is booked"
    if asked.silent:
        return "no source answered; this is what is known here"
    return "no payment source that can be asked is configured; this is what is known here"


def _fields(owed: Owed) -> dict[str, object]:
    return {
        "invoice_id": owed.ref,
        "status": owed.status,
        "currency": owed.currency,
        "amount": amount_text(owed.amount, owed.currency),
        "open_amount": amount_text(owed.open_amount, owed.currency),
        "written_off": amount_text(owed.written_off, owed.currency),
        "as_of": owed.as_of,
        "installments": [
            {
                "no": part.no,
                "due_date": part.due_date,
                "amount": amount_text(part.amount, owed.currency),
                "open_amount": amount_text(part.open_amount, owed.currency),
                "written_off": amount_text(part.written_off, owed.currency),
                "status": owed.closed_as or ("open" if part.open_amount else "paid"),
            }
            for part in owed.parts
        ],
    }
