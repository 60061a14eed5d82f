"""Operators' texts: versions that never change, and the newest of each, which is in force unless it withdraws the text.

True here: versions of all texts are stored one after the other, so a process that has read up to an id has missed none.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from shared.content import TemplateSource


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    channel: str
    locale: str


@dataclass(frozen=True, slots=True)
class TextVersion:
    """`source`: what was written where the html is not it: {"html": ...} or {"mjml": ...}."""

    id: int
    key: Key
    version: int
    text: TemplateSource
    source: dict[str, Any]
    created_at: datetime
    withdrawn: bool


_COLUMNS = "id, name, channel, locale, version, subject, body, html, source, created_at, withdrawn"
_NEWEST = f"""
SELECT DISTINCT ON (name, channel, locale) {_COLUMNS} FROM template_version
 WHERE id > $1 ORDER BY name, channel, locale, version DESC
"""
_SAVE = f"""
WITH newest AS (
  SELECT {_COLUMNS} FROM template_version WHERE (name, channel, locale) = ($1, $2, $3) ORDER BY version DESC LIMIT 1
), added AS (
  INSERT INTO template_version (name, channel, locale, version, subject, body, html, source)
  SELECT $1, $2, $3, coalesce((SELECT version FROM newest), 0) + 1, $4, $5, $6, $7
   WHERE NOT EXISTS (SELECT FROM newest WHERE NOT withdrawn AND subject = $4 AND body = $5 AND html IS NOT DISTINCT FROM $6 AND source = $7)
  RETURNING {_COLUMNS})
SELECT *, true AS fresh FROM added UNION ALL SELECT *, false FROM newest WHERE NOT EXISTS (SELECT FROM added)
"""
_PAGE = f"""
SELECT * FROM (
       SELECT DISTINCT ON (name, channel, locale) {_COLUMNS} FROM template_version
        WHERE (name, channel, locale) > ($1, $2, $3) AND ($4::text IS NULL OR name = $4)
        ORDER BY name, channel, locale, version DESC) newest
 WHERE NOT withdrawn ORDER BY name, channel, locale LIMIT $5
"""
_WITHDRAW = """
INSERT INTO template_version (name, channel, locale, version, subject, body, html, source, withdrawn)
SELECT name, channel, locale, version + 1, subject, body, html, source, true FROM template_version
 WHERE (name, channel, locale) = ($1, $2, $3) ORDER BY version DESC LIMIT 1
"""
_LOCALES = """
SELECT locale FROM (
       SELECT DISTINCT ON (locale) locale, withdrawn FROM template_version WHERE (name, channel) = ($1, $2)
        ORDER BY locale, version DESC) newest
 WHERE NOT withdrawn
"""
_SPOKEN = """
SELECT locale FROM creditor UNION SELECT locale FROM customer WHERE locale IS NOT NULL ORDER BY 1 LIMIT 100
"""
_IN_FORCE = """
SELECT f.spec, f.version FROM flow_version f
 WHERE f.version = (SELECT max(n.version) FROM flow_version n WHERE n.name = f.name)
    OR f.id IN (SELECT DISTINCT i.flow_version_id FROM invoice i WHERE i.settled_at IS NULL AND i.closed_as IS NULL)
 ORDER BY f.name, f.version
"""


async def save(
    tx: asyncpg.Connection, key: Key, text: TemplateSource, source: dict[str, Any]
) -> tuple[TextVersion, bool]:
    """Under the lock of texts. The version, and whether it is new: the newest one's own content again is that version."""
    row = await tx.fetchrow(_SAVE, key.name, key.channel, key.locale, text.subject, text.text, text.html, source)
    assert row is not None
    return _version(row), row["fresh"]


async def withdraw(tx: asyncpg.Connection, key: Key) -> None:
    """As a version of its own, so that every process hears of it as it hears of a new text."""
    await tx.execute(_WITHDRAW, key.name, key.channel, key.locale)


async def in_force(connection: asyncpg.Connection, key: Key) -> TextVersion | None:
    found = await versions(connection, key, None, 1)
    return found[0] if found and not found[0].withdrawn else None


async def locales(connection: asyncpg.Connection, name: str, channel: str) -> list[str]:
    """In which it is written and not withdrawn."""
    return [row["locale"] for row in await connection.fetch(_LOCALES, name, channel)]


async def spoken(connection: asyncpg.Connection) -> list[str]:
    """By customers and creditors."""
    return [row["locale"] for row in await connection.fetch(_SPOKEN)]


async def flows_in_force(connection: asyncpg.Connection) -> list[tuple[dict[str, Any], int]]:
    """(spec, version) of the newest version of each flow and of those that open invoices follow."""
    return [(row["spec"], row["version"]) for row in await connection.fetch(_IN_FORCE)]


async def newest(connection: asyncpg.Connection, after: int) -> list[TextVersion]:
    """Of each text that has a version above this id, the newest."""
    return [_version(row) for row in await connection.fetch(_NEWEST, after)]


async def page(connection: asyncpg.Connection, name: str | None, after: Key, limit: int) -> list[TextVersion]:
    rows = await connection.fetch(_PAGE, after.name, after.channel, after.locale, name, limit)
    return [_version(row) for row in rows]


async def versions(connection: asyncpg.Connection, key: Key, below: int | None, limit: int) -> list[TextVersion]:
    """Newest first."""
    sql = (
        f"SELECT {_COLUMNS} FROM template_version WHERE (name, channel, locale) = ($1, $2, $3) "
        "AND ($4::bigint IS NULL OR version < $4) ORDER BY version DESC LIMIT $5"
    )
    rows = await connection.fetch(sql, key.name, key.channel, key.locale, below, limit)
    return [_version(row) for row in rows]


def _version(row: asyncpg.Record) -> TextVersion:
    return TextVersion(
        row["id"],
        Key(row["name"], row["channel"], row["locale"]),
        row["version"],
        TemplateSource(row["subject"], row["body"], row["html"]),
        row["source"],
        row["created_at"],
        row["withdrawn"],
    )
