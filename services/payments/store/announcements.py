"""Announcements: read from the timeline without a gap, kept until they are delivered.

True here: the timeline's writers do nothing for it and wait for nothing. An id is taken before its transaction commits,
so ids become visible out of order: `read_to` moves to an id only when every transaction that was writing when that id was
the last one has ended (`WRITING`: whoever writes holds this lock from before it takes an id until after its commit is
seen). Everything above `read_to` that can be seen is read at once, again and again, and kept once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from services.payments.domain.announcements import KINDS, Announcement, Happened
from services.payments.domain.delivery import PATIENCE, PROBE_AFTER, Answer

CURSOR = """
SELECT read_to, mark, writers FROM outbound_cursor WHERE EXISTS (SELECT FROM webhook_endpoint) FOR UPDATE SKIP LOCKED
"""
WRITING = """
SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}') FROM pg_locks l
 WHERE l.locktype = 'relation' AND l.relation = 'event'::regclass AND l.granted
   AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
   AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""
NEWS = """
SELECT e.id, e.kind, e.at, e.data, coalesce(e.invoice_id, -e.customer_id), i.ref, u.ref, n.no, r.step, r.leg, r.occurrence,
       r.anchor, r.state, r.fence, coalesce(a.state = 'accepted' AND NOT c.promises_receipts, false)
  FROM event e LEFT JOIN invoice i ON i.id = e.invoice_id LEFT JOIN customer u ON u.id = coalesce(e.customer_id, i.customer_id)
  LEFT JOIN reminder r ON r.id = e.reminder_id LEFT JOIN installment n ON n.id = r.installment_id
  LEFT JOIN attempt a ON a.reminder_id = r.id AND a.fence = (e.data ->> 'fence')::int LEFT JOIN channel c ON c.name = a.channel
 WHERE e.id > $1 AND e.kind = ANY ($2) AND NOT EXISTS (SELECT FROM outbound_event o WHERE o.event_id = e.id)
   AND NOT (e.kind = 'attempt.delivered' AND EXISTS (
         SELECT FROM event x JOIN outbound_event o ON o.event_id = x.id
          WHERE x.invoice_id = e.invoice_id AND x.id < e.id AND x.reminder_id = e.reminder_id AND x.kind = 'attempt.accepted'
            AND x.data -> 'fence' = e.data -> 'fence'))
 ORDER BY e.id LIMIT $3
"""
KEEP = """
WITH told AS (
  INSERT INTO outbound_event (event_id, type, at, lane, data)
  SELECT t.event_id, t.type, t.at, t.lane, t.data
    FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::bigint[], $5::jsonb[]) WITH ORDINALITY
         AS t (event_id, type, at, lane, data, nth)
   ORDER BY t.nth
  ON CONFLICT DO NOTHING
  RETURNING id, type, lane
)
INSERT INTO outbound_delivery (endpoint_id, outbound_event_id, lane)
SELECT p.id, t.id, t.lane FROM told t JOIN webhook_endpoint p ON p.events IS NULL OR t.type = ANY (p.events)
"""
LEASE = """
WITH room AS (
  SELECT p.id, CASE WHEN p.failures >= $4 THEN 1 ELSE $3 END - coalesce(b.n, 0) AS n
    FROM webhook_endpoint p LEFT JOIN unnest($1::bigint[], $2::int[]) AS b (id, n) ON b.id = p.id
   WHERE p.disabled_at IS NULL AND (p.retry_at IS NULL OR p.retry_at <= clock_timestamp())
), picked AS (
  SELECT d.endpoint_id, d.outbound_event_id FROM room CROSS JOIN LATERAL (
    SELECT d.endpoint_id, d.outbound_event_id FROM outbound_delivery d
     WHERE d.endpoint_id = room.id AND d.state = 'pending' AND d.due_at <= clock_timestamp()
       AND NOT EXISTS (SELECT FROM outbound_delivery b WHERE b.endpoint_id = d.endpoint_id AND b.lane = d.lane
                          AND b.state = 'pending' AND b.outbound_event_id < d.outbound_event_id)
     ORDER BY d.due_at, d.outbound_event_id LIMIT greatest(room.n, 0) FOR UPDATE SKIP LOCKED) d
)
UPDATE outbound_delivery d
   SET due_at = clock_timestamp() + $5::interval, tries = d.tries + 1, first_at = coalesce(d.first_at, clock_timestamp())
  FROM picked k JOIN outbound_event e ON e.id = k.outbound_event_id JOIN webhook_endpoint p ON p.id = k.endpoint_id
 WHERE d.endpoint_id = k.endpoint_id AND d.outbound_event_id = k.outbound_event_id
RETURNING d.endpoint_id, e.id, e.type, e.at, e.data, d.tries, p.url,
          ARRAY(SELECT s ->> 'secret' FROM jsonb_array_elements(p.secrets) s
                 WHERE (s ->> 'until') IS NULL OR (s ->> 'until')::timestamptz > clock_timestamp())
"""
LOGGED = """
CASE WHEN jsonb_array_length(d.log) >= 20 THEN d.log - 0 ELSE d.log END || jsonb_build_array(jsonb_build_object(
  'at', clock_timestamp(), 'status', $4::int, 'detail', $5::text, 'milliseconds', $6::int))
"""
DELIVERED = f"""
WITH ended AS (
  UPDATE outbound_delivery d SET state = 'delivered', ended_at = clock_timestamp(), log = {LOGGED}
   WHERE d.endpoint_id = $1 AND d.outbound_event_id = $2 AND d.tries = $3 AND d.state = 'pending'
)
UPDATE webhook_endpoint p SET failures = 0, failing_since = NULL, retry_at = NULL WHERE p.id = $1 AND p.failing_since IS NOT NULL
"""
FAILED = f"""
WITH again AS (
  UPDATE outbound_delivery d
     SET log = {LOGGED}, due_at = clock_timestamp() + $7::interval,
         state = CASE WHEN d.first_at < clock_timestamp() - $9::interval THEN 'failed' ELSE 'pending' END,
         ended_at = CASE WHEN d.first_at < clock_timestamp() - $9::interval THEN clock_timestamp() END
   WHERE d.endpoint_id = $1 AND d.outbound_event_id = $2 AND d.tries = $3 AND d.state = 'pending'
  RETURNING d.state = 'failed' AS given_up
), endpoint AS (
  UPDATE webhook_endpoint p
     SET failures = p.failures + 1, failing_since = coalesce(p.failing_since, clock_timestamp()),
         retry_at = CASE WHEN p.failures + 1 >= $10 THEN
                      clock_timestamp() + least(interval '1 second' * power(2, least(p.failures + 1 - $10, 9)), interval '5 minutes') END,
         disabled_at = CASE WHEN $8 OR p.failing_since < clock_timestamp() - $9::interval THEN clock_timestamp() END,
         disabled_reason = CASE WHEN $8 THEN 'gone' WHEN p.failing_since < clock_timestamp() - $9::interval THEN 'failing' END
   WHERE p.id = $1 AND p.disabled_at IS NULL
  RETURNING p.disabled_reason
)
SELECT (SELECT disabled_reason FROM endpoint), coalesce((SELECT given_up FROM again), false)
"""
FORGET = """
DELETE FROM outbound_event WHERE id IN (
  SELECT id FROM outbound_event WHERE created_at < clock_timestamp() - $1::interval ORDER BY created_at LIMIT $2)
RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Read `shared.tables.OutboundCursor`."""

    read_to: int
    mark: int | None
    writers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery that this process has leased: the `tries`-th try, and the secrets that are valid now."""

    endpoint_id: int
    event_id: int
    type: str
    at: datetime
    data: dict[str, Any]
    tries: int
    url: str
    secrets: Sequence[str]


async def lock_cursor(tx: asyncpg.Connection) -> Cursor | None:
    """None: there is no endpoint, or another process is at it."""
    row = await tx.fetchrow(CURSOR)
    return None if row is None else Cursor(row["read_to"], row["mark"], frozenset(row["writers"]))


async def last_entry(tx: asyncpg.Connection) -> int:
    """The highest id that can be seen now."""
    found: int = await tx.fetchval("SELECT coalesce(max(id), 0) FROM event")
    return found


async def writers(tx: asyncpg.Connection) -> frozenset[str]:
    """The transactions that may have taken an id of the timeline and have not ended."""
    return frozenset(await tx.fetchval(WRITING))


async def move_cursor(tx: asyncpg.Connection, cursor: Cursor) -> None:
    await tx.execute(
        "UPDATE outbound_cursor SET read_to = $1, mark = $2, writers = $3",
        cursor.read_to,
        cursor.mark,
        sorted(cursor.writers),
    )


async def news(tx: asyncpg.Connection, after: int, limit: int) -> list[Happened]:
    """Entries that may be announced and are not yet, in the order of their ids."""
    return [Happened(*row) for row in await tx.fetch(NEWS, after, list(KINDS), limit)]


async def keep(tx: asyncpg.Connection, told: Sequence[Announcement]) -> None:
    """With a delivery to each endpoint that wants it, disabled ones too."""
    columns = [[getattr(one, name) for one in told] for name in ("event_id", "type", "at", "lane", "data")]
    await tx.execute(KEEP, *columns)


async def lease(connection: asyncpg.Connection, busy: dict[int, int], at_once: int, seconds: float) -> list[Parcel]:
    """What is due, at most `at_once` of an endpoint with those that are `busy` here; the first of each lane only."""
    ids, counts = list(busy), list(busy.values())
    rows = await connection.fetch(LEASE, ids, counts, at_once, PROBE_AFTER, timedelta(seconds=seconds))
    return [Parcel(*row) for row in rows]


async def record_taken(connection: asyncpg.Connection, parcel: Parcel, answer: Answer, milliseconds: int) -> None:
    await connection.execute(DELIVERED, *_logged(parcel, answer, milliseconds))


async def record_failed(
    connection: asyncpg.Connection, parcel: Parcel, answer: Answer, milliseconds: int, retry_in: timedelta
) -> tuple[str | None, bool]:
    """(why the endpoint is disabled from now on, whether the event was given up)"""
    row = await connection.fetchrow(
        FAILED, *_logged(parcel, answer, milliseconds), retry_in, answer.gone, PATIENCE, PROBE_AFTER
    )
    assert row is not None
    return row[0], row[1]


async def forget_announcements(connection: asyncpg.Connection, older: timedelta, limit: int) -> int:
    """How many went, delivered or not."""
    return len(await connection.fetch(FORGET, older, limit))


def _logged(parcel: Parcel, answer: Answer, milliseconds: int) -> tuple[Any, ...]:
    return parcel.endpoint_id, parcel.event_id, parcel.tries, answer.status, answer.detail, milliseconds
