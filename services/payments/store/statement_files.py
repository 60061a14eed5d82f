"""Files that wait in a folder or a bucket: who reads one, when it is tried again, and what became of it.

True here: one process at a time reads a file (`tries` is its fence); one that dies loses it when its time is over. The
clock is the machine's, not the business's: files come when they come.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from services.payments.domain.pick_up import Ended, Found, Place

MOST_SAID = 4_000  # characters
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Claimed:
    id: int
    tries: int
    found: Found


@dataclass(frozen=True, slots=True)
class StatementFile:
    id: int
    source: str
    place: str
    name: str
    version: str
    tries: int
    seen_at: datetime
    due_at: datetime
    done_at: datetime | None
    ended: str | None
    said: str | None


async def note(connection: asyncpg.Connection, source_id: int, place: Place, page: Sequence[Found]) -> None:
    """Remembers what is new, and once a day that the rest is still there."""
    seen = ([found.name for found in page], [found.version for found in page])
    await connection.execute(
        """
        INSERT INTO statement_file (source_id, place, name, version)
        SELECT $1, $2, s.name, s.version FROM unnest($3::text[], $4::text[]) AS s (name, version)
         WHERE NOT EXISTS (SELECT FROM statement_file f WHERE f.source_id = $1 AND f.place = $2
                              AND f.name = s.name AND f.version = s.version)
            ON CONFLICT DO NOTHING
        """,
        source_id,
        place,
        *seen,
    )
    await connection.execute(
        """
        UPDATE statement_file f SET seen_at = clock_timestamp() FROM unnest($3::text[], $4::text[]) AS s (name, version)
         WHERE f.source_id = $1 AND f.place = $2 AND f.name = s.name AND f.version = s.version
           AND f.seen_at < clock_timestamp() - $5::interval
        """,
        source_id,
        place,
        *seen,
        DAY,
    )


async def claim_file(connection: asyncpg.Connection, source_id: int, place: Place, lease: timedelta) -> Claimed | None:
    """The first one by name that is due, for as long as `lease`."""
    row = await connection.fetchrow(
        """
        UPDATE statement_file SET tries = tries + 1, due_at = clock_timestamp() + $3::interval
         WHERE id = (SELECT id FROM statement_file
                      WHERE source_id = $1 AND place = $2 AND done_at IS NULL AND due_at <= clock_timestamp()
                      ORDER BY name, id LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING id, tries, name, version
        """,
        source_id,
        place,
        lease,
    )
    return None if row is None else Claimed(row["id"], row["tries"], Found(row["name"], row["version"]))


async def put_off(connection: asyncpg.Connection, claimed: Claimed, pause: timedelta, said: str | None = None) -> bool:
    """Not before `pause`; False: it was not ours any more."""
    status = await connection.execute(
        "UPDATE statement_file SET due_at = clock_timestamp() + $3::interval, said = coalesce($4, said)"
        " WHERE id = $1 AND tries = $2 AND done_at IS NULL",
        claimed.id,
        claimed.tries,
        pause,
        said and said[:MOST_SAID],
    )
    return status == "UPDATE 1"


async def remember(connection: asyncpg.Connection, claimed: Claimed, ended: Ended, said: str) -> None:
    """Never again in this version."""
    await connection.execute(
        "UPDATE statement_file SET done_at = clock_timestamp(), ended = $3, said = $4 WHERE id = $1 AND tries = $2",
        claimed.id,
        claimed.tries,
        ended,
        said[:MOST_SAID],
    )


async def forget_file(connection: asyncpg.Connection, claimed: Claimed) -> None:
    await connection.execute("DELETE FROM statement_file WHERE id = $1 AND tries = $2", claimed.id, claimed.tries)


async def forget_files(connection: asyncpg.Connection, unseen: timedelta, most: int) -> int:
    """Those that are not in their place any more: how many."""
    status = await connection.execute(
        "DELETE FROM statement_file WHERE id IN"
        " (SELECT id FROM statement_file WHERE seen_at < clock_timestamp() - $1::interval LIMIT $2)",
        unseen,
        most,
    )
    return int(status.split()[1])


async def list_files(
    connection: asyncpg.Connection, source: str | None, before: int | None, limit: int
) -> list[StatementFile]:
    """The latest first."""
    rows = await connection.fetch(
        """
        SELECT f.id, s.ref, f.place, f.name, f.version, f.tries, f.seen_at, f.due_at, f.done_at, f.ended, f.said
          FROM statement_file f JOIN source s ON s.id = f.source_id
         WHERE ($2::bigint IS NULL OR f.id < $2) AND ($1::text IS NULL OR s.ref = $1) ORDER BY f.id DESC LIMIT $3
        """,
        source,
        before,
        limit,
    )
    return [StatementFile(*row) for row in rows]
