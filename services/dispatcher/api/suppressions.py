"""`/v1/suppressions`: addresses that must not be used, and why."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path, Query, Response
from pydantic import BaseModel, Field

from services.dispatcher.api.parts import Parts
from shared.kernel.errors import NotFound
from shared.kernel.ids import REF_PATTERN
from shared.routing import Channel, mask_address
from shared.states import SuppressionReason
from shared.web.auth import require
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import strict_router

LIST = """
SELECT s.id, u.ref, s.channel, p.address, s.reason, s.detail, s.created_at
  FROM suppression s JOIN contact_point p ON p.id = s.contact_point_id JOIN customer u ON u.id = p.customer_id
 WHERE s.id > $1 AND ($2::text IS NULL OR u.ref = $2) ORDER BY s.id LIMIT $3
"""
DELETE = """
WITH gone AS (DELETE FROM suppression WHERE id = $1 RETURNING contact_point_id, channel)
INSERT INTO event (at, customer_id, kind, data)
SELECT business_now(), p.customer_id, 'contact.restored',
       jsonb_build_object('contact_point', p.id, 'channels', jsonb_build_array(g.channel))
  FROM gone g JOIN contact_point p ON p.id = g.contact_point_id
RETURNING id
"""

router = strict_router("suppressions")


class SuppressionItem(BaseModel):
    suppression_id: int
    customer_id: str
    channel: Channel
    address_masked: str
    reason: SuppressionReason
    detail: str | None = Field(description="what the provider said")
    since: datetime


@router.get("/v1/suppressions", dependencies=[Depends(require("invoices:read"))], responses=declared(400, 401, 403))
async def suppressions(
    parts: Parts,
    paging: Paged,
    customer_id: Annotated[str | None, Query(pattern=f"^{REF_PATTERN}$", description="only this customer's")] = None,
) -> Page[SuppressionItem]:
    """In the order in which they came."""
    last = paging.last(int)
    async with parts.db.connection() as connection:
        rows = await connection.fetch(LIST, last[0] if last else 0, customer_id, paging.limit + 1)
    page, cursor = paging.cut(rows, lambda row: (row["id"],))
    items = [
        SuppressionItem(
            suppression_id=row["id"],
            customer_id=row["ref"],
            channel=row["channel"],
            address_masked=mask_address(row["address"]),
            reason=row["reason"],
            detail=row["detail"],
            since=row["created_at"],
        )
        for row in page
    ]
    return Page(items=items, next_cursor=cursor)


@router.delete(
    "/v1/suppressions/{suppression_id}",
    status_code=204,
    dependencies=[Depends(require("operate"))],
    responses=declared(401, 403, 404),
)
async def restore(parts: Parts, suppression_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> Response:
    """The address may be used again; noted on the customer's timeline."""
    async with parts.db.connection() as connection:
        if await connection.fetchval(DELETE, suppression_id) is None:
            raise NotFound(f"there is no suppression {suppression_id}")
    return Response(status_code=204)
