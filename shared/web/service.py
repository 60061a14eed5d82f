"""What a service is to whoever runs it: routes, parts, and something to start and to stop.

True here: a wiring builds, it does not start. Starting goes in the order given, stopping in the reverse, also when a
later start failed; so the process that serves one service and the one that serves all three run the same code.
"""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter, FastAPI

from shared.db.engine import Database
from shared.settings import ProcessSettings, split_words
from shared.web.app import build_app, mount
from shared.web.auth import Caller, Keys
from shared.web.health import Check, Notice, Readiness
from shared.web.limits import Limits
from shared.web.parts import provide
from shared.web.server import make_server


@dataclass(frozen=True, slots=True)
class Service:
    """`start` returns once its loops run; `stop` drains them. `notices`: what is absent or stopped, shown by /readyz."""

    name: str
    routers: Sequence[APIRouter]
    parts: Sequence[object]
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]
    checks: Mapping[str, Check] = field(default_factory=dict)
    notices: Mapping[str, Notice] = field(default_factory=dict)


def assemble(title: str, services: Sequence[Service], keys: Keys, *, limits: Limits | None = None) -> FastAPI:
    """One app for one service or for all."""
    readiness = Readiness()

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as running:
            for service in services:
                running.push_async_callback(service.stop)
                await service.start()
            yield
            readiness.drain()

    app = build_app(title, readiness=readiness, keys=keys, limits=limits, lifespan=lifespan)
    for service in services:
        mount(app, *service.routers)
        for value in service.parts:
            provide(app, value)
        for name, check in service.checks.items():
            readiness.add(f"{service.name}.{name}", check)
        for name, text in service.notices.items():
            readiness.notice(f"{service.name}.{name}", text)
    return app


async def serve(app: FastAPI, settings: ProcessSettings, *, bound: socket.socket | None = None) -> None:
    """Until SIGTERM or SIGINT. On `bound`, if the caller has taken the port already."""
    proxies = split_words(settings.trusted_proxies)
    server = make_server(app, settings.host, settings.port, trusted_proxies=proxies, grace=settings.shutdown_seconds)
    loop = asyncio.get_running_loop()
    serving = asyncio.ensure_future(server.serve([bound] if bound else None))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
    _collect_less()
    await serving


def _collect_less() -> None:
    """Modules and wiring stay for ever and a request's objects end by themselves: without this the collector walks through all of
    it again and again, a tenth of a dispatcher's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def key_lookup(db: Database) -> Callable[[bytes], Awaitable[Caller | None]]:
    """Finds the holder of an API key by its hash."""

    async def look(hashed: bytes) -> Caller | None:
        async with db.connection() as connection:
            row = await connection.fetchrow(
                "SELECT id, name, scopes FROM api_key WHERE key_hash = $1 AND revoked_at IS NULL", hashed
            )
        return None if row is None else Caller(row["name"], frozenset(row["scopes"]), row["id"])

    return look


def make_keys(db: Database, settings: ProcessSettings) -> Keys:
    """The stored keys, and the bootstrap key if one is set."""
    return Keys(key_lookup(db), settings.api_key.get_secret_value() if settings.api_key else None)


def database_check(db: Database) -> Check:
    async def check() -> str | None:
        return None if await db.ping() else "does not answer"

    return check
