"""A database is brought to this version by one command, whatever it was before, and is then what the code says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import SQLModel

import shared.tables  # noqa: F401  # declares the tables
from shared.db.migrate import alembic_config, grants_sql, ledger_sql, migrate, newest
from tests.servers.postgres import made_database

CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity, generation_expression, numeric_precision, numeric_scale
  FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
"""
FUNCTIONS = """
SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proacl::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
"""
GRANTS = "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
CLOCK = """
CREATE TABLE business_clock_first (ahead interval);
CREATE FUNCTION business_now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT now() $$
"""


async def look(dsn: str, query: str) -> set[tuple[object, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return {tuple(row) for row in await connection.fetch(query)}
    finally:
        await connection.close()


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def with_engine(dsn: str, work: Callable[[Connection], object]) -> object:
    engine = create_async_engine(make_url(dsn).set(drivername="postgresql+asyncpg"))
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


@pytest.fixture
async def declared_dsn(postgres_dsn: str) -> AsyncIterator[str]:
    """A database made from the declared tables alone, without any migration."""
    loop = asyncio.get_running_loop()
    maker = made_database(postgres_dsn)
    name = await loop.run_in_executor(None, maker.__enter__)
    dsn = urlunsplit(urlsplit(postgres_dsn)._replace(path=f"/{name}"))
    await execute(dsn, CLOCK)
    await with_engine(dsn, SQLModel.metadata.create_all)
    yield dsn
    await loop.run_in_executor(None, maker.__exit__, None, None, None)


async def test_alembic_finds_no_difference_to_the_declared_tables(database_dsn: str) -> None:
    def differences(connection: Connection) -> object:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), SQLModel.metadata)

    assert await with_engine(database_dsn, differences) == []


@pytest.mark.parametrize("query", [CONSTRAINTS, INDEXES, COLUMNS], ids=["constraints", "indexes", "columns"])
async def test_migrations_make_what_is_declared_to_the_letter(database_dsn: str, declared_dsn: str, query: str) -> None:
    """What alembic does not compare: the text of CHECKs, the conditions of indexes, defaults, generated columns."""
    migrated, declared = await look(database_dsn, query), await look(declared_dsn, query)
    expected = {row for row in declared if row[0] != "business_clock_first"}
    assert migrated == expected


async def test_the_functions_in_force_are_those_of_the_file_and_no_others(database_dsn: str) -> None:
    migrated = await look(database_dsn, FUNCTIONS)
    drop = await look(
        database_dsn,
        "SELECT 'DROP FUNCTION ' || oid::regprocedure || ' CASCADE' FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND proname <> 'business_now'",
    )
    await execute(database_dsn, *(str(statement) for (statement,) in drop), ledger_sql(), grants_sql())
    assert await look(database_dsn, FUNCTIONS) == migrated
    assert len(migrated) > 30


async def test_migrating_again_changes_nothing(database_dsn: str) -> None:
    await execute(database_dsn, "UPDATE business_clock SET ahead = interval '3 days'")
    queries = (CONSTRAINTS, INDEXES, COLUMNS, FUNCTIONS, GRANTS, "SELECT id, ahead FROM business_clock")
    before = [await look(database_dsn, query) for query in queries]
    await migrate(database_dsn)
    assert [await look(database_dsn, query) for query in queries] == before


async def test_migrating_repairs_a_function_and_a_grant_that_somebody_changed(database_dsn: str) -> None:
    before = [await look(database_dsn, query) for query in (FUNCTIONS, GRANTS)]
    await execute(
        database_dsn,
        "CREATE OR REPLACE FUNCTION barrier(p_invoices bigint[], p_window interval) RETURNS double precision LANGUAGE sql AS 'SELECT 0.0'",
        "GRANT DELETE ON event TO dunnock_payments",
    )
    assert [await look(database_dsn, query) for query in (FUNCTIONS, GRANTS)] != before
    await migrate(database_dsn)
    assert [await look(database_dsn, query) for query in (FUNCTIONS, GRANTS)] == before


async def test_several_processes_may_migrate_an_empty_database_at_once(empty_database_dsn: str) -> None:
    await asyncio.gather(*(migrate(empty_database_dsn) for _ in range(4)))
    assert await look(empty_database_dsn, "SELECT count(*) FROM alembic_version") == {(1,)}
    assert await look(empty_database_dsn, "SELECT id, ahead = interval '0' FROM business_clock") == {(1, True)}


async def test_migrations_are_one_line_and_lead_to_one_head() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    revisions = list(script.walk_revisions())
    assert script.get_heads() == [newest()]
    assert all(isinstance(revision.down_revision, str | None) for revision in revisions)


async def test_there_is_no_way_back() -> None:
    """A downgrade would drop what was recorded. Whoever must go back restores a backup."""
    script = ScriptDirectory.from_config(alembic_config())
    assert [revision.revision for revision in script.walk_revisions() if hasattr(revision.module, "downgrade")] == []
