"""A PostgreSQL for tests: the one that DUNNOCK_TEST_DATABASE_URL names, else the embedded one on a private port."""

import asyncio
import os
import secrets
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.db.embedded import EmbeddedPostgres

T = TypeVar("T")


@contextmanager
def postgres(folder: Path, *, durable: bool = False) -> Iterator[str]:
    """The address of a server where databases may be created, with any database in its path."""
    if given := os.environ.get("DUNNOCK_TEST_DATABASE_URL"):
        yield given.replace("postgresql+asyncpg://", "postgresql://")
        return
    server = EmbeddedPostgres(folder / "postgres", durable=durable)
    try:
        yield run(server.start())
    finally:
        run(server.stop())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs it on a loop of its own, leaving the loop of the tests alone."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


@contextmanager
def made_database(server: str, template: str = "template0") -> Iterator[str]:
    """The name of a new copy of the template, dropped at the end."""
    name = f"test_{secrets.token_hex(6)}"
    # By files: block by block through the log, as it is copied else, costs three times as much, before each test.
    run(execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY'))
    try:
        yield name
    finally:
        run(execute(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


def database_address(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


async def execute(server: str, *statements: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
