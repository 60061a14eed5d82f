"""`/v1/pay-links/{invoice_id}`: the link of an invoice's page, for who puts it elsewhere, and its renewal."""

from datetime import datetime
from typing import Annotated

import asyncpg
from fastapi import Depends, Response
from pydantic import BaseModel, Field

from services.payments.api.parts import PaymentsParts
from services.payments.store.invoices import invoice_id as id_of
from services.payments.store.pay_links import link_of, renew
from shared.kernel.errors import FieldError, Invalid, NotFound
from shared.kernel.ids import new_token
from shared.ledger.plan import lock_invoices
from shared.web import idempotency
from shared.web.auth import require
from shared.web.fields import IsoTime
from shared.web.idempotency import IdempotencyKey
from shared.web.parts import part
from shared.web.problems import declared
from shared.web.strict import StrictModel, strict_router

router = strict_router("pay links")
Parts = Annotated[PaymentsParts, part(PaymentsParts)]
may_write = Depends(require("invoices:write"))
FAULTS = declared(400, 401, 403, 404, 409, 413, 415)


class LinkIn(StrictModel):
    """`expires_at` left out: it works as long as something is owed, and a while after."""

    expires_at: IsoTime | None = None


class LinkOut(BaseModel):
    invoice_id: str
    path: str = Field(description="after DUNNOCK_PUBLIC_URL; who has it can see the invoice", examples=["/pay/..."])
    expires_at: datetime | None


@router.get("/v1/pay-links/{invoice_id}", dependencies=[may_write], responses=declared(401, 403, 404))
async def get_link(invoice_id: str, parts: Parts) -> LinkOut:
    """The link that messages carry now."""
    async with parts.db.connection() as connection:
        return await _link(connection, invoice_id, await _found(connection, invoice_id))


@router.post("/v1/pay-links/{invoice_id}", dependencies=[may_write], responses=FAULTS)
async def post_link(invoice_id: str, body: LinkIn, once: IdempotencyKey, parts: Parts) -> LinkOut:
    """A new link. The old one stops at once; messages from now on carry the new one."""
    async with parts.db.transaction() as tx:
        if (stored := await idempotency.claim(tx, once)) is not None:
            return LinkOut.model_validate(stored.response)
        found = await _found(tx, invoice_id)
        await lock_invoices(tx, [found])
        if body.expires_at and body.expires_at <= await tx.fetchval("SELECT business_now()"):
            detail = "must be later than now; to end a link at once, DELETE it"
            raise Invalid(f"/expires_at: {detail}", errors=(FieldError("/expires_at", detail),))
        await renew(tx, found, new_token(), body.expires_at)
        made = await _link(tx, invoice_id, found)
        await idempotency.store(tx, once, 200, made.model_dump(mode="json"))
        return made


@router.delete(
    "/v1/pay-links/{invoice_id}", status_code=204, dependencies=[may_write], responses=declared(401, 403, 404)
)
async def delete_link(invoice_id: str, parts: Parts) -> Response:
    """The link stops at once. The next message carries another one, which nobody has seen."""
    async with parts.db.transaction() as tx:
        found = await _found(tx, invoice_id)
        await lock_invoices(tx, [found])
        await renew(tx, found, new_token(), None)
    return Response(status_code=204)


async def _found(connection: asyncpg.Connection, ref: str) -> int:
    found = await id_of(connection, ref)
    if found is None:
        raise NotFound(f"there is no invoice {ref[:128]!r}")
    return found


async def _link(connection: asyncpg.Connection, ref: str, found: int) -> LinkOut:
    link = await link_of(connection, found)
    return LinkOut(invoice_id=ref, path=f"/pay/{link.token}", expires_at=link.until)
