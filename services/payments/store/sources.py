"""Payment sources. True here: a secret is read only to verify, and a retired source looks as if it had never been."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

BUILT_IN = "api"  # the source of what people and the ERP record themselves
BUILT_IN_KIND = "manual"
FILES = "statements"  # the source of statement files that name no other
FILES_KIND = "statement"
_RETIRED = "retired"  # payments name it, so its row stays


@dataclass(frozen=True, slots=True)
class SourceRow:
    ref: str
    kind: str
    config: dict[str, Any]
    updated_at: datetime
    id: int


_COLUMNS = "ref, kind, config, updated_at, id"


async def find_source(connection: asyncpg.Connection, ref: str) -> SourceRow | None:
    row = await connection.fetchrow(f"SELECT {_COLUMNS} FROM source WHERE ref = $1 AND kind <> '{_RETIRED}'", ref)
    return None if row is None else _row(row)


async def list_sources(connection: asyncpg.Connection, after: str, limit: int) -> list[SourceRow]:
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM source WHERE ref > $1 AND kind <> '{_RETIRED}' ORDER BY ref LIMIT $2", after, limit
    )
    return [_row(row) for row in rows]


async def bucket_sources(connection: asyncpg.Connection) -> list[SourceRow]:
    """Those whose files wait in a bucket."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM source WHERE kind = '{FILES_KIND}' AND config -> 'bucket' <> 'null' ORDER BY id"
    )
    return [_row(row) for row in rows]


async def put_source(
    connection: asyncpg.Connection, ref: str, kind: str, config: dict[str, Any]
) -> tuple[SourceRow, bool]:
    """The source, and whether it is new."""
    row = await connection.fetchrow(
        f"""
        WITH old AS (SELECT kind FROM source WHERE ref = $1)
        INSERT INTO source (ref, kind, config) VALUES ($1, $2, $3)
        ON CONFLICT (ref) DO UPDATE SET kind = excluded.kind, config = excluded.config, updated_at = clock_timestamp()
        RETURNING {_COLUMNS}, NOT EXISTS (SELECT FROM old WHERE kind <> '{_RETIRED}') AS is_new
        """,
        ref,
        kind,
        config,
    )
    assert row is not None
    return _row(row), row["is_new"]


async def delete_source(tx: asyncpg.Connection, ref: str) -> bool:
    """Forgets its secrets at once; the row goes too unless a payment names it."""
    found: int | None = await tx.fetchval(
        f"UPDATE source SET kind = '{_RETIRED}', config = '{{}}' WHERE ref = $1 AND kind <> '{_RETIRED}' RETURNING 1",
        ref,
    )
    if found:
        try:
            async with tx.transaction():
                await tx.execute("DELETE FROM source WHERE ref = $1", ref)
        except asyncpg.ForeignKeyViolationError:
            return True
    return found is not None


async def built_in_source(connection: asyncpg.Connection, ref: str = BUILT_IN, kind: str = BUILT_IN_KIND) -> int:
    """The id of a source that is always there."""
    await connection.execute("INSERT INTO source (ref, kind) VALUES ($1, $2) ON CONFLICT DO NOTHING", ref, kind)
    found: int = await connection.fetchval("SELECT id FROM source WHERE ref = $1", ref)
    return found


def _row(row: asyncpg.Record) -> SourceRow:
    return SourceRow(row["ref"], row["kind"], row["config"], row["updated_at"], row["id"])
