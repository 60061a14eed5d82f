"""The servers of a run: an own PostgreSQL that waits for its disk, an own RabbitMQ, the counting sink; all gone afterwards."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.db.embedded import EmbeddedPostgres, free_port
from shared.db.migrate import migrate
from tests.bench.processes import Child, end_soon, started, wait_ready
from tests.servers.broker import Broker
from tests.servers.postgres import run
from tests.servers.rabbitmq import rabbitmq
from tests.servers.workspace import workspace

API_KEY = "a-key-of-the-benchmark-only"
TEMPLATE = "bench_template"
AT_ONCE = 2  # databases that are filled side by side, before anything is measured
SETTINGS = {"max_wal_size": "4GB", "shared_buffers": "256MB"}  # no checkpoint in the middle of one side of a comparison


@dataclass(frozen=True, slots=True)
class Ground:
    """A database that a row needs: `rows` about how many, `lay` what fills it."""

    name: str
    rows: int
    lay: Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Stage:
    """`server`: the address of PostgreSQL, with some database in its path. `template`: a migrated database to copy from."""

    folder: Path
    server: str
    template: str
    broker: Broker
    sink: "Sink"
    began: float

    def tell(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", flush=True)

    def lay(self, grounds: Sequence[Ground]) -> None:
        """Makes their databases, the largest first."""
        run(self._lay(sorted(grounds, key=lambda ground: -ground.rows)))

    def database(self, name: str) -> str:
        """The address of a new migrated database."""
        run(_statement(self.server, f'CREATE DATABASE "{name}" TEMPLATE "{self.template}"'))
        return self.address(name)

    def address(self, name: str) -> str:
        return _address(self.server, name)

    def forget(self, address: str) -> None:
        run(_statement(self.server, f'DROP DATABASE "{urlsplit(address).path[1:]}" WITH (FORCE)'))

    async def _lay(self, grounds: Sequence[Ground]) -> None:
        free = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as laying:
            for ground in grounds:
                laying.create_task(self._lay_one(ground, free))

    async def _lay_one(self, ground: Ground, free: asyncio.Semaphore) -> None:
        async with free:
            began = time.monotonic()
            await _statement(self.server, f'CREATE DATABASE "{ground.name}" TEMPLATE "{self.template}"')
            await ground.lay(self.address(ground.name))
            self.tell(f"{ground.name}: about {ground.rows:,} rows made in {time.monotonic() - began:.0f} s")

    @contextmanager
    def service(self, name: str, database: str, amqp: str, **settings: str) -> Iterator[tuple[Child, int]]:
        """A real process of a service and its port."""
        with self.services(Wanted(name, database, amqp, settings)) as (one,):
            yield one

    @contextmanager
    def services(self, *wanted: "Wanted") -> Iterator[list[tuple[Child, int]]]:
        """Several, that start side by side."""
        with ExitStack() as stack:
            starting = [self._start(stack, one) for one in wanted]
            for child, port, log in starting:
                try:
                    wait_ready(child, port)
                except RuntimeError as error:
                    raise RuntimeError(f"{error}: {log.read_text()[-1000:]}") from error
            try:
                yield [(child, port) for child, port, _ in starting]
            finally:
                end_soon(child for child, _, _ in starting)

    def _start(self, stack: ExitStack, wanted: "Wanted") -> tuple[Child, int, Path]:
        port, log = free_port(), self.folder / f"{wanted.name}.log"
        starting = started("-m", f"services.{wanted.name}", environment=self._environment(wanted, port), log=log)
        return stack.enter_context(starting), port, log

    def _environment(self, wanted: "Wanted", port: int) -> dict[str, str]:
        (self.folder / "documents").mkdir(exist_ok=True)
        return {
            "DUNNOCK_DATABASE_URL": wanted.database,
            "DUNNOCK_AMQP_URL": wanted.amqp,
            "DUNNOCK_SMTP_URL": f"smtp://127.0.0.1:{self.sink.port}?tls=none",
            "DUNNOCK_PUBLIC_URL": "https://pay.example.com",
            "DUNNOCK_SECRET_KEY": "a secret of the benchmark only",
            "DUNNOCK_API_KEY": API_KEY,
            "DUNNOCK_DOCUMENTS_URL": (self.folder / "documents").as_uri(),
            "DUNNOCK_EMAIL_FROM": "billing@example.com",
            "DUNNOCK_MAIL_DOMAIN": "mail.example.com",
            "DUNNOCK_LOG_LEVEL": "warning",
            "PORT": str(port),
            **wanted.settings,
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """A process of a service; `settings` are environment variables."""

    name: str
    database: str
    amqp: str
    settings: Mapping[str, str] = field(default_factory=dict)


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
    """The template is made while RabbitMQ starts."""
    began = time.monotonic()
    with workspace() as folder, _postgres(folder) as server, ThreadPoolExecutor(1) as beside:
        template = beside.submit(run, _template(server))
        with rabbitmq(folder) as broker, counting_sink() as sink:
            template.result()
            yield Stage(folder, server, TEMPLATE, broker, sink, began)


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    server = EmbeddedPostgres(folder / "postgres", settings=SETTINGS)
    try:
        yield run(server.start())
    finally:
        run(server.stop())


@contextmanager
def counting_sink() -> Iterator[Sink]:
    with started("-m", "tests.bench.sink") as child:
        yield Sink(child.pid, int(child.line()))


async def _template(server: str) -> None:
    await _statement(server, f'CREATE DATABASE "{TEMPLATE}"')
    await migrate(_address(server, TEMPLATE))


def _address(server: str, name: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


async def _statement(address: str, statement: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
