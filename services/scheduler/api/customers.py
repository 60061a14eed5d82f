"""Who owes: one record per customer of the ERP, with the addresses that reach them."""

from typing import Annotated, Any

from fastapi import Body, Depends, Path, Response
from fastapi.openapi.models import Example
from fastapi.responses import JSONResponse
from pydantic import Field

from services.scheduler.api.customer_body import CustomerIn, read_customer
from services.scheduler.api.examples import CUSTOMER
from services.scheduler.api.invoice_answer import Answer
from services.scheduler.api.parts import Parts
from services.scheduler.handlers.save_customer import save_customer
from services.scheduler.store import parties
from services.scheduler.store.parties import ContactRow, CustomerRow
from shared.kernel.errors import FieldError, Invalid, NotFound
from shared.kernel.ids import REF_PATTERN
from shared.web.auth import require
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("customers")
may_write, may_read = Depends(require("invoices:write")), Depends(require("invoices:read"))
CustomerId = Annotated[str, Path(pattern=f"^{REF_PATTERN}$", examples=["C-1001"])]
EXAMPLE = {name: value for name, value in CUSTOMER.items() if name != "customer_id"}


class ContactPointOut(Answer):
    """`suppressed`: channels that must not be used for this address, each with its reason."""

    kind: str
    address: str
    channels: list[str] | None = None
    priority: int
    suppressed: dict[str, str] = Field({}, examples=[{"email": "bounced"}])


class CustomerOut(Answer):
    customer_id: str
    name: str
    locale: str | None = None
    timezone: str | None = None
    country: str | None = None
    preferred_channel: str | None = None
    attributes: dict[str, Any]
    contact_points: list[ContactPointOut]


@router.put(
    "/v1/customers/{customer_id}",
    response_model=CustomerOut,
    dependencies=[may_write],
    responses={201: {"model": CustomerOut, "description": "It is new"}, **declared(400, 401, 403, 413, 415)},
)
async def put_customer(
    customer_id: CustomerId,
    body: Annotated[CustomerIn, Body(openapi_examples={"a customer": Example(value=EXAMPLE)})],
    parts: Parts,
) -> Response:
    """Makes or replaces a customer. A list of contact points replaces the list; without one they stay as they are."""
    faults: list[FieldError] = []
    given = read_customer(customer_id, body, faults, sandbox=parts.sandbox)
    if faults:
        raise Invalid(f"{faults[0].pointer}: {faults[0].detail}", errors=tuple(faults))
    async with parts.db.transaction() as tx:
        fresh = await save_customer(tx, given)
        row = await parties.customer(tx, customer_id)
        assert row is not None
        answer = _out(row, await parties.contacts(tx, [row.id]))
    return JSONResponse(answer.model_dump(mode="json"), 201 if fresh else 200)


@router.get(
    "/v1/customers/{customer_id}",
    response_model=CustomerOut,
    dependencies=[may_read],
    responses=declared(401, 403, 404),
)
async def get_customer(customer_id: CustomerId, parts: Parts) -> CustomerOut:
    """One customer, with the addresses in use."""
    async with parts.db.connection() as connection:
        row = await parties.customer(connection, customer_id)
        if row is None:
            raise NotFound(f"there is no customer {customer_id!r}")
        return _out(row, await parties.contacts(connection, [row.id]))


@router.get(
    "/v1/customers", response_model=Page[CustomerOut], dependencies=[may_read], responses=declared(400, 401, 403)
)
async def list_customers(parts: Parts, paging: Paged) -> Page[CustomerOut]:
    """By id."""
    after = paging.last(str)
    async with parts.db.connection() as connection:
        found = await parties.customers(connection, after[0] if after else "", paging.limit + 1)
        rows, cursor = paging.cut(found, lambda row: (row.ref,))
        points = await parties.contacts(connection, [row.id for row in rows])
    items = [_out(row, [point for point in points if point.customer_id == row.id]) for row in rows]
    return Page(items=items, next_cursor=cursor)


def _out(row: CustomerRow, points: list[ContactRow]) -> CustomerOut:
    return CustomerOut(
        customer_id=row.ref,
        name=row.name,
        locale=row.locale,
        timezone=row.timezone,
        country=row.country,
        preferred_channel=row.preferred_channel,
        attributes=row.attributes,
        contact_points=[
            ContactPointOut(
                kind=point.kind,
                address=point.address,
                channels=point.channels,
                priority=point.priority,
                suppressed=point.barred,
            )
            for point in points
        ],
    )
