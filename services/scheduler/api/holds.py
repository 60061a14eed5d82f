"""Hold and resume of a customer and of everything; the list of all that stops something."""

from fastapi import Depends, Response

from services.scheduler.api.parts import Parts
from services.scheduler.api.stop_bodies import EverythingStopped, HoldIn, Resumed, StopOut, in_the_future, stop_out
from services.scheduler.api.stopping import FAULTS, business_now, everything_stopped, placed, released
from services.scheduler.store import holds, parties
from shared.kernel.errors import NotFound
from shared.ledger.money import Stop
from shared.states import HoldKind
from shared.web.auth import require
from shared.web.idempotency import IdempotencyKey
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("holds")
may_write, may_read = Depends(require("invoices:write")), Depends(require("invoices:read"))
may_operate = Depends(require("operate"))


@router.post("/v1/customers/{customer_id}/hold", response_model=StopOut, dependencies=[may_write], responses=FAULTS)
async def post_customer_hold(customer_id: str, body: HoldIn, parts: Parts, once: IdempotencyKey) -> Response:
    """Stops all reminders to a customer until a time."""
    async with parts.db.connection() as connection:
        customer = await parties.customer(connection, customer_id)
        now = await business_now(connection)
    if customer is None:
        raise NotFound(f"there is no customer {customer_id[:128]!r}")
    until = in_the_future(body.until, now) if body.until else now + parts.hold_for
    return await placed(parts, Stop(HoldKind.HOLD, None, customer.id, body.reason, until), once)


@router.post("/v1/customers/{customer_id}/resume", response_model=Resumed, dependencies=[may_write], responses=FAULTS)
async def post_customer_resume(customer_id: str, parts: Parts) -> Resumed:
    """Ends the customer's holds."""
    async with parts.db.connection() as connection:
        customer = await parties.customer(connection, customer_id)
        if customer is None:
            raise NotFound(f"there is no customer {customer_id[:128]!r}")
        found = await holds.of_customer(connection, customer.id)
    return await released(parts, found)


@router.post("/v1/holds", response_model=EverythingStopped, dependencies=[may_operate], responses=FAULTS)
async def post_global_hold(body: HoldIn, parts: Parts, once: IdempotencyKey) -> Response:
    """Stops everything, for everybody, until a time; within a second. What was already claimed by then is counted in the
    answer: it may still be handed over for `quiet_in` seconds, two at most."""
    async with parts.db.connection() as connection:
        now = await business_now(connection)
    until = in_the_future(body.until, now) if body.until else now + parts.hold_for
    return await everything_stopped(parts, Stop(HoldKind.HOLD, None, None, body.reason, until), once)


@router.get("/v1/holds", response_model=Page[StopOut], dependencies=[may_read], responses=declared(400, 401, 403))
async def list_holds(parts: Parts, paging: Paged) -> Page[StopOut]:
    """All that stops something now: of invoices, of customers, of everything."""
    after = paging.last(int)
    async with parts.db.connection() as connection:
        found = await holds.page(connection, after[0] if after else 0, paging.limit + 1)
    rows, cursor = paging.cut(found, lambda row: (row.id,))
    return Page(items=[stop_out(row) for row in rows], next_cursor=cursor)


@router.delete("/v1/holds/{hold_id}", status_code=204, dependencies=[may_operate], responses=declared(401, 403, 404))
async def delete_hold(hold_id: int, parts: Parts) -> Response:
    """Ends a hold of any kind before its time; again is the same."""
    async with parts.db.connection() as connection:
        if not 0 < hold_id < 2**63 or await holds.hold(connection, hold_id) is None:
            raise NotFound(f"there is no hold {hold_id}")
    await released(parts, [hold_id])
    return Response(status_code=204)
