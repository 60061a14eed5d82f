"""A PostgreSQL that waits for its disk and a RabbitMQ, both of our own where possible, so that they may be killed too."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from shared.db.migrate import migrate
from tests.servers.broker import Broker, PrivateBroker
from tests.servers.postgres import database_address, made_database, postgres, run
from tests.servers.rabbitmq import find_installation, rabbitmq

RECOVERED = 60.0


@dataclass(frozen=True, slots=True)
class Ground:
    """`database`: migrated. `node`: the broker, where it is ours to kill; `own_database`: whether the database is."""

    folder: Path
    database: str
    broker: Broker
    node: PrivateBroker | None
    own_database: bool
    nurse: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    async def beside(self, step: Callable[[], None]) -> None:
        """Runs it in the one thread with which the broker ends: it outlives every event loop of a test."""
        await asyncio.get_running_loop().run_in_executor(self.nurse, step)

    async def crash_database(self) -> None:
        """SIGKILL of one backend: PostgreSQL drops all connections and what they had not committed, and recovers."""
        async with connected(self.database) as connection:
            os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
            connection.terminate()


@asynccontextmanager
async def connected(database: str) -> AsyncIterator[asyncpg.Connection]:
    """Waits for a database that is on its way back."""
    connection = await _connect(database, time.monotonic() + RECOVERED)
    try:
        yield connection
    finally:
        await connection.close()


async def _connect(database: str, deadline: float) -> asyncpg.Connection:
    while True:
        try:
            return await asyncpg.connect(database)
        except (OSError, asyncpg.CannotConnectNowError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    folder.mkdir(parents=True)
    with ThreadPoolExecutor(1) as nurse, postgres(folder, durable=True) as server, made_database(server) as name:
        database = database_address(server, name)
        run(migrate(database))
        with _broker(folder, nurse) as (broker, node):
            own = "DUNNOCK_TEST_DATABASE_URL" not in os.environ
            yield Ground(folder, database, broker, node, own, nurse)


@contextmanager
def _broker(folder: Path, nurse: ThreadPoolExecutor) -> Iterator[tuple[Broker, PrivateBroker | None]]:
    installation = None if "DUNNOCK_TEST_AMQP_URL" in os.environ else find_installation()
    if installation is None:
        with rabbitmq(folder) as given:
            yield given, None
        return
    node = PrivateBroker(folder / "rabbitmq", installation, management=False)
    try:
        nurse.submit(node.start).result()
        yield node.broker, node
    finally:
        node.kill()
        node.stop()
