"""Mails that came back and that nobody understands. True here: each is kept for 90 days, at most 256 KiB of it."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

MOST_BYTES = 256 * 1024
KEEP = """
WITH old AS (DELETE FROM bounce_mail WHERE received_at < clock_timestamp() - interval '90 days')
INSERT INTO bounce_mail (recipient, detail, body) VALUES ($1, $2, $3)
"""
SELECT = """
SELECT m.id, m.recipient, m.detail, m.received_at, i.ref, r.step, length(m.body) AS size, substr(m.body, 1, 8192) AS head
  FROM bounce_mail m
  LEFT JOIN reminder r
    ON r.id = CASE WHEN m.recipient ~ '^[0-9]{1,18}[.][0-9]{1,9}$' THEN split_part(m.recipient, '.', 1)::bigint END
  LEFT JOIN invoice i ON i.id = r.invoice_id
 WHERE m.id < $1 ORDER BY m.id DESC LIMIT $2
"""


@dataclass(frozen=True, slots=True)
class BounceMailRow:
    """`head`: its first bytes, with the headers."""

    id: int
    recipient: str
    detail: str
    received_at: datetime
    invoice_ref: str | None
    step: str | None
    size: int
    head: bytes


async def keep(tx: asyncpg.Connection, attempt_id: str, detail: str, mail: bytes) -> None:
    await tx.execute(KEEP, attempt_id, detail, mail[:MOST_BYTES])


async def page(connection: asyncpg.Connection, before: int, limit: int) -> list[BounceMailRow]:
    """Newest first."""
    return [BounceMailRow(*row) for row in await connection.fetch(SELECT, before, limit)]


async def content(connection: asyncpg.Connection, key: int) -> bytes | None:
    found: bytes | None = await connection.fetchval("SELECT body FROM bounce_mail WHERE id = $1", key)
    return found
