"""`/v1/payments`: what came, what waits, and money that people record and match by hand."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from services.payments.api.parts import PaymentsParts
from services.payments.api.payment_body import Payment, payment_body
from services.payments.api.said import EventType, Installment, Money, check, content_ref, kind_of
from services.payments.domain.outcome import Kind
from services.payments.handlers.allocate_payment import Target, allocate_payment, undo_allocation
from services.payments.handlers.record_by_hand import record_by_hand
from services.payments.handlers.suggest_invoices import suggest_invoices
from services.payments.store.payments import PaymentFilter, PaymentRow, find_payment, list_payments
from shared.kernel import json
from shared.kernel.errors import FieldError, Invalid, NotFound
from shared.kernel.ids import new_token
from shared.web.auth import Scope, require
from shared.web.fields import PositiveAmount, Ref
from shared.web.idempotency import IdempotencyKey
from shared.web.paging import Page, Paged
from shared.web.parts import part
from shared.web.problems import declared
from shared.web.strict import StrictModel, strict_router

router: APIRouter = strict_router("payments")
Parts = Annotated[PaymentsParts, part(PaymentsParts)]
PaymentId = Annotated[int, Path(alias="id", ge=1, le=2**63 - 1, description="`id` of the payment")]


class NewPayment(Money):
    """As the data of a webhook. Without `payment_id` one is made."""

    type: EventType = "payment.confirmed"
    payment_id: Ref | None = None


class NewAllocation(StrictModel):
    """Without an `amount` as much as fits; without an `installment` the oldest due date first."""

    invoice_id: Ref
    installment: Installment | None = None
    amount: PositiveAmount | None = None


class Status(StrEnum):
    """`unmatched`: something of it waits; `matched`: nothing does."""

    UNMATCHED = "unmatched"
    MATCHED = "matched"
    ALL = "all"


@router.post(
    "/v1/payments",
    status_code=201,
    response_model=Payment,
    dependencies=[Depends(require(Scope.PAYMENTS_WRITE))],
    responses={
        200: {"model": Payment, "description": "Recorded before"},
        202: {"model": Payment, "description": "Stored, without an effect yet"},
        **declared(400, 401, 403, 409),
    },
    summary="Record a payment, or its reversal, by hand or from the ERP",
)
async def record(new: NewPayment, once: IdempotencyKey, parts: Parts) -> Response:
    kind = kind_of(new.type)
    check(new, kind, "")
    if new.payment_id is None and kind is Kind.REVERSED:
        fault = FieldError("/payment_id", "is required for payment.reversed: it names the payment that is reversed")
        raise Invalid(f"{fault.pointer}: {fault.detail}", errors=(fault,))
    content = new.model_dump(mode="json", exclude_none=True)
    payment_ref = new.payment_id or new_token()
    # A reversal of the same amount may well come twice; only the key tells the second from a repetition of the first.
    event_ref = f"key:{once.key}" if once and kind is Kind.REVERSED else content_ref(content)
    said = new.said(await parts.sources.built_in(), payment_ref, kind, event_ref, json.dumps(content))
    answer = await record_by_hand(parts.recorder, said, once, _present)
    headers = {"Location": f"/v1/payments/{answer.response['id']}"} if answer.status == 201 else None
    return Response(json.dumps(answer.response), answer.status, headers, media_type="application/json")


@router.get(
    "/v1/payments",
    dependencies=[Depends(require(Scope.PAYMENTS_READ))],
    responses=declared(400, 401, 403),
    summary="Payments, the newest first",
)
async def listing(
    paging: Paged,
    parts: Parts,
    status: Annotated[Status, Query()] = Status.ALL,
    invoice_id: Annotated[Ref | None, Query()] = None,
    source: Annotated[Ref | None, Query()] = None,
    payment_id: Annotated[Ref | None, Query(description="the source's own id of it")] = None,
) -> Page[Payment]:
    (before,) = paging.last(int) or (None,)
    unmatched = {Status.UNMATCHED: True, Status.MATCHED: False, Status.ALL: None}[status]
    wanted = PaymentFilter(unmatched, invoice_id, source, payment_id)
    async with parts.db.connection() as connection:
        rows = await list_payments(connection, wanted, before, paging.limit + 1)
        shown, cursor = paging.cut(rows, lambda row: (row.id,))
        likely = await suggest_invoices(connection, shown, parts.rules) if unmatched else {}
    return Page(items=[payment_body(row, likely.get(row.id)) for row in shown], next_cursor=cursor)


@router.get(
    "/v1/payments/{id}",
    dependencies=[Depends(require(Scope.PAYMENTS_READ))],
    responses=declared(401, 403, 404),
    summary="A payment and what it paid",
)
async def get(payment_id: PaymentId, parts: Parts) -> Payment:
    async with parts.db.connection() as connection:
        row = await find_payment(connection, payment_id)
    if row is None:
        raise NotFound(f"there is no payment with the id {payment_id}")
    return payment_body(row)


@router.post(
    "/v1/payments/{id}/allocations",
    status_code=201,
    dependencies=[Depends(require(Scope.PAYMENTS_WRITE))],
    responses=declared(400, 401, 403, 404, 409),
    summary="Give a payment's money to an invoice, by hand",
)
async def allocate(payment_id: PaymentId, new: NewAllocation, once: IdempotencyKey, parts: Parts) -> Payment:
    target = Target(new.invoice_id, new.installment, new.amount)
    return payment_body(await allocate_payment(parts.recorder, payment_id, target, once))


@router.delete(
    "/v1/payments/{id}/allocations",
    status_code=204,
    dependencies=[Depends(require(Scope.PAYMENTS_WRITE))],
    responses=declared(401, 403, 404),
    summary="Take a payment's money back from an invoice, or from all",
)
async def undo(
    payment_id: PaymentId,
    parts: Parts,
    invoice_id: Annotated[Ref | None, Query()] = None,
    installment: Annotated[int | None, Query(ge=1, le=10_000)] = None,
) -> None:
    await undo_allocation(parts.recorder, payment_id, invoice_id, installment)


def _present(row: PaymentRow) -> dict[str, Any]:
    return payment_body(row).model_dump(mode="json")
