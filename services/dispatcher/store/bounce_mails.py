"""Mails that came back and that nobody understands. True here: each is kept for 90 days, of one to a signed return path
256 KiB at most, of another 64; and no more a day than a limit (a few more when they come at once), so that nobody fills
the table. `recipient` is "reminder.fence" of a signed return path, else the address."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

MOST_BYTES, MOST_UNSIGNED_BYTES = 256 * 1024, 64 * 1024
MOST_OF_ATTEMPT = 20
KEEP = """
WITH old AS (DELETE FROM bounce_mail WHERE received_at < clock_timestamp() - interval '90 days')
INSERT INTO bounce_mail (recipient, detail, body)
SELECT $1, $2, $3
 WHERE (SELECT count(*) FROM bounce_mail
         WHERE received_at > clock_timestamp() - interval '1 day'
           AND CASE WHEN $5 THEN recipient LIKE '%@%' ELSE recipient = $1 END) < $4
RETURNING id
"""
NEWEST = """
SELECT max(fence) FROM attempt WHERE reminder_id = $1 AND contact_point_id = $2 AND channel = 'email'
"""
MAILED = """
SELECT p.address FROM attempt a JOIN contact_point p ON p.id = a.contact_point_id WHERE a.reminder_id = $1 AND a.fence = $2
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


async def keep(tx: asyncpg.Connection, attempt_id: str, detail: str, mail: bytes) -> bool:
    """False: too many of this attempt were kept within a day."""
    return await tx.fetchval(KEEP, attempt_id, detail, mail[:MOST_BYTES], MOST_OF_ATTEMPT, False) is not None


async def keep_unsigned(tx: asyncpg.Connection, recipient: str, detail: str, mail: bytes, per_day: int) -> bool:
    """False: too many were kept within a day."""
    kept = await tx.fetchval(KEEP, recipient, detail, mail[:MOST_UNSIGNED_BYTES], per_day, True)
    return kept is not None


async def newest_fence(connection: asyncpg.Connection, reminder_id: int, contact_point_id: int) -> int | None:
    """Of the attempts to mail this reminder to this address."""
    found: int | None = await connection.fetchval(NEWEST, reminder_id, contact_point_id)
    return found


async def mailed_address(connection: asyncpg.Connection, reminder_id: int, fence: int) -> str | None:
    """To which this attempt went."""
    found: str | None = await connection.fetchval(MAILED, reminder_id, fence)
    return found


async def page(connection: asyncpg.Connection, before: int, limit: int) -> list[BounceMailRow]:
    """Newest first."""
    return [BounceMailRow(*row) for row in await connection.fetch(SELECT, before, limit)]


async def content(connection: asyncpg.Connection, key: int) -> bytes | None:
    found: bytes | None = await connection.fetchval("SELECT body FROM bounce_mail WHERE id = $1", key)
    return found
