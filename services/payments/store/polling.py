"""Polled sources and what has to be asked of them. True here: nothing is looked for unless such a source is configured."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg

from services.payments.domain.polling import Debt

POLL_KIND = "http_poll"
_KEEP = f"""
UPDATE payment_check
   SET fresh_for = (SELECT min((s.config ->> 'fresh_seconds')::int) * interval '1 second' FROM source s WHERE s.kind = '{POLL_KIND}')
"""
_LEAD = """
UPDATE payment_check SET asker = $1, asks_until = clock_timestamp() + $2::interval
 WHERE fresh_for IS NOT NULL AND (asker = $1 OR asks_until IS NULL OR asks_until < clock_timestamp())
RETURNING fresh_for
"""
_DEBT = "i.id, i.ref, i.number, i.payment_reference, i.currency, u.ref"
_NEEDED = f"""
SELECT {_DEBT} FROM (
  SELECT DISTINCT d.invoice_id FROM (
    SELECT r.invoice_id FROM reminder r CROSS JOIN (SELECT business_now() AS now) t
     WHERE r.sought = 'pending' AND r.due_at <= t.now + $1::interval / 2 AND r.requires_open
       AND unchecked(r.invoice_id, r.installment_id, r.on_unknown, $1::interval * 0.9, greatest(r.due_at, t.now))
     ORDER BY r.due_at LIMIT $2) d) n
  JOIN invoice i ON i.id = n.invoice_id JOIN customer u ON u.id = i.customer_id
"""


_TAKEN_BACK = f"""
SELECT {_DEBT} FROM (
  SELECT DISTINCT p.invoice_id FROM payment_event e
    JOIN payment p ON p.source_id = e.source_id AND p.payment_ref = e.payment_ref
    JOIN payment y ON y.invoice_id = p.invoice_id AND y.says_paid > 0 AND y.id <> p.id
   WHERE e.kind = 'reversed' AND e.received_at > clock_timestamp() - $1::interval
     AND EXISTS (SELECT FROM installment n WHERE n.invoice_id = p.invoice_id
                    AND n.checked_at < e.received_at + (business_now() - clock_timestamp()))
   LIMIT $2) n
  JOIN invoice i ON i.id = n.invoice_id JOIN customer u ON u.id = i.customer_id
"""


async def polled_sources(connection: asyncpg.Connection) -> list[tuple[int, str, dict[str, Any]]]:
    """(id, ref, config), by name."""
    rows = await connection.fetch("SELECT id, ref, config FROM source WHERE kind = $1 ORDER BY ref", POLL_KIND)
    return [(row[0], row[1], row[2]) for row in rows]


async def keep_payment_check(tx: asyncpg.Connection) -> None:
    """After any change to the sources, in its transaction: reminders want the freshness of the strictest polled one. Of
    two changes at once the second looks when the first can be seen."""
    await tx.execute("SELECT FROM payment_check FOR UPDATE")
    await tx.execute(_KEEP)


async def lead_asking(connection: asyncpg.Connection, asker: str, lease: timedelta) -> timedelta | None:
    """How fresh answers must be, if there is a polled source and this process is the one that asks ahead."""
    fresh: timedelta | None = await connection.fetchval(_LEAD, asker, lease)
    return fresh


async def needed_soon(connection: asyncpg.Connection, fresh: timedelta, limit: int) -> list[Debt]:
    """Invoices with a reminder that is due within half of `fresh`, whose last answer will be too old by then."""
    return [Debt(*row) for row in await connection.fetch(_NEEDED, fresh, limit)]


async def taken_back(connection: asyncpg.Connection, since: timedelta, limit: int) -> list[Debt]:
    """Invoices of which a source said that they were paid, and of whose money something went back after that."""
    return [Debt(*row) for row in await connection.fetch(_TAKEN_BACK, since, limit)]


async def debt_of(connection: asyncpg.Connection, invoice_ref: str) -> Debt | None:
    row = await connection.fetchrow(
        f"SELECT {_DEBT} FROM invoice i JOIN customer u ON u.id = i.customer_id WHERE i.ref = $1", invoice_ref
    )
    return None if row is None else Debt(*row)


async def business_now(connection: asyncpg.Connection) -> datetime:
    now: datetime = await connection.fetchval("SELECT business_now()")
    return now
