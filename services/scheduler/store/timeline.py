"""All that happened to an invoice: its own events, and those of its customer since it came."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg


@dataclass(frozen=True, slots=True)
class EventRow:
    """`address` and `provider` are of the attempt that the event speaks of; `words` the customer's own, of a
    reply; `why` the decision that the attempt was made by, `wording` the text; `flow`, `flow_version`
    what the reminder was planned from."""

    id: int
    at: datetime
    kind: str
    data: dict[str, Any]
    reminder_id: int | None
    step: str | None
    leg: str | None
    occurrence: int | None
    address: str | None
    provider: str | None
    words: str | None
    why: str | None
    wording: str | None
    flow: str | None
    flow_version: int | None


_TIMELINE = """
SELECT e.id, e.at, e.kind, e.data, e.reminder_id, r.step, r.leg, r.occurrence, p.address, a.provider, y.body, a.why,
       a.wording, f.name, f.version
  FROM event e LEFT JOIN reminder r ON r.id = e.reminder_id
  LEFT JOIN flow_version f ON f.id = r.flow_version_id
  LEFT JOIN attempt a ON a.reminder_id = e.reminder_id AND a.fence = (e.data->>'fence')::integer AND e.kind LIKE
  'attempt.%'
  LEFT JOIN contact_point p ON p.id = a.contact_point_id
  LEFT JOIN reply y ON y.id = (e.data->>'reply')::bigint AND e.kind = 'reply.received'
 WHERE e.id > $3 AND e.id IN (
       SELECT id FROM event WHERE invoice_id = $1 AND id > $3
       UNION ALL SELECT id FROM event WHERE customer_id = $2 AND invoice_id IS NULL AND id > $3
                    AND id > (SELECT min(id) FROM event WHERE invoice_id = $1))
 ORDER BY e.id LIMIT $4
"""


async def page(
    connection: asyncpg.Connection, invoice_id: int, customer_id: int, after: int, limit: int
) -> list[EventRow]:
    return [EventRow(*row) for row in await connection.fetch(_TIMELINE, invoice_id, customer_id, after, limit)]
