"""Turns what is new on the timeline into announcements.

True here: nothing is left out, however transactions commit, and nothing is announced twice; an entry that was written
after another one had committed is announced after it. One process does it at a time; without an endpoint nobody does.
"""

import asyncpg

from services.payments.domain.announcements import announce
from services.payments.store.announcements import (
    Cursor,
    keep,
    last_entry,
    lock_cursor,
    move_cursor,
    news,
    writers,
)
from shared.db.engine import Database

AT_ONCE = 1_000


async def derive_announcements(db: Database) -> int:
    """How many were made."""
    async with db.transaction() as tx:
        cursor = await lock_cursor(tx)
        if cursor is None:
            return 0
        last = await last_entry(tx)
        if last <= cursor.read_to:
            return 0
        moved = advanced(cursor, last, await writers(tx))  # asked after `last` was read, and before the entries are
        made = await _derive(tx, cursor.read_to)
        if moved != cursor:
            await move_cursor(tx, moved)
    return made


def advanced(cursor: Cursor, last: int, writing: frozenset[str]) -> Cursor:
    """Where reading may begin next time. `writing` was looked at after `last`: whoever could still show an id up to
    `last` is in it."""
    if not writing:
        return Cursor(last, None, frozenset())
    if cursor.mark is None:
        return Cursor(cursor.read_to, last, writing)
    if cursor.writers & writing:
        return cursor
    return Cursor(cursor.mark, last, writing)


async def _derive(tx: asyncpg.Connection, after: int) -> int:
    made = 0
    while True:
        entries = await news(tx, after, AT_ONCE)
        told = [one for entry in entries for one in announce(entry)]
        if told:
            await keep(tx, told)
        made += len(told)
        if len(entries) < AT_ONCE:
            return made
        after = entries[-1].id
