"""Webhook endpoints: where events go. True here: a secret is read only to sign, and whoever asks is told only when each ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

MOST = 20  # each may have requests open
_COLUMNS = """
p.id, p.url, p.events, p.description, p.created_at, p.disabled_at, p.disabled_reason, p.failing_since,
(SELECT count(*) FROM outbound_delivery d WHERE d.endpoint_id = p.id AND d.state = 'pending') AS waiting,
(SELECT (s ->> 'until')::timestamptz FROM jsonb_array_elements(p.secrets) s
  WHERE (s ->> 'until')::timestamptz > clock_timestamp() ORDER BY 1 DESC LIMIT 1) AS old_secret_until
"""
_INSERT = """
INSERT INTO webhook_endpoint (url, events, description, secrets)
SELECT $1, $2, $3, jsonb_build_array(jsonb_build_object('secret', $4::text))
 WHERE (SELECT count(*) FROM webhook_endpoint) < $5 RETURNING id
"""
_BEGIN_HERE = """
UPDATE outbound_cursor SET read_to = (SELECT coalesce(max(id), 0) FROM event), mark = NULL, writers = '{}'
 WHERE (SELECT count(*) FROM webhook_endpoint) = 1
"""
_CHANGE = """
UPDATE webhook_endpoint SET url = coalesce($2, url), description = coalesce($3, description),
       events = CASE WHEN $4 THEN $5 ELSE events END
 WHERE id = $1 RETURNING id
"""
_ENABLE = """
WITH p AS (
  UPDATE webhook_endpoint SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL, failures = 0, retry_at = NULL
   WHERE id = $1 RETURNING id
), again AS (
  UPDATE outbound_delivery d SET due_at = clock_timestamp(), first_at = NULL, tries = 0
    FROM p WHERE d.endpoint_id = p.id AND d.state = 'pending'
)
SELECT id FROM p
"""
_DISABLE = """
UPDATE webhook_endpoint SET disabled_at = coalesce(disabled_at, clock_timestamp()), disabled_reason = coalesce(disabled_reason, 'asked')
 WHERE id = $1 RETURNING id
"""
_ROTATE = """
UPDATE webhook_endpoint SET secrets = (
  SELECT jsonb_build_array(jsonb_build_object('secret', $2::text)) || coalesce(jsonb_agg(jsonb_build_object(
           'secret', s ->> 'secret',
           'until', least((s ->> 'until')::timestamptz, clock_timestamp() + $3::interval)) ORDER BY nth), '[]')
    FROM jsonb_array_elements(secrets) WITH ORDINALITY AS old (s, nth)
   WHERE nth < 5 AND least((s ->> 'until')::timestamptz, clock_timestamp() + $3::interval) > clock_timestamp())
 WHERE id = $1 RETURNING id
"""
_TEST = """
WITH told AS (
  INSERT INTO outbound_event (type, at, lane, data)
  SELECT $2, business_now(), NULL, $3 WHERE EXISTS (SELECT FROM webhook_endpoint WHERE id = $1)
  RETURNING id
)
INSERT INTO outbound_delivery (endpoint_id, outbound_event_id, lane) SELECT $1, id, NULL FROM told RETURNING outbound_event_id
"""
_REPLAY = """
WITH again AS (
  INSERT INTO outbound_delivery AS d (endpoint_id, outbound_event_id, lane)
  SELECT $1, e.id, e.lane FROM outbound_event e
   WHERE e.created_at >= $2 AND e.created_at < $3 AND e.event_id IS NOT NULL AND ($4::text[] IS NULL OR e.type = ANY ($4))
     AND EXISTS (SELECT FROM webhook_endpoint p WHERE p.id = $1 AND (p.events IS NULL OR e.type = ANY (p.events)))
   ORDER BY e.id LIMIT $5
  ON CONFLICT (endpoint_id, outbound_event_id) DO UPDATE
     SET state = 'pending', ended_at = NULL, due_at = clock_timestamp(), first_at = NULL, tries = 0
   RETURNING 1
)
SELECT count(*) FROM again
"""
_DELIVERIES = """
SELECT e.id, e.type, e.at, e.data ->> 'invoice_id', d.state, d.tries, d.due_at, d.ended_at, d.log
  FROM outbound_delivery d JOIN outbound_event e ON e.id = d.outbound_event_id
 WHERE d.endpoint_id = $1 AND ($2::bigint IS NULL OR e.id < $2) AND ($3::text IS NULL OR d.state = $3)
   AND ($4::text IS NULL OR e.data ->> 'invoice_id' = $4)
 ORDER BY e.id DESC LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class EndpointRow:
    id: int
    url: str
    events: Sequence[str] | None
    description: str | None
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None
    waiting: int
    old_secret_until: datetime | None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    event_id: int
    type: str
    at: datetime
    invoice_ref: str | None
    state: str
    tries: int
    due_at: datetime
    ended_at: datetime | None
    log: list[dict[str, Any]]


