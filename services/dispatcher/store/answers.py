"""When customers last wrote to us on a channel: what it takes as a free text may depend on it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

LAST = """
SELECT p.id, (SELECT max(y.received_at) FROM reply y
               WHERE y.customer_id = p.customer_id AND y.contact_point_id = p.id AND y.channel = $2) AS at
  FROM contact_point p WHERE p.id = ANY ($1::bigint[])
"""


async def last_answers(
    connection: asyncpg.Connection, contact_points: Sequence[int], channel: str
) -> Mapping[int, datetime]:
    """Business time by contact point; who never wrote is not in it."""
    rows = await connection.fetch(LAST, contact_points, channel)
    return {row["id"]: row["at"] for row in rows if row["at"] is not None}
