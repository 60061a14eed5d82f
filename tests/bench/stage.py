"""The servers of a run: an own PostgreSQL that waits for its disk, an own RabbitMQ, the counting sink; all gone afterwards."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.db.embedded import EmbeddedPostgres, free_port
from shared.db.migrate import migrate
from tests.bench.processes import Child, started, wait_ready
from tests.servers.broker import Broker
from tests.servers.postgres import run
from tests.servers.rabbitmq import rabbitmq
from tests.servers.workspace import workspace

TEMPLATE = "bench_template"
SETTINGS = {"max_wal_size": "4GB", "shared_buffers": "256MB"}  # no checkpoint in the middle of one side of a comparison


@dataclass(frozen=True, slots=True)
class Stage:
    """`server`: the address of PostgreSQL, with some database in its path."""

    folder: Path
    server: str
    broker: Broker
    sink: "Sink"
    began: float = field(default_factory=time.monotonic)

    def tell(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", flush=True)

    def database(self, name: str) -> str:
        """The address of a new migrated database."""
        run(_statement(self.server, f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"'))
        return _address(self.server, name)

    def forget(self, address: str) -> None:
        run(_statement(self.server, f'DROP DATABASE "{urlsplit(address).path[1:]}" WITH (FORCE)'))

    @contextmanager
    def service(self, name: str, database: str, amqp: str, **settings: str) -> Iterator[tuple[Child, int]]:
        """A real process of a service and its port."""
        port = free_port()
        environment = {
            "DUNNOCK_DATABASE_URL": database,
            "DUNNOCK_AMQP_URL": amqp,
            "DUNNOCK_SMTP_URL": f"smtp://127.0.0.1:{self.sink.port}?tls=none",
            "DUNNOCK_PUBLIC_URL": "https://pay.example.com",
            "DUNNOCK_SECRET_KEY": "a secret of the benchmark only",
            "DUNNOCK_API_KEY": API_KEY,
            "DUNNOCK_DOCUMENTS_URL": (self.folder / "documents").as_uri(),
            "DUNNOCK_EMAIL_FROM": "billing@example.com",
            "DUNNOCK_MAIL_DOMAIN": "mail.example.com",
            "DUNNOCK_LOG_LEVEL": "warning",
            "PORT": str(port),
            **settings,
        }
        log = self.folder / f"{name}.log"
        with started("-m", f"services.{name}", environment=environment, log=log) as child:
            try:
                wait_ready(child, port)
            except RuntimeError as error:
                raise RuntimeError(f"{error}: {log.read_text()[-1000:]}") from error
            yield child, port


API_KEY = "a-key-of-the-benchmark-only"


@dataclass(frozen=True, slots=True)
class Sink:
    """The counting SMTP server; what it uses is not counted."""

    pid: int
    port: int

    async def taken(self) -> int:
        """Mails so far."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await reader.readline()
        writer.write(b"COUNT\r\n")
        count = int(await reader.readline())
        writer.close()
        return count


@contextmanager
def stage() -> Iterator[Stage]:
    with workspace() as folder, _postgres(folder) as server, rabbitmq(folder) as broker, _sink() as sink:
        (folder / "documents").mkdir()
        run(_statement(server, f'CREATE DATABASE "{TEMPLATE}"'))
        run(migrate(_address(server, TEMPLATE)))
        yield Stage(folder, server, broker, sink)


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    server = EmbeddedPostgres(folder / "postgres", settings=SETTINGS)
    try:
        yield run(server.start())
    finally:
        run(server.stop())


@contextmanager
def _sink() -> Iterator[Sink]:
    with started("-m", "tests.bench.sink") as child:
        yield Sink(child.pid, int(child.line()))


def _address(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


async def _statement(address: str, statement: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
