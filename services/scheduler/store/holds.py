"""Holds as people look for them. Placing and releasing them is the ledger's: it decides what may go."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import asyncpg


@dataclass(frozen=True, slots=True)
class HoldRow:
    """`invoice_ref` and `customer_ref` None: it stops everything."""

    id: int
    kind: str
    invoice_ref: str | None
    customer_ref: str | None
    reason: str
    amount: Decimal | None
    currency: str | None
    starts_at: datetime
    until: datetime
    said_by: str
    note: str | None


_HOLD = """
SELECT h.id, h.kind, i.ref, u.ref, h.reason, h.amount, i.currency, h.starts_at, h.until, h.said_by, h.note
  FROM hold h LEFT JOIN invoice i ON i.id = h.invoice_id LEFT JOIN customer u ON u.id = h.customer_id
"""
_ACTIVE = "h.released_at IS NULL AND h.until > business_now()"


async def hold(connection: asyncpg.Connection, hold_id: int) -> HoldRow | None:
    row = await connection.fetchrow(f"{_HOLD} WHERE h.id = $1", hold_id)
    return HoldRow(*row) if row else None


async def page(connection: asyncpg.Connection, after: int, limit: int) -> list[HoldRow]:
    """Those that stop something now."""
    sql = f"{_HOLD} WHERE h.id > $1 AND {_ACTIVE} ORDER BY h.id LIMIT $2"
    return [HoldRow(*row) for row in await connection.fetch(sql, after, limit)]


async def of_invoice(tx: asyncpg.Connection, invoice_id: int) -> list[int]:
    """The invoice's own holds, whatever their kind."""
    sql = "SELECT id FROM hold WHERE invoice_id = $1 AND released_at IS NULL AND until > business_now()"
    return [row["id"] for row in await tx.fetch(sql, invoice_id)]


async def of_customer(tx: asyncpg.Connection, customer_id: int) -> list[int]:
    sql = "SELECT id FROM hold WHERE customer_id = $1 AND released_at IS NULL AND until > business_now()"
    return [row["id"] for row in await tx.fetch(sql, customer_id)]
