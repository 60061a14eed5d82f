"""Operators' pictures where they are kept: versions that never change, and the newest of each, which is in force unless it
takes the picture away.

True here: versions of pictures and texts are stored one after the other (`lock`), so a process that has read up to an id has
missed none, and what names a picture is stored only while there is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from shared.content import Picture
from shared.content.pictures import SUFFIXES


@dataclass(frozen=True, slots=True)
class PictureVersion:
    id: int
    name: str
    version: int
    withdrawn: bool
    created_at: datetime
    width: int
    height: int
    size: int
    picture: Picture


COLUMNS = "id, name, version, withdrawn, created_at, width, height, octet_length(content) AS size, media_type, digest"
_NEWEST = f"""
SELECT * FROM (
       SELECT DISTINCT ON (name) {COLUMNS}, content FROM picture_version WHERE id > $1 AND ($2::text[] IS NULL OR name = ANY ($2))
        ORDER BY name, version DESC) newest
 WHERE $1 > 0 OR NOT withdrawn
"""
_THERE = "SELECT NOT withdrawn FROM picture_version WHERE name = $1 ORDER BY version DESC LIMIT 1"


async def lock(tx: asyncpg.Connection) -> None:
    """Until the transaction ends nobody else stores or takes away a text or a picture, or names a creditor's logo."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('template', 0))")


async def there_is(tx: asyncpg.Connection, name: str) -> bool:
    return await tx.fetchval(_THERE, name) is True


async def newest(
    connection: asyncpg.Connection, after: int = 0, names: Sequence[str] | None = None
) -> list[PictureVersion]:
    """Of each picture that has a version above this id, the newest; without one, those in force."""
    return [version_of(row) for row in await connection.fetch(_NEWEST, after, names)]


def version_of(row: asyncpg.Record) -> PictureVersion:
    """Of COLUMNS, and the content where it was asked for."""
    name, version, media_type = row["name"], row["version"], row["media_type"]
    return PictureVersion(
        row["id"],
        name,
        version,
        row["withdrawn"],
        row["created_at"],
        row["width"],
        row["height"],
        row["size"],
        Picture(
            f"{name}.{SUFFIXES[media_type]}", media_type, row.get("content", b""), row["digest"], f"{name}@{version}"
        ),
    )
