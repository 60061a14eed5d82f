"""python -m services: everything in one process, with its own PostgreSQL, an in-process bus and sandbox providers.

True here: the same wirings, roles and adapters as in three processes; only the parts around them are chosen here.
"""

import asyncio
import os
import secrets
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop
from pydantic import Field, SecretStr

from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.wiring import CHANNEL_SETTINGS, from_environment
from services.dispatcher.wiring import build as build_dispatcher
from services.doubles import start_doubles
from services.payments.settings import PaymentsSettings
from services.payments.wiring import build as build_payments
from services.payments.wiring import open_database as open_payments_database
from services.scheduler.settings import SchedulerSettings
from services.scheduler.wiring import build as build_scheduler
from shared.bus.memory import MemoryBus
from shared.db.embedded import DatabaseDown, EmbeddedPostgres
from shared.db.engine import Database
from shared.db.folder import FolderInUse
from shared.db.migrate import migrate
from shared.documents import Documents
from shared.logging import configure
from shared.outgoing import Guard, OutgoingSettings
from shared.settings import LedgerSettings, ProcessSettings, check, load
from shared.web.auth import Keys
from shared.web.service import assemble, key_lookup, serve

POOL = 8


class PortTaken(Exception):
    """Nobody can be served there."""


class NoFolder(Exception):
    """The data has no place."""


class EmbeddedSettings(ProcessSettings):
    """`python -m services` needs none of them."""

    data_dir: Path = Field(Path("var"), description="folder of the embedded database, documents and sandbox")
    sandbox: bool = Field(True, description="0 sends through the providers that DUNNOCK_* configures")


async def main() -> None:
    own = (SchedulerSettings, DispatcherSettings, PaymentsSettings)
    check(EmbeddedSettings, LedgerSettings, OutgoingSettings, *own, *CHANNEL_SETTINGS)
    settings, windows = load(EmbeddedSettings), load(LedgerSettings)
    configure(settings.log_level)
    bound = take_port(settings.host, settings.port)
    port = bound.getsockname()[1]
    local_url = f"http://127.0.0.1:{port}"
    public_url = settings.public_url or local_url
    data_dir = make_folder(settings.data_dir.resolve())

    async with AsyncExitStack() as opened:
        postgres = EmbeddedPostgres(data_dir / "postgres")
        url = await postgres.start()
        opened.push_async_callback(postgres.stop)
        secret_key = kept_secret(data_dir / "secret-key", settings.secret_key)  # now that the folder is ours alone
        api_key = kept_secret(data_dir / "api-key", settings.api_key)
        await migrate(url)
        scheduler_db = Database(url, role="dunnock_scheduler", pool_size=POOL)
        dispatcher_db = Database(url, role="dunnock_dispatcher", pool_size=POOL)
        payments_db = open_payments_database(url, POOL)
        sandbox_db = Database(url, role="dunnock_sandbox", pool_size=4)
        for db in (scheduler_db, dispatcher_db, payments_db, sandbox_db):
            opened.push_async_callback(db.close)
        bus = MemoryBus()
        await bus.start()
        opened.push_async_callback(bus.close)
        documents = Documents(settings.documents_url or f"file://{data_dir / 'documents'}")

        guard = Guard.from_settings(loopback=settings.sandbox)
        services = []
        if settings.sandbox:
            outside, doubles = await start_doubles(data_dir, public_url, local_url, secret_key, sandbox_db)
            services.append(doubles)
        else:
            outside = from_environment(public_url, secret_key)
        services += [
            build_payments(load(PaymentsSettings), windows, payments_db, documents, guard, public_url),
            build_dispatcher(load(DispatcherSettings), windows, dispatcher_db, bus, documents, outside),
            build_scheduler(
                load(SchedulerSettings), windows, scheduler_db, bus, documents, guard, sandbox=settings.sandbox
            ),
        ]
        keys = Keys(key_lookup(scheduler_db), api_key.decode())
        known = "the one of DUNNOCK_API_KEY" if settings.api_key else f"in {data_dir / 'api-key'}"
        say(f"Dunnock on {local_url} (sandbox: {local_url}/sandbox). API key: {known}")
        await serve(assemble("Dunnock", services, keys), settings, bound=bound)


def take_port(host: str, port: int) -> socket.socket:
    """Before anything is started. It is bound and not yet listening: callers are refused until all is up."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise PortTaken(
            f"it cannot listen on {host}:{port} ({error.strerror}): end what uses that port, or set PORT to another one"
        ) from None
    return bound


def make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise NoFolder(
            f"the data cannot be kept in {folder} ({error.strerror}): set DUNNOCK_DATA_DIR to a folder of yours"
        ) from None
    return folder


def kept_secret(file: Path, given: SecretStr | None) -> bytes:
    """The one that was given, else the one of this folder, made at its first start."""
    if given:
        return given.get_secret_value().encode()
    if not file.exists():
        fresh = file.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.write(f"dk_{secrets.token_urlsafe(32)}")
        fresh.rename(file)  # whole or not at all: a kill in between must not leave an empty secret
    return file.read_bytes()


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        uvloop.run(main())
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit(130)
    except (PortTaken, NoFolder, FolderInUse, DatabaseDown) as error:
        say(f"Dunnock cannot start: {error}")
        sys.exit(1)