async def insert_endpoint(
    tx: asyncpg.Connection, url: str, events: Sequence[str] | None, description: str | None, secret: str
) -> int | None:
    """Its id; None if there are too many. The first one hears of what happens from now on."""
    await tx.execute("SELECT FROM outbound_cursor FOR UPDATE")
    made: int | None = await tx.fetchval(_INSERT, url, events, description, secret, MOST)
    if made is not None:
        await tx.execute(_BEGIN_HERE)
    return made


async def find_endpoint(connection: asyncpg.Connection, endpoint_id: int) -> EndpointRow | None:
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM webhook_endpoint p WHERE p.id = $1", endpoint_id)
    return None if row is None else EndpointRow(*row)


async def list_endpoints(connection: asyncpg.Connection) -> list[EndpointRow]:
    return [
        EndpointRow(*row) for row in await connection.fetch(f"SELECT {_COLUMNS} FROM webhook_endpoint p ORDER BY p.id")
    ]


async def change_endpoint(
    connection: asyncpg.Connection,
    endpoint_id: int,
    url: str | None,
    description: str | None,
    events: Sequence[str] | None,
    *,
    events_too: bool,
) -> bool:
    """None leaves as it is; `events` only where `events_too`, since None there means all."""
    found = await connection.fetchval(_CHANGE, endpoint_id, url, description, events_too, events)
    return found is not None


async def enable(connection: asyncpg.Connection, endpoint_id: int) -> bool:
    """What has waited goes now, and has five days again."""
    return await connection.fetchval(_ENABLE, endpoint_id) is not None


async def disable(connection: asyncpg.Connection, endpoint_id: int) -> bool:
    return await connection.fetchval(_DISABLE, endpoint_id) is not None


async def delete_endpoint(connection: asyncpg.Connection, endpoint_id: int) -> bool:
    return await connection.fetchval("DELETE FROM webhook_endpoint WHERE id = $1 RETURNING id", endpoint_id) is not None


async def rotate_secret(connection: asyncpg.Connection, endpoint_id: int, secret: str, overlap: timedelta) -> bool:
    """The old ones sign beside it for so long at most; the oldest of many go."""
    return await connection.fetchval(_ROTATE, endpoint_id, secret, overlap) is not None


async def announce_test(
    connection: asyncpg.Connection, endpoint_id: int, kind: str, data: dict[str, Any]
) -> int | None:
    """The event's id."""
    made: int | None = await connection.fetchval(_TEST, endpoint_id, kind, data)
    return made


async def replay(
    connection: asyncpg.Connection,
    endpoint_id: int,
    since: datetime,
    until: datetime,
    events: Sequence[str] | None,
    limit: int,
) -> int:
    """How many events of that time are on their way (again)."""
    count: int = await connection.fetchval(_REPLAY, endpoint_id, since, until, events, limit)
    return count


async def list_deliveries(
    connection: asyncpg.Connection,
    endpoint_id: int,
    before: int | None,
    state: str | None,
    invoice_ref: str | None,
    limit: int,
) -> list[DeliveryRow]:
    """The newest first."""
    rows = await connection.fetch(_DELIVERIES, endpoint_id, before, state, invoice_ref, limit)
    return [DeliveryRow(*row) for row in rows]
