"""Flow versions. A version never changes, so what was read of one is remembered for as long as the process lives."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from shared.flow import Flow


class FlowVersions:
    """Reads each version once."""

    def __init__(self) -> None:
        self._known: dict[int, Flow] = {}

    async def load(self, connection: asyncpg.Connection, ids: set[int]) -> dict[int, Flow]:
        """The flows of these versions; every id exists (a foreign key says so)."""
        missing = ids - self._known.keys()
        if missing:
            sql = "SELECT id, spec FROM flow_version WHERE id = ANY($1::bigint[])"
            rows = await connection.fetch(sql, list(missing))
            self._known.update((row["id"], Flow.parse(row["spec"])) for row in rows)
        return {version: self._known[version] for version in ids}


@dataclass(frozen=True, slots=True)
class VersionRow:
    name: str
    version: int
    created_at: datetime
    spec: dict[str, Any]


_COLUMNS = "name, version, created_at, spec"
_LATEST = """
SELECT DISTINCT ON (name) name, id FROM flow_version WHERE name = ANY($1::text[]) ORDER BY name, version DESC
"""
_SAVE = f"""
WITH newest AS (SELECT {_COLUMNS} FROM flow_version WHERE name = $1 ORDER BY version DESC LIMIT 1),
added AS (
  INSERT INTO flow_version (name, version, spec)
  SELECT $1, coalesce((SELECT version FROM newest), 0) + 1, $2 WHERE NOT EXISTS (SELECT FROM newest WHERE spec = $2)
  RETURNING {_COLUMNS})
SELECT *, true AS fresh FROM added UNION ALL SELECT *, false FROM newest WHERE NOT EXISTS (SELECT FROM added)
"""


async def latest(connection: asyncpg.Connection, names: list[str]) -> dict[str, int]:
    """The newest version's id of each flow by name; names that do not exist are left out."""
    return {row["name"]: row["id"] for row in await connection.fetch(_LATEST, names)}


async def version_id(connection: asyncpg.Connection, name: str, version: int) -> int | None:
    found: int | None = await connection.fetchval(
        "SELECT id FROM flow_version WHERE name = $1 AND version = $2", name, version
    )
    return found


async def save(tx: asyncpg.Connection, flow: Flow) -> tuple[VersionRow, bool]:
    """The version, and whether it is new: the newest one's own content again is that version. One writer a name."""
    await _lock(tx, flow.name)
    row = await tx.fetchrow(_SAVE, flow.name, flow.to_dict())
    assert row is not None
    return VersionRow(*row[:-1]), row["fresh"]


async def save_built_in(tx: asyncpg.Connection, flow: Flow) -> None:
    """Once for each content of the flow's file: a clerk's own later version of the same name stays the newest."""
    await _lock(tx, flow.name)
    known = "SELECT true FROM flow_version WHERE name = $1 AND spec = $2"
    if not await tx.fetchval(known, flow.name, flow.to_dict()):
        await save(tx, flow)


async def versions(connection: asyncpg.Connection, name: str, below: int | None, limit: int) -> list[VersionRow]:
    """Newest first."""
    sql = (
        f"SELECT {_COLUMNS} FROM flow_version WHERE name = $1 AND ($2::bigint IS NULL OR version < $2) "
        "ORDER BY version DESC LIMIT $3"
    )
    return [VersionRow(*row) for row in await connection.fetch(sql, name, below, limit)]


async def page(connection: asyncpg.Connection, after: str, limit: int) -> list[VersionRow]:
    """The newest version of each flow, by name."""
    sql = f"SELECT DISTINCT ON (name) {_COLUMNS} FROM flow_version WHERE name > $1 ORDER BY name, version DESC LIMIT $2"
    return [VersionRow(*row) for row in await connection.fetch(sql, after, limit)]


async def _lock(tx: asyncpg.Connection, name: str) -> None:
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('flow ' || $1, 0))", name)
