"""What operators see of channels and set of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from services.dispatcher.domain.standing import Terms

CHANNELS = """
SELECT c.name, c.promises_receipts, c.fallback_after FROM channel c ORDER BY c.name
"""
PROVIDERS = """
SELECT p.channel, p.name, p.own_price, p.price, p.prices, p.concurrency, p.rate, p.timeout, p.max_per_day, s.cause, s.detail,
       greatest(0, extract(epoch FROM s.open_until - clock_timestamp()))::double precision AS tried_again_in,
       s.probed_until > clock_timestamp() AS tried,
       CASE WHEN s.day = (business_now() AT TIME ZONE 'UTC')::date THEN s.day_n ELSE 0 END AS today,
       p.seen_at > (SELECT max(seen_at) FROM provider) - interval '5 minutes' AS configured, p.seen_at
  FROM provider p LEFT JOIN provider_state s USING (channel, name) ORDER BY p.channel, p.position, p.name
"""
COUNTS = """
SELECT channel, provider, count(*) AS attempts, count(*) FILTER (WHERE state = 'delivered') AS delivered,
       count(*) FILTER (WHERE state IN ('accepted', 'expired')) AS accepted,
       count(*) FILTER (WHERE state IN ('undelivered', 'rejected')) AS failed,
       count(*) FILTER (WHERE state = 'unknown') AS unknown, coalesce(sum(cost), 0) AS cost
  FROM attempt WHERE at > business_now() - interval '30 days' AND carried_by IS NULL GROUP BY channel, provider
"""
SET_FALLBACK = "UPDATE channel SET fallback_after = $2 WHERE name = $1"
FORGET_TERMS = """
UPDATE provider SET position = 100, price = NULL, prices = NULL, concurrency = NULL, rate = NULL, timeout = NULL, max_per_day = NULL
 WHERE channel = $1 AND name <> ALL ($2)
"""
SET_TERMS = """
UPDATE provider SET position = $3, price = $4, prices = $5, concurrency = $6, rate = $7, timeout = $8, max_per_day = $9
 WHERE channel = $1 AND name = $2
"""


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """`cause` None: it works. `tried`: somebody tries whether it works again."""

    channel: str
    name: str
    own_price: Decimal
    price: Decimal | None
    prices: list[Any] | None
    concurrency: int | None
    rate: float | None
    timeout: float | None
    max_per_day: int | None
    cause: str | None
    detail: str | None
    tried_again_in: float | None
    tried: bool | None
    today: int
    configured: bool
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """`counts`: by provider, of the last 30 days."""

    name: str
    promises_receipts: bool
    fallback_after: timedelta | None
    providers: list[ProviderRow]
    counts: dict[str, asyncpg.Record]


async def channels(connection: asyncpg.Connection) -> dict[str, ChannelRow]:
    """Those that some dispatcher has, by name; each one's providers in failover order."""
    found = {
        name: ChannelRow(name, receipts, after, [], {}) for name, receipts, after in await connection.fetch(CHANNELS)
    }
    for row in await connection.fetch(PROVIDERS):
        found[row["channel"]].providers.append(ProviderRow(*row))
    for row in await connection.fetch(COUNTS):
        if row["channel"] in found:
            found[row["channel"]].counts[row["provider"]] = row
    return found


async def set_terms(
    connection: asyncpg.Connection, channel: str, fallback_after: timedelta | None, terms: Mapping[str, Terms]
) -> None:
    """In one transaction of the caller; a provider that is not named gets no terms, and stands behind the others."""
    await connection.execute(SET_FALLBACK, channel, fallback_after)
    await connection.execute(FORGET_TERMS, channel, list(terms))
    for name, one in terms.items():
        await connection.execute(
            SET_TERMS,
            channel,
            name,
            one.position,
            one.price,
            _listed(one.prices),
            one.concurrency,
            one.rate,
            one.timeout,
            one.max_per_day,
        )


def _listed(prices: Sequence[tuple[str, Decimal]]) -> list[list[str]] | None:
    return [[beginning, f"{price:f}"] for beginning, price in prices] or None
