"""A person gives money that waits to the invoice it was for, or takes it back. Answers after commit and barrier."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

import asyncpg

from services.payments.handlers.record_payment import DEADLINE, PaymentRecorder
from services.payments.store.invoices import invoice_id
from services.payments.store.payments import PaymentRow, find_payment
from shared.kernel.errors import Conflict, FieldError, Invalid, NotFound
from shared.kernel.money import check_minor_units
from shared.ledger import money
from shared.web.idempotency import Once, claim, store

_REFUSED = {
    "nothing_left": "nothing of this payment is left; take it back from another invoice first",
    "nothing_owed": "that invoice or installment owes nothing, or there is no such installment",
    "more_than_left": "the amount is more than is left of the payment; ask for less, or leave 'amount' out",
    "more_than_owed": "the amount is more than is owed; ask for less, or leave 'amount' out",
    "other_currency": "the payment and the invoice have different currencies; nothing is converted here",
    "invoice_void": "that invoice is void",
    "invoice_uncollectible": "that invoice was written off",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What of: an invoice by the ERP's id, one of its installments, how much (None: as much as fits)."""

    invoice_ref: str
    installment_no: int | None
    amount: Decimal | None


async def allocate_payment(recorder: PaymentRecorder, payment_id: int, target: Target, once: Once | None) -> PaymentRow:
    async def work(connection: asyncpg.Connection) -> tuple[PaymentRow, float]:
        async with connection.transaction():
            return await _allocate(connection, recorder, payment_id, target, once)

    async with asyncio.timeout(DEADLINE):
        row, wait = await recorder.db.retrying(work)
    await asyncio.sleep(wait)
    return row


async def undo_allocation(
    recorder: PaymentRecorder, payment_id: int, invoice_ref: str | None, installment_no: int | None
) -> None:
    """`NotFound` if there is nothing to take back."""

    async def work(connection: asyncpg.Connection) -> Decimal:
        invoice = None if invoice_ref is None else await invoice_id(connection, invoice_ref)
        if invoice_ref is not None and invoice is None:
            return Decimal(0)
        return await money.undo_allocation(connection, payment_id, invoice, installment_no)

    async with asyncio.timeout(DEADLINE):
        if not await recorder.db.retrying(work):
            raise NotFound(f"payment {payment_id} has no such allocation")


async def _allocate(
    tx: asyncpg.Connection, recorder: PaymentRecorder, payment_id: int, target: Target, once: Once | None
) -> tuple[PaymentRow, float]:
    before = await find_payment(tx, payment_id)
    if before is None:
        raise NotFound(f"there is no payment with the id {payment_id}")
    if await claim(tx, once):
        return before, recorder.window.total_seconds()
    invoice = await invoice_id(tx, target.invoice_ref)
    if invoice is None:
        fault = FieldError("/invoice_id", f"there is no invoice {target.invoice_ref!r}")
        raise Invalid(fault.detail, errors=(fault,))
    if target.amount is not None and before.currency is not None:
        _check_digits(target.amount, before.currency)
    done = await money.allocate_payment(
        tx, payment_id, invoice, target.installment_no, target.amount, window=recorder.window
    )
    if done.refused is not None:
        raise Conflict(_REFUSED[done.refused])
    await store(tx, once, 201, {})
    after = await find_payment(tx, payment_id)
    assert after is not None
    return after, done.wait


def _check_digits(amount: Decimal, currency: str) -> None:
    try:
        check_minor_units(amount, currency)
    except ValueError as error:
        raise Invalid(f"/amount: {error}", errors=(FieldError("/amount", str(error)),)) from None
