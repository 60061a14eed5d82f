"""Brings a database to this version: migrations, then the ledger's functions, then the grants. Safe to run twice, and
twice at once.

The functions and the grants are not migrations: they are replaced whole each time, so their files always say what is
in force.
"""

from importlib.resources import files
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

ONE_AT_A_TIME = 0x44756E6E  # advisory lock: two migrating processes wait for each other


async def migrate(dsn: str) -> None:
    """`dsn`: of the database's owner, who may create roles. Raises what the database says, unchanged."""
    guard = await asyncpg.connect(dsn)
    try:
        await guard.execute("SELECT pg_advisory_lock($1)", ONE_AT_A_TIME)
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


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _upgrade(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
