"""Which source opens a page to pay on for a creditor's invoices, and which pages may still take money.

True here: a source's key is read only to open or to close one.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg

LONGEST = timedelta(hours=2)  # no page lives as long

_FOR = """
SELECT id, ref, config -> 'checkout' FROM source
 WHERE kind = 'stripe' AND jsonb_typeof(config -> 'checkout') = 'object'
   AND (config #> '{checkout,creditors}' ? $1 OR config #> '{checkout,creditors}' = '[]')
 ORDER BY config #> '{checkout,creditors}' = '[]', ref LIMIT 1
"""
_OPENED = """
INSERT INTO event (at, invoice_id, kind, data)
VALUES (business_now(), $1, 'checkout.opened', jsonb_build_object('by', 'customer', 'amount', $2::numeric::text, 'currency', $3::text))
"""
_KEPT = "INSERT INTO checkout (session, source_id, invoice_id, amount) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
_TOO_MUCH = """
SELECT k.session, s.ref, i.ref, s.config -> 'checkout'
  FROM checkout k JOIN invoice i ON i.id = k.invoice_id JOIN source s ON s.id = k.source_id
 WHERE jsonb_typeof(s.config -> 'checkout') = 'object'
   AND (i.closed_as IS NOT NULL OR k.amount > (SELECT sum(n.open_amount) FROM installment n WHERE n.invoice_id = i.id))
 ORDER BY random() LIMIT $1
"""


@dataclass(frozen=True, slots=True)
class CheckoutSource:
    """`config`: the `checkout` of its settings."""

    id: int
    ref: str
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TooMuch:
    """A page that asks for more than is owed now."""

    session: str
    source: str
    invoice_ref: str
    config: dict[str, Any]


async def checkout_of(connection: asyncpg.Connection, creditor_ref: str) -> CheckoutSource | None:
    """One that names the creditor, else one for all."""
    row = await connection.fetchrow(_FOR, creditor_ref)
    return None if row is None else CheckoutSource(*row)


async def note_opened(
    connection: asyncpg.Connection, session: str, source_id: int, invoice_id: int, amount: Decimal, currency: str
) -> None:
    async with connection.transaction():
        await connection.execute(_KEPT, session, source_id, invoice_id, amount)
        await connection.execute(_OPENED, invoice_id, amount, currency)


async def pages_for_too_much(connection: asyncpg.Connection, limit: int) -> list[TooMuch]:
    """In no order, so that those which cannot be closed never stand before all others."""
    return [TooMuch(*row) for row in await connection.fetch(_TOO_MUCH, limit)]


async def forget_page(connection: asyncpg.Connection, session: str) -> None:
    await connection.execute("DELETE FROM checkout WHERE session = $1", session)


async def forget_old_pages(connection: asyncpg.Connection) -> None:
    await connection.execute("DELETE FROM checkout WHERE opened_at < clock_timestamp() - $1::interval", LONGEST)
