"""LOOK: what a route is computed from, for reminders that are queued. Reads only; the claim decides."""

from collections.abc import Sequence

import asyncpg

from services.dispatcher.domain.expected import Looked
from shared.routing import Attempted, ContactKind, ContactPoint, Evidence
from shared.states import AttemptState

KINDS = {kind.value: kind for kind in ContactKind}  # calling the enum costs as much as all else of a point

# In the order of Looked.
LOOK = """
SELECT r.id, i.customer_id, i.creditor_id, r.flow_version_id, r.step, r.leg, r.send_until, i.document_key, u.preferred_channel,
       coalesce(u.timezone, c.timezone) AS timezone, coalesce(u.country, c.country) AS country,
       (SELECT business_now()) AS now,  -- a subquery is asked once, a function once a row
       (SELECT json_agg(json_build_array(p.id, p.kind, p.address, p.channels, p.priority,
               (SELECT json_agg(json_build_array(s.channel, s.reason)) FROM suppression s WHERE s.contact_point_id = p.id)))
          FROM contact_point p WHERE p.customer_id = u.id AND p.retired_at IS NULL) AS points,
       CASE WHEN r.fence > 0 THEN (SELECT json_agg(json_build_array(a.channel, a.contact_point_id, a.state)) FROM attempt a
         WHERE a.reminder_id = r.id) END AS attempts,
       (SELECT json_agg(json_build_array(k.channel, k.tried, k.reached, k.asked, k.moved)) FROM channel_stat k
         WHERE k.customer_id = u.id) AS evidence
  FROM reminder r JOIN invoice i ON i.id = r.invoice_id
  JOIN customer u ON u.id = i.customer_id JOIN creditor c ON c.id = i.creditor_id
 WHERE r.id = ANY ($1::bigint[]) AND r.state = 'queued'
"""


COMPANIONS = """
SELECT r.id FROM reminder r
 WHERE r.invoice_id IN (SELECT i.id FROM (SELECT DISTINCT k.customer_id, k.creditor_id FROM reminder q
                                            JOIN invoice k ON k.id = q.invoice_id WHERE q.id = ANY ($1::bigint[])) o
                          JOIN invoice i ON i.customer_id = o.customer_id AND i.creditor_id = o.creditor_id
                         WHERE i.settled_at IS NULL AND i.closed_as IS NULL)
   AND r.state = 'queued' AND r.requires_open AND r.id <> ALL ($1::bigint[])
 ORDER BY r.due_at, r.id LIMIT $2
"""


async def companions(connection: asyncpg.Connection, ids: Sequence[int], most: int) -> list[int]:
    """What else is queued of the customers and creditors of these."""
    return [row["id"] for row in await connection.fetch(COMPANIONS, ids, most)]


async def look(connection: asyncpg.Connection, ids: Sequence[int]) -> list[Looked]:
    """Those of the ids that are queued; the others are somebody else's, or done."""
    return [_looked(row) for row in await connection.fetch(LOOK, ids)]


def _looked(row: asyncpg.Record) -> Looked:
    *own, points, attempts, evidence = row
    points = points or ()
    return Looked._make(
        (
            *own,
            [_point(*values) for *values, _ in points],
            {(values[0], channel): reason for *values, bars in points for channel, reason in bars or ()},
            [Attempted(channel, point, AttemptState(state)) for channel, point, state in attempts or ()],
            {channel: Evidence(*counts) for channel, *counts in evidence or ()},
        )
    )


def _point(key: int, kind: str, address: str, channels: list[str] | None, priority: int) -> ContactPoint:
    return ContactPoint(key, KINDS[kind], address, tuple(channels) if channels else (), priority)
