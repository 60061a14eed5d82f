"""The links of the pay page: which one an invoice has, and since when it has no other.

True here: a token is made by the database's own rule or by `new_token`, both of at least 122 random bits; what was
replaced is forgotten, so it can never be told from one that never was.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

# A link works while there is something to pay, and so long after; a date of its own may end it earlier.
WORKS = """
coalesce(i.token_until > business_now(), true)
AND coalesce(greatest(i.settled_at, i.closed_at) + $2::interval > business_now(), true)
"""


@dataclass(frozen=True, slots=True)
class PayLink:
    """`until` None: as long as something is owed, and a while after."""

    token: str
    until: datetime | None


async def invoice_of_link(connection: asyncpg.Connection, token: str, kept: timedelta) -> int | None:
    found: int | None = await connection.fetchval(
        f"SELECT i.id FROM invoice i WHERE i.token = $1 AND {WORKS}", token, kept
    )
    return found


async def link_of(connection: asyncpg.Connection, invoice_id: int) -> PayLink:
    row = await connection.fetchrow("SELECT token, token_until FROM invoice WHERE id = $1", invoice_id)
    assert row is not None
    return PayLink(*row)


async def renew(tx: asyncpg.Connection, invoice_id: int, token: str, until: datetime | None) -> None:
    """From its commit on the old link does not work. Messages that go out later carry the new one."""
    await tx.execute(
        """
        WITH renewed AS (UPDATE invoice SET token = $2, token_until = $3 WHERE id = $1 RETURNING id)
        INSERT INTO event (at, invoice_id, kind, data)
        SELECT business_now(), id, 'invoice.link_renewed', jsonb_strip_nulls(jsonb_build_object('until', $3::timestamptz))
          FROM renewed
        """,
        invoice_id,
        token,
        until,
    )
