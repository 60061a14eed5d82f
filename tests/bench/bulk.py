"""Many rows at once into a table that nobody uses yet: its indexes are made afterwards, from what is there, because row by row
they take most of the time. What remains is the same table with the same indexes."""

from typing import Any

import asyncpg

LONG = 900  # seconds for millions of rows on a busy machine
# Foreign keys unchecked, commits that do not wait: what is made is right as it is, and a checkpoint follows.
UNCHECKED = (
    "SET session_replication_role = replica; SET synchronous_commit = off; SET statement_timeout = 0; "
    "SET maintenance_work_mem = '256MB'; SET work_mem = '64MB'"
)
CHECKED = (
    "RESET session_replication_role; RESET synchronous_commit; RESET statement_timeout; RESET maintenance_work_mem; "
    "RESET work_mem"
)
INDEXES = """
SELECT x.indexrelid::regclass::text AS name, pg_get_indexdef(x.indexrelid) AS made, quote_ident(k.conname) AS key,
       pg_get_constraintdef(k.oid) AS meaning
  FROM pg_index x LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.contype = 'u'
 WHERE x.indrelid = $1::text::regclass AND NOT x.indisprimary
"""


async def fill(connection: asyncpg.Connection, table: str, statement: str, *values: Any) -> None:
    indexes = await connection.fetch(INDEXES, table)
    async with connection.transaction():
        for index in indexes:
            await connection.execute(_drop(table, index))
        await connection.execute(statement, *values, timeout=LONG)
        for index in indexes:
            await connection.execute(_make(table, index), timeout=LONG)


def _drop(table: str, index: asyncpg.Record) -> str:
    return f"ALTER TABLE {table} DROP CONSTRAINT {index['key']}" if index["key"] else f"DROP INDEX {index['name']}"


def _make(table: str, index: asyncpg.Record) -> str:
    if index["key"]:
        return f"ALTER TABLE {table} ADD CONSTRAINT {index['key']} {index['meaning']}"
    return str(index["made"])
