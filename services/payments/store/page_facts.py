"""What the page shows beside what is owed: what came, what was said, where we write to."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import asyncpg

from services.payments.domain.customer_word import SaidBefore
from shared.states import HoldKind


@dataclass(frozen=True, slots=True)
class Received:
    day: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Standing:
    """A stop that is in force, to the end of `day` (the customer's)."""

    kind: HoldKind
    day: date


@dataclass(frozen=True, slots=True)
class PromisedPart:
    day: date
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Way:
    """Where we write to. `token` is its opt-out link; `barred`: the customer said stop."""

    kind: str
    address: str
    channels: tuple[str, ...] | None
    token: str
    barred: bool


@dataclass(frozen=True, slots=True)
class PageFacts:
    """`browsers`: some dispatcher can send notices to a browser."""

    customer_id: int
    locale: str
    timezone: str
    preferred_channel: str | None
    received: tuple[Received, ...]
    standing: tuple[Standing, ...]
    promised: tuple[PromisedPart, ...]
    ways: tuple[Way, ...]
    browsers: bool

    def stands(self, kind: HoldKind) -> bool:
        return any(one.kind is kind for one in self.standing)


_WHO = """
SELECT u.id, coalesce(u.locale, c.locale), coalesce(u.timezone, c.timezone), u.preferred_channel
  FROM invoice i JOIN customer u ON u.id = i.customer_id JOIN creditor c ON c.id = i.creditor_id WHERE i.id = $1
"""
_RECEIVED = """
SELECT (coalesce(y.paid_at, y.created_at) AT TIME ZONE $2)::date AS day, sum(a.amount)
  FROM installment n JOIN allocation a ON a.installment_id = n.id JOIN payment y ON y.id = a.payment_id
 WHERE n.invoice_id = $1 GROUP BY y.id ORDER BY day, y.id LIMIT 100
"""
_STANDING = """
SELECT kind, (until - interval '1 second') AT TIME ZONE $2 FROM hold
 WHERE invoice_id = $1 AND released_at IS NULL AND until > business_now() ORDER BY id
"""
_PROMISED = """
SELECT (until - interval '1 second') AT TIME ZONE $2, amount FROM promise
 WHERE invoice_id = $1 AND state = 'open' AND until > business_now() ORDER BY until
"""
_WAYS = """
SELECT p.kind, p.address, p.channels, p.token,
       EXISTS (SELECT FROM suppression s WHERE s.contact_point_id = p.id AND s.reason = 'opted_out')
  FROM contact_point p WHERE p.customer_id = $1 AND p.retired_at IS NULL ORDER BY p.priority DESC, p.id LIMIT 20
"""
_BROWSERS = """
SELECT EXISTS (SELECT FROM provider WHERE browsers AND seen_at > clock_timestamp() - interval '15 minutes')
"""
_BEFORE = """
SELECT (SELECT count(*) FROM event e WHERE e.invoice_id = $1 AND e.at > business_now() - interval '1 day'
           AND e.data->>'by' = 'customer'),
       (SELECT count(*) FROM hold h WHERE h.invoice_id = $1 AND h.said_by = 'customer' AND h.kind = 'said_paid'),
       (SELECT count(DISTINCT p.made_at) FROM promise p WHERE p.invoice_id = $1 AND p.said_by = 'customer'),
       (SELECT count(*) FROM hold h WHERE h.invoice_id = $1 AND h.said_by = 'customer' AND h.kind = 'dispute')
"""
_PREFER = """
WITH chosen AS (UPDATE customer SET locale = $2, preferred_channel = $3 WHERE id = $1 RETURNING id)
INSERT INTO event (at, invoice_id, customer_id, kind, data)
SELECT business_now(), $4, id, 'customer.preferences',
       jsonb_strip_nulls(jsonb_build_object('by', 'customer', 'locale', $2::text, 'channel', $3::text))
  FROM chosen
"""


async def page_facts(connection: asyncpg.Connection, invoice_id: int) -> PageFacts:
    who = await connection.fetchrow(_WHO, invoice_id)
    assert who is not None
    customer_id, locale, zone, preferred = who
    return PageFacts(
        customer_id,
        locale,
        zone,
        preferred,
        received=tuple(Received(*row) for row in await connection.fetch(_RECEIVED, invoice_id, zone)),
        standing=tuple(
            Standing(HoldKind(kind), until.date())
            for kind, until in await connection.fetch(_STANDING, invoice_id, zone)
        ),
        promised=tuple(
            PromisedPart(until.date(), amount) for until, amount in await connection.fetch(_PROMISED, invoice_id, zone)
        ),
        ways=tuple(_way(row) for row in await connection.fetch(_WAYS, customer_id)),
        browsers=await connection.fetchval(_BROWSERS),
    )


async def said_before(connection: asyncpg.Connection, invoice_id: int) -> SaidBefore:
    row = await connection.fetchrow(_BEFORE, invoice_id)
    assert row is not None
    return SaidBefore(*row)


async def prefer(tx: asyncpg.Connection, invoice_id: int, customer_id: int, locale: str, channel: str | None) -> None:
    await tx.execute(_PREFER, customer_id, locale, channel, invoice_id)


def _way(row: asyncpg.Record) -> Way:
    kind, address, channels, token, barred = row
    return Way(kind, address, tuple(channels) if channels else None, token, barred)
