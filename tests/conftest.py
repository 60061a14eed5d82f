"""The real servers that tests run on: brought up once a run, taken down at its end, however it ends."""

import functools
from collections.abc import Iterator
from pathlib import Path

import httpx
import httpx._transports.default
import pytest
import structlog

from shared.routing import channels
from tests.servers.broker import Broker
from tests.servers.postgres import database_address, made_database, postgres, run
from tests.servers.rabbitmq import rabbitmq
from tests.servers.workspace import workspace

LONGEST_FIRST = (  # else one of them begins when all the others have ended, and a whole run waits for it alone
    "integration/test_embedded_kills.py",
    "chaos/test_crash_points.py",
    "integration/test_ledger_machine.py",
    "integration/test_bus_on_rabbitmq.py",
    "integration/test_embedded_process.py",
    "chaos/test_side_by_side.py",
    "chaos/test_servers_die.py",
    "chaos/test_interleavings.py",
    "scenarios/test_demo.py",
    "unit/test_flow_ten_thousand.py",
    "unit/test_flow_round_trip.py",
    "precision/test_precision.py",
)
TESTS = Path(__file__).parent
PLAIN = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)


def pytest_configure() -> None:
    """What takes longer than a test and is no part of any.

    By default a logged exception shows every frame's variables, which takes seconds and holds up the loop under test, and
    each httpx client reads the world's certificates again."""
    vars(httpx._transports.default)["create_ssl_context"] = functools.cache(httpx.create_ssl_context)
    said = structlog.get_config()["processors"]
    structlog.configure(processors=[*said[:-1], PLAIN])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {TESTS / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(autouse=True, scope="module")
def the_channels_of_the_house() -> Iterator[None]:
    """A file may bring a channel of its own; the next one in the same process does not know it."""
    known, reaches, named = dict(channels._KNOWN), dict(channels._REACHES), set(channels._NAMED_ONLY)
    yield
    for kept, now in ((known, channels._KNOWN), (reaches, channels._REACHES)):
        for name in now.keys() - kept.keys():
            del now[name]
    channels._NAMED_ONLY.intersection_update(named)


@pytest.fixture(scope="session")
def run_folder() -> Iterator[Path]:
    """A folder of this run alone, under build/."""
    with workspace() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres_dsn(run_folder: Path) -> Iterator[str]:
    """The superuser's address of the server."""
    with postgres(run_folder) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template_database(postgres_dsn: str) -> Iterator[str]:
    """The name of a migrated, empty database to copy from."""
    from shared.db.migrate import migrate

    with made_database(postgres_dsn) as name:
        run(migrate(database_address(postgres_dsn, name)))
        yield name


@pytest.fixture
def database_dsn(postgres_dsn: str, template_database: str) -> Iterator[str]:
    """A migrated database for one test."""
    with made_database(postgres_dsn, template_database) as name:
        yield database_address(postgres_dsn, name)


@pytest.fixture(scope="module")
def shared_database_dsn(postgres_dsn: str, template_database: str) -> Iterator[str]:
    """A migrated database for the tests of one file, which leave nothing behind that disturbs the next one."""
    with made_database(postgres_dsn, template_database) as name:
        yield database_address(postgres_dsn, name)


@pytest.fixture
def empty_database_dsn(postgres_dsn: str) -> Iterator[str]:
    """A database without any table, for one test."""
    with made_database(postgres_dsn) as name:
        yield database_address(postgres_dsn, name)


@pytest.fixture(scope="session")
def broker(run_folder: Path) -> Iterator[Broker]:
    with rabbitmq(run_folder) as running:
        yield running


@pytest.fixture(scope="session")
def amqp_url(broker: Broker) -> str:
    return broker.url


@pytest.fixture
def fresh_amqp_url(broker: Broker) -> Iterator[str]:
    """A virtual host without any queue, for one test."""
    with broker.fresh_virtual_host() as url:
        yield url
