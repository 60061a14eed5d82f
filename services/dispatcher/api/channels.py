"""`/v1/channels`: each channel's providers in failover order, with price, limits, health, and how much of what they took
arrived; and how an operator sets it. What is set holds in every dispatcher within seconds."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, Path
from pydantic import BaseModel, Field

from services.dispatcher.api.channel_body import ChannelIn, read_terms
from services.dispatcher.api.parts import DispatcherParts, Parts
from services.dispatcher.store.channels import ChannelRow, ProviderRow, set_terms
from services.dispatcher.store.channels import channels as stored
from shared.kernel.errors import NotFound
from shared.routing.channels import REACHED_THROUGH
from shared.web.auth import Scope, require
from shared.web.problems import declared
from shared.web.strict import strict_router

TALLIED = ("attempts", "delivered", "accepted", "failed", "unknown")

router = strict_router("channels")
may_operate = Depends(require(Scope.OPERATE))
ChannelPath = Annotated[str, Path(max_length=40, examples=["email"])]


class Tally(BaseModel):
    """Of the last 30 days."""

    attempts: int = 0
    delivered: int = 0
    accepted: int = 0
    failed: int = 0
    unknown: int = 0
    delivered_share: float | None = Field(
        None,
        description="delivered of those whose end is known; null while none is. Where no receipts are promised (mails, "
        "notifications), what was accepted and has not come back counts as delivered",
    )
    cost: Decimal = Decimal(0)


class PriceState(BaseModel):
    prefix: str
    price: Decimal


class LimitsState(BaseModel):
    """null: as the dispatcher's settings say, or none."""

    concurrency: int | None
    rate_per_second: float | None
    timeout_seconds: float | None
    max_per_day: int | None


class HealthState(BaseModel):
    state: str = Field(
        examples=["works"], description="works, stopped (its breaker is open), tried (half open) or absent"
    )
    cause: str | None = Field(None, description="failing, misconfigured (a person has to look) or throttled")
    detail: str | None = None
    tried_again_in: float | None = Field(None, description="seconds")


class ProviderState(Tally):
    """`slots`, `busy`: of the dispatcher that answers. `today`: what went out, where a limit makes it count."""

    provider: str
    price: Decimal = Field(description="of one message (one segment)")
    prices: list[PriceState]
    limits: LimitsState
    health: HealthState
    today: int
    slots: int
    busy: int


class ChannelState(Tally):
    """`provider`, `price`: those of the first provider; null: none is configured, so every route leaves the channel out."""

    channel: str
    reaches: str
    provider: str | None
    price: Decimal | None
    currency: str
    promises_receipts: bool
    fallback_after: timedelta | None
    slots: int
    busy: int
    providers: list[ProviderState]


class ChannelList(BaseModel):
    items: list[ChannelState]
    next_cursor: None = None


@router.get("/v1/channels", dependencies=[may_operate], responses=declared(401, 403))
async def channels(parts: Parts) -> ChannelList:
    """All channels there are, the configured ones first."""
    async with parts.db.connection() as connection:
        found = await stored(connection)
    items = [_channel(found.get(name) or ChannelRow(name, False, None, [], {}), parts) for name in REACHED_THROUGH]
    return ChannelList(items=sorted(items, key=lambda item: item.provider is None))


@router.put("/v1/channels/{channel}", dependencies=[may_operate], responses=declared(400, 401, 403, 404))
async def put_channel(channel: ChannelPath, body: ChannelIn, parts: Parts) -> ChannelState:
    """Sets prices, limits, the order of the providers and `fallback_after`; what is left out goes back to the settings."""
    async with parts.db.transaction() as tx:
        row = (await stored(tx)).get(channel)
        if row is None:
            raise NotFound(
                f"no dispatcher has a provider of a channel {channel!r}; GET /v1/channels lists what there is"
            )
        terms = read_terms(body, row, parts.currency, parts.send_timeout)
        await set_terms(tx, channel, body.fallback_after, terms)
    await parts.senders.refresh()
    async with parts.db.connection() as connection:
        return _channel((await stored(connection))[channel], parts)


def _channel(row: ChannelRow, parts: DispatcherParts) -> ChannelState:
    shown = [_provider(one, row, parts) for one in row.providers]
    first = next((one for one in shown if one.health.state != "absent"), None)
    return ChannelState(
        channel=row.name,
        reaches=REACHED_THROUGH[row.name],
        provider=first.provider if first else None,
        price=first.price if first else None,
        currency=parts.currency,
        promises_receipts=row.promises_receipts,
        fallback_after=row.fallback_after,
        slots=sum(one.slots for one in shown),
        busy=sum(one.busy for one in shown),
        providers=shown,
        **_tally(list(row.counts.values()), row),
    )


def _provider(row: ProviderRow, channel: ChannelRow, parts: DispatcherParts) -> ProviderState:
    counted = channel.counts.get(row.name)
    sender = parts.senders.get((row.channel, row.name))
    return ProviderState(
        provider=row.name,
        price=row.own_price if row.price is None else row.price,
        prices=[PriceState(prefix=prefix, price=Decimal(price)) for prefix, price in row.prices or ()],
        limits=LimitsState(
            concurrency=row.concurrency,
            rate_per_second=row.rate,
            timeout_seconds=row.timeout,
            max_per_day=row.max_per_day,
        ),
        health=_health(row),
        today=row.today,
        slots=sender.lane.capacity if sender else 0,
        busy=sender.lane.busy if sender else 0,
        **_tally([counted] if counted else [], channel),
    )


def _health(row: ProviderRow) -> HealthState:
    if not row.configured:
        return HealthState(state="absent", detail="no dispatcher has it configured any more")
    if row.cause is None:
        return HealthState(state="works")
    state = "tried" if row.tried else "stopped"
    return HealthState(state=state, cause=row.cause, detail=row.detail, tried_again_in=row.tried_again_in)


def _tally(rows: list[asyncpg.Record], channel: ChannelRow) -> dict[str, Any]:
    counts = {name: sum(row[name] for row in rows) for name in TALLIED}
    arrived = counts["delivered"] + (0 if channel.promises_receipts else counts["accepted"])
    known = arrived + counts["failed"]
    cost = sum((row["cost"] for row in rows), Decimal(0))
    return {**counts, "cost": cost, "delivered_share": arrived / known if known else None}
