"""What is thrown away, and what is counted for the operator."""

from dataclasses import dataclass
from datetime import timedelta

import asyncpg

_FORGET = """
DELETE FROM idempotency WHERE (owner, key) IN (
  SELECT owner, key FROM idempotency WHERE created_at < clock_timestamp() - $1::interval LIMIT $2 FOR UPDATE SKIP
  LOCKED)
"""


async def forget_answers(connection: asyncpg.Connection, older: timedelta, limit: int) -> int:
    """Answers of idempotent calls; how many."""
    return int((await connection.execute(_FORGET, older, limit)).rpartition(" ")[2])


@dataclass(frozen=True, slots=True)
class Depth:
    """`lag`: seconds that the oldest due reminder has waited, in business time."""

    queued: int
    uncertain: int
    lag: float


_DEPTH = """
SELECT (SELECT count(*) FROM (SELECT FROM reminder WHERE sought = 'queued' LIMIT 100000) q)::integer,
       (SELECT count(*) FROM (SELECT FROM reminder WHERE sought = 'uncertain' LIMIT 100000) u)::integer,
       greatest(0, coalesce(extract(epoch FROM business_now() - (
         SELECT due_at FROM reminder WHERE sought = 'pending' ORDER BY due_at, id LIMIT 1)), 0))::double precision
"""


async def depth(connection: asyncpg.Connection) -> Depth:
    row = await connection.fetchrow(_DEPTH)
    assert row is not None
    return Depth(*row)
