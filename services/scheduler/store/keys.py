"""API keys. Their hashes go in and never come out."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg


@dataclass(frozen=True, slots=True)
class KeyRow:
    id: int
    name: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None


_COLUMNS = "id, name, scopes, created_at, revoked_at"


async def insert(tx: asyncpg.Connection, name: str, hashed: bytes, scopes: list[str]) -> KeyRow:
    row = await tx.fetchrow(
        f"INSERT INTO api_key (name, key_hash, scopes) VALUES ($1, $2, $3) RETURNING {_COLUMNS}", name, hashed, scopes
    )
    assert row is not None
    return KeyRow(*row)


async def page(connection: asyncpg.Connection, after: int, limit: int) -> list[KeyRow]:
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM api_key WHERE id > $1 ORDER BY id LIMIT $2", after, limit)
    return [KeyRow(*row) for row in rows]


async def revoke(connection: asyncpg.Connection, key_id: int) -> bool:
    """Whether there is such a key."""
    sql = "UPDATE api_key SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = $1 RETURNING true"
    return await connection.fetchval(sql, key_id) is True
