"""Brings a database to this version: migrations, then the ledger's functions, then the grants. Safe to run twice, and
twice at once.

The functions and the grants are not migrations: they are replaced whole each time, so their files always say what is
in force.
"""

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
ONE_AT_A_TIME = 0x44756E6E  # advisory lock: two migrating processes wait for each other


async def migrate(dsn: str) -> None:
    """`dsn`: of the database's owner, who may create roles. Raises what the database says, unchanged."""
    guard = await asyncpg.connect(dsn)
    try:
        await guard.execute("SELECT pg_advisory_lock($1)", ONE_AT_A_TIME)
        if await _version(guard) != newest():
            engine = create_async_engine(make_url(dsn).set(drivername="postgresql+asyncpg"))
            async with engine.begin() as connection:
                await connection.run_sync(_upgrade)
            await engine.dispose()
        async with guard.transaction():
            await guard.execute(ledger_sql())
            await guard.execute(grants_sql())
            await guard.execute("INSERT INTO business_clock (id) VALUES (1) ON CONFLICT DO NOTHING")
    finally:
        await guard.close()


def ledger_sql() -> str:
    return files("shared.ledger").joinpath("ledger.sql").read_text(encoding="utf-8")


def grants_sql() -> str:
    return files("shared.db").joinpath("grants.sql").read_text(encoding="utf-8")


def newest() -> str:
    """The migration after which there is none: they are numbered, and each follows the one before."""
    return max(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


async def _version(connection: asyncpg.Connection) -> str | None:
    """None: there is nothing yet."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    version: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return version


def alembic_config() -> "Config":
    from alembic.config import Config  # lazy: most starts find the tables as they should be, and need none of it

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _upgrade(connection: Connection) -> None:
    from alembic import command  # lazy: as above

    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
