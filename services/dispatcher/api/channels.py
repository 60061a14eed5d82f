"""`GET /v1/channels`: each channel's provider, price, slots in use and how much of what it took arrived."""

from decimal import Decimal

import asyncpg
from fastapi import Depends
from pydantic import BaseModel, Field

from services.dispatcher.api.parts import Parts
from shared.routing.channels import REACHED_THROUGH
from shared.web.auth import require
from shared.web.problems import declared
from shared.web.strict import strict_router

SHARES = """
SELECT channel, count(*) AS attempts, count(*) FILTER (WHERE state = 'delivered') AS delivered,
       count(*) FILTER (WHERE state IN ('accepted', 'expired')) AS accepted,
       count(*) FILTER (WHERE state IN ('undelivered', 'rejected')) AS failed,
       count(*) FILTER (WHERE state = 'unknown') AS unknown, coalesce(sum(cost), 0) AS cost
  FROM attempt WHERE at > business_now() - interval '30 days' GROUP BY channel
"""

COUNTS = ("attempts", "delivered", "accepted", "failed", "unknown", "cost")

router = strict_router("channels")


class ChannelState(BaseModel):
    """Counts and cost are of the last 30 days."""

    channel: str
    provider: str | None = Field(description="null: none is configured, so the channel is left out of every route")
    price: Decimal | None = Field(description="of one message (one segment)")
    slots: int
    busy: int
    attempts: int
    delivered: int
    accepted: int
    failed: int
    unknown: int
    delivered_share: float | None = Field(description="delivered of those whose end is known; null while none is")
    cost: Decimal


class ChannelList(BaseModel):
    items: list[ChannelState]
    next_cursor: None = None


@router.get("/v1/channels", dependencies=[Depends(require("operate"))], responses=declared(401, 403))
async def channels(parts: Parts) -> ChannelList:
    """All channels there are, the configured ones first."""
    async with parts.db.connection() as connection:
        counted = {row["channel"]: row for row in await connection.fetch(SHARES)}
    items = [_state(channel, parts, counted.get(channel)) for channel in REACHED_THROUGH]
    return ChannelList(items=sorted(items, key=lambda item: item.provider is None))


def _state(channel: str, parts: Parts, row: asyncpg.Record | None) -> ChannelState:
    sender = next(iter(parts.senders.channels.get(channel, ())), None)
    counts = {name: row[name] if row else 0 for name in COUNTS}
    known = counts["delivered"] + counts["failed"]
    return ChannelState(
        channel=channel,
        provider=sender.channel.provider if sender else None,
        price=sender.channel.price("") if sender else None,
        slots=sender.lane.capacity if sender else 0,
        busy=sender.lane.busy if sender else 0,
        delivered_share=counts["delivered"] / known if known else None,
        **counts,
    )
