"""What the deployment's dispatchers share about providers: terms, breakers, budgets. One row each; times are asked of
the database, so that no clock of a dispatcher matters."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from services.dispatcher.domain.standing import Cause, Standing, Terms, Trip
from shared.ledger.send import storable
from shared.routing import ContactKind, Traits

Key = tuple[str, str]

REGISTER = """
WITH had AS (
  INSERT INTO channel (name, reaches, only_where_named, discreet, promises_receipts) VALUES ($1, $3, $4, $5, $6)
  ON CONFLICT (name) DO UPDATE SET promises_receipts = channel.promises_receipts OR excluded.promises_receipts
), offered AS (
  INSERT INTO provider (channel, name, own_price, browsers) VALUES ($1, $2, $7, $8)
  ON CONFLICT (channel, name) DO UPDATE SET own_price = excluded.own_price, browsers = excluded.browsers, seen_at = clock_timestamp()
)
INSERT INTO provider_state (channel, name) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""
LOAD = """
SELECT p.channel, p.name, p.position, p.price, p.prices, p.concurrency, p.rate, p.timeout, p.max_per_day, s.cause, s.detail,
       extract(epoch FROM s.open_until - clock_timestamp())::double precision AS wait
  FROM provider p LEFT JOIN provider_state s USING (channel, name)
"""
TRIP = """
UPDATE provider_state s
   SET open_until = clock_timestamp() + least($6::interval, $5::interval * power(2, least(s.openings, 10))), cause = $3,
       detail = left($4, 300), openings = s.openings + ($3 <> 'throttled')::int, probed_until = NULL
 WHERE s.channel = $1 AND s.name = $2
   AND (s.open_until IS NULL OR s.probed_until IS NOT NULL OR (s.cause <> $3 AND $3 = 'misconfigured'))
RETURNING extract(epoch FROM s.open_until - clock_timestamp())::double precision
"""
CLOSE = """
UPDATE provider_state SET open_until = NULL, cause = NULL, detail = NULL, openings = 0, probed_until = NULL
 WHERE channel = $1 AND name = $2 AND open_until IS NOT NULL
"""
PROBE = """
UPDATE provider_state SET probed_until = clock_timestamp() + $3::interval
 WHERE channel = $1 AND name = $2 AND open_until <= clock_timestamp() AND (probed_until IS NULL OR probed_until < clock_timestamp())
RETURNING true
"""
# A token bucket of half a second of the rate. The row's lock is held for this statement alone.
TAKE = """
WITH had AS (
  SELECT s.channel, s.name, p.rate, p.max_per_day, l.today,
         CASE WHEN p.rate IS NULL THEN $3::integer
              ELSE least(greatest(1, p.rate / 2), s.tokens + p.rate * extract(epoch FROM clock_timestamp() - s.filled_at)) END AS tokens,
         CASE WHEN s.day = l.today THEN s.day_n ELSE 0 END AS day_n
    FROM provider_state s JOIN provider p USING (channel, name) CROSS JOIN (SELECT (business_now() AT TIME ZONE 'UTC')::date AS today) l
   WHERE s.channel = $1 AND s.name = $2 FOR UPDATE OF s
), given AS (
  SELECT h.*, greatest(0, least($3::integer, floor(h.tokens)::integer, h.max_per_day - h.day_n)) AS n FROM had h
), taken AS (
  UPDATE provider_state s SET tokens = g.tokens - g.n, filled_at = clock_timestamp(), day = g.today, day_n = g.day_n + g.n
    FROM given g WHERE s.channel = g.channel AND s.name = g.name
)
SELECT n, CASE WHEN n > 0 THEN 0 ELSE (1 - tokens) / rate END AS wait, coalesce(day_n + n >= max_per_day, false) AS spent FROM given
"""
CHANNELS = "SELECT name, reaches, only_where_named, discreet, fallback_after FROM channel"


@dataclass(frozen=True, slots=True)
class Taken:
    """`number` messages may go; with none, some may in `wait` seconds. `spent`: the day's share is used up."""

    number: int
    wait: float
    spent: bool


async def register(
    connection: asyncpg.Connection, key: Key, traits: Traits, *, receipts: bool, own_price: Decimal, browsers: bool
) -> None:
    """Says that this deployment has the provider."""
    await connection.execute(
        REGISTER, *key, traits.reaches, traits.only_where_named, traits.discreet, receipts, own_price, browsers
    )


async def load(connection: asyncpg.Connection) -> dict[Key, tuple[Terms, Standing]]:
    return {(row["channel"], row["name"]): (_terms(row), _standing(row)) for row in await connection.fetch(LOAD)}


async def channels(connection: asyncpg.Connection) -> dict[str, tuple[Traits, timedelta | None]]:
    """What the deployment's dispatchers have, and after how long without a receipt each falls back."""
    rows = await connection.fetch(CHANNELS)
    return {name: (Traits(ContactKind(kind), named, discreet), after) for name, kind, named, discreet, after in rows}


async def trip(connection: asyncpg.Connection, key: Key, why: Trip) -> float | None:
    """Opens the breaker; the seconds that it stays open, None when somebody else had opened it."""
    seconds: float | None = await connection.fetchval(TRIP, *key, why.cause, storable(why.detail), why.base, why.most)
    return seconds


async def close(connection: asyncpg.Connection, key: Key) -> bool:
    """It works again. Whether this call is what closed it."""
    return str(await connection.execute(CLOSE, *key)) != "UPDATE 0"


async def may_probe(connection: asyncpg.Connection, key: Key, lease: timedelta) -> bool:
    """Whether this process is the one that tries, for so long."""
    return bool(await connection.fetchval(PROBE, *key, lease))


async def take(connection: asyncpg.Connection, key: Key, wanted: int) -> Taken:
    """Up to so many of what the rate and the day leave to the deployment."""
    row = await connection.fetchrow(TAKE, *key, wanted)
    return Taken(row["n"], row["wait"] or 0.0, row["spent"]) if row else Taken(wanted, 0.0, False)


def _terms(row: asyncpg.Record) -> Terms:
    return Terms(
        row["position"],
        row["price"],
        _prices(row["prices"]),
        row["concurrency"],
        row["rate"],
        row["timeout"],
        row["max_per_day"],
    )


def _prices(prices: Sequence[Any] | None) -> tuple[tuple[str, Decimal], ...]:
    found = [(beginning, Decimal(price)) for beginning, price in prices or ()]
    return tuple(sorted(found, key=lambda one: -len(one[0])))


def _standing(row: asyncpg.Record) -> Standing:
    if row["wait"] is None:
        return Standing()
    return Standing(Cause(row["cause"]), max(0.0, row["wait"]), row["detail"] or "")
