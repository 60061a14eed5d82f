"""Reminders by state: each list runs along an index, however many rows there are."""

from datetime import datetime

import asyncpg

from services.scheduler.store.views import REMINDER, ReminderRow
from shared.states import ReminderState

# 'pending' stands in the text, not in a parameter: only so can the partial index serve it.
_PENDING = f"""
{REMINDER}
 WHERE r.sought = 'pending' AND ($1::timestamptz IS NULL OR r.due_at < $1)
   AND ($2::timestamptz IS NULL OR (r.due_at, r.id) > ($2, $3))
 ORDER BY r.due_at, r.id LIMIT $4
"""


async def pending(
    connection: asyncpg.Connection, before: datetime | None, after: tuple[datetime, int] | None, limit: int
) -> list[ReminderRow]:
    rows = await connection.fetch(_PENDING, before, after and after[0], after and after[1], limit)
    return [ReminderRow(*row) for row in rows]


async def by_id(
    connection: asyncpg.Connection, state: ReminderState | None, before: datetime | None, after: int, limit: int
) -> list[ReminderRow]:
    """`state` is one of ours, so it may stand in the text."""
    only = f"r.state = '{state.value}' AND " if state else ""
    sql = f"{REMINDER} WHERE {only} r.id > $1 AND ($2::timestamptz IS NULL OR r.due_at < $2) ORDER BY r.id LIMIT $3"
    return [ReminderRow(*row) for row in await connection.fetch(sql, after, before, limit)]
