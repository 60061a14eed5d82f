"""Flow versions. A version never changes, so what was read of one is remembered for as long as the process lives."""

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
            rows = await connection.fetch(
                "SELECT id, spec FROM flow_version WHERE id = ANY($1::bigint[])", list(missing)
            )
            self._known.update((row["id"], Flow.parse(row["spec"])) for row in rows)
        return {version: self._known[version] for version in ids}


async def latest(connection: asyncpg.Connection, names: list[str]) -> dict[str, int]:
    """The newest version of each flow by name; names that do not exist are left out."""
    rows = await connection.fetch(
        "SELECT DISTINCT ON (name) name, id FROM flow_version WHERE name = ANY($1::text[]) ORDER BY name, version DESC",
        names,
    )
    return {row["name"]: row["id"] for row in rows}


_SAVE = """
WITH newest AS (SELECT id, version, spec FROM flow_version WHERE name = $1 ORDER BY version DESC LIMIT 1),
added AS (
  INSERT INTO flow_version (name, version, spec)
  SELECT $1, coalesce((SELECT version FROM newest), 0) + 1, $2
   WHERE NOT EXISTS (SELECT FROM newest WHERE spec = $2)
  RETURNING id, version)
SELECT id, version, true AS fresh FROM added
UNION ALL SELECT id, version, false FROM newest WHERE NOT EXISTS (SELECT FROM added)
"""


async def save(tx: asyncpg.Connection, flow: Flow) -> tuple[int, int, bool]:
    """(id, version, whether it is new). The newest version's own content again is that version; one writer a name."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('flow ' || $1, 0))", flow.name)
    row = await tx.fetchrow(_SAVE, flow.name, flow.to_dict())
    assert row is not None
    return row["id"], row["version"], row["fresh"]


async def save_built_in(tx: asyncpg.Connection, flow: Flow) -> None:
    """Once for each content of the flow's file: a clerk's own later version of the same name stays the newest."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('flow ' || $1, 0))", flow.name)
    spec = flow.to_dict()
    if not await tx.fetchval("SELECT true FROM flow_version WHERE name = $1 AND spec = $2", flow.name, spec):
        await save(tx, flow)
