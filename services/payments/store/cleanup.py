"""What may be forgotten, a bounded piece at a time."""

from datetime import timedelta

import asyncpg


async def forget_evidence(connection: asyncpg.Connection, older: timedelta, limit: int) -> int:
    """Bodies of webhooks and statement entries; what they said stays. How many went."""
    gone = await connection.fetch(
        """
        UPDATE payment_event SET body = NULL WHERE id IN (
          SELECT id FROM payment_event WHERE body IS NOT NULL AND received_at < clock_timestamp() - $1::interval
           ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)
        RETURNING 1
        """,
        older,
        limit,
    )
    return len(gone)


async def forget_answers(connection: asyncpg.Connection, older: timedelta, limit: int) -> int:
    """Answers of idempotent calls; how many went."""
    gone = await connection.fetch(
        """
        DELETE FROM idempotency WHERE ctid IN (
          SELECT ctid FROM idempotency WHERE created_at < clock_timestamp() - $1::interval
           LIMIT $2 FOR UPDATE SKIP LOCKED)
        RETURNING 1
        """,
        older,
        limit,
    )
    return len(gone)
