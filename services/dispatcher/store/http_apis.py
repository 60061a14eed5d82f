"""The APIs that operators described for the channel http. True here: only the dispatcher's role may read them, for their
secrets."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

PUT = """
INSERT INTO http_api (name, config) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET config = excluded.config, updated_at = clock_timestamp()
RETURNING name, config, updated_at, xmax = 0 AS is_new
"""


@dataclass(frozen=True, slots=True)
class HttpApiRow:
    name: str
    config: dict[str, Any]
    updated_at: datetime


async def put(connection: asyncpg.Connection, name: str, config: dict[str, Any]) -> tuple[HttpApiRow, bool]:
    """The row, and whether it is new."""
    row = await connection.fetchrow(PUT, name, config)
    assert row is not None
    return _row(row), row["is_new"]


async def find(connection: asyncpg.Connection, name: str) -> HttpApiRow | None:
    row = await connection.fetchrow("SELECT name, config, updated_at FROM http_api WHERE name = $1", name)
    return None if row is None else _row(row)


async def delete(connection: asyncpg.Connection, name: str) -> bool:
    return bool(await connection.fetchval("DELETE FROM http_api WHERE name = $1 RETURNING 1", name))


async def everything(connection: asyncpg.Connection) -> list[HttpApiRow]:
    """There are a handful."""
    return [_row(row) for row in await connection.fetch("SELECT name, config, updated_at FROM http_api ORDER BY name")]


async def versions(connection: asyncpg.Connection) -> dict[str, datetime]:
    return {row["name"]: row["updated_at"] for row in await connection.fetch("SELECT name, updated_at FROM http_api")}


def _row(row: asyncpg.Record) -> HttpApiRow:
    return HttpApiRow(row["name"], row["config"], row["updated_at"])
