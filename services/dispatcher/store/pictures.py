"""Operators' pictures: stored in versions, taken away, looked up; and who needs them. Reading those in force: shared/pictures.py."""

from collections.abc import Sequence
from hashlib import sha256

import asyncpg

from services.dispatcher.domain.picture_bytes import Recognised
from services.dispatcher.domain.picture_limits import Showing
from shared.pictures import COLUMNS, PictureVersion, version_of

_SAVE = f"""
WITH newest AS (
  SELECT {COLUMNS}, content FROM picture_version WHERE name = $1 ORDER BY version DESC LIMIT 1
), added AS (
  INSERT INTO picture_version (name, version, media_type, width, height, digest, content)
  SELECT $1, coalesce((SELECT version FROM newest), 0) + 1, $2, $3, $4, $5, $6
   WHERE NOT EXISTS (SELECT FROM newest WHERE NOT withdrawn AND digest = $5)
  RETURNING {COLUMNS}, content)
SELECT *, true AS fresh FROM added UNION ALL SELECT *, false FROM newest WHERE NOT EXISTS (SELECT FROM added)
"""
_WITHDRAW = """
INSERT INTO picture_version (name, version, media_type, width, height, digest, content, withdrawn)
SELECT name, version + 1, media_type, width, height, digest, content, true FROM picture_version
 WHERE name = $1 ORDER BY version DESC LIMIT 1
"""
_PAGE = f"""
SELECT * FROM (SELECT DISTINCT ON (name) {COLUMNS} FROM picture_version WHERE name > $1 ORDER BY name, version DESC) newest
 WHERE NOT withdrawn ORDER BY name LIMIT $2
"""
_VERSIONS = f"""
SELECT {COLUMNS} FROM picture_version WHERE name = $1 AND ($2::bigint IS NULL OR version < $2) ORDER BY version DESC LIMIT $3
"""
_ONE = f"""
SELECT {COLUMNS}, content FROM picture_version WHERE name = $1 AND ($2::bigint IS NULL OR version = $2) ORDER BY version DESC LIMIT 1
"""
_SIZES = """
SELECT name, size FROM (
       SELECT DISTINCT ON (name) name, octet_length(content) AS size, withdrawn FROM picture_version ORDER BY name, version DESC) newest
 WHERE NOT withdrawn
"""
_SHOWING = """
SELECT name, channel, locale, html FROM (
       SELECT DISTINCT ON (name, channel, locale) * FROM template_version ORDER BY name, channel, locale, version DESC) newest
 WHERE NOT withdrawn AND strpos(html, 'src="cid:' || $1 || '"') > 0 ORDER BY name, channel, locale
"""


async def save(tx: asyncpg.Connection, name: str, content: bytes, found: Recognised) -> tuple[PictureVersion, bool]:
    """The version, and whether it is new: the newest one's own content again is that version."""
    digest = sha256(content).hexdigest()
    row = await tx.fetchrow(_SAVE, name, found.media_type, found.width, found.height, digest, content)
    assert row is not None
    return version_of(row), row["fresh"]


async def withdraw(tx: asyncpg.Connection, name: str) -> None:
    """As a version of its own, so that every process hears of it as it hears of a new one."""
    await tx.execute(_WITHDRAW, name)


async def one(connection: asyncpg.Connection, name: str, version: int | None = None) -> PictureVersion | None:
    """With its content; the newest unless a version is named, withdrawn or not."""
    row = await connection.fetchrow(_ONE, name, version)
    return None if row is None else version_of(row)


async def page(connection: asyncpg.Connection, after: str, limit: int) -> list[PictureVersion]:
    """Those in force."""
    return [version_of(row) for row in await connection.fetch(_PAGE, after, limit)]


async def versions(connection: asyncpg.Connection, name: str, below: int | None, limit: int) -> list[PictureVersion]:
    """Newest first."""
    return [version_of(row) for row in await connection.fetch(_VERSIONS, name, below, limit)]


async def sizes(connection: asyncpg.Connection) -> dict[str, int]:
    """Bytes of each that is in force."""
    return {row["name"]: row["size"] for row in await connection.fetch(_SIZES)}


async def texts_showing(connection: asyncpg.Connection, name: str) -> list[Showing]:
    """Texts in force whose html shows this picture."""
    return [
        Showing(f"{message}/{channel}/{locale}", html)
        for message, channel, locale, html in await connection.fetch(_SHOWING, name)
    ]


async def creditors_with(connection: asyncpg.Connection, name: str) -> Sequence[str]:
    """Whose logo it is; ten of them at most."""
    return [
        row["ref"]
        for row in await connection.fetch("SELECT ref FROM creditor WHERE logo = $1 ORDER BY ref LIMIT 10", name)
    ]
