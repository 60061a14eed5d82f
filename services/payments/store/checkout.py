"""Which source opens a page to pay on for a creditor's invoices. True here: its key is read only to open one."""

from typing import Any

import asyncpg

_FOR = """
SELECT ref, config -> 'checkout' FROM source
 WHERE kind = 'stripe' AND jsonb_typeof(config -> 'checkout') = 'object'
   AND (config #> '{checkout,creditors}' ? $1 OR config #> '{checkout,creditors}' = '[]')
 ORDER BY config #> '{checkout,creditors}' = '[]', ref LIMIT 1
"""
_OPENED = """
INSERT INTO event (at, invoice_id, kind, data)
VALUES (business_now(), $1, 'checkout.opened', jsonb_build_object('by', 'customer', 'amount', $2::numeric::text, 'currency', $3::text))
"""


async def checkout_of(connection: asyncpg.Connection, creditor_ref: str) -> tuple[str, dict[str, Any]] | None:
    """The source's name and its settings: one that names the creditor, else one for all."""
    row = await connection.fetchrow(_FOR, creditor_ref)
    return None if row is None else (row[0], row[1])


async def note_opened(connection: asyncpg.Connection, invoice_id: int, amount: Any, currency: str) -> None:
    await connection.execute(_OPENED, invoice_id, amount, currency)
