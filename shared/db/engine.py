"""One pool for each service, and two ways to use it.

True here: `transaction()` and `connection()` lend the raw asyncpg connection of the same pool that `session()` draws
from, so a process never holds more connections than it says. Timeouts are the server's own: a client that dies in a
cancel scope cannot leave a lock behind. No statement is sent to test a connection: a dead one is seen by its closed
socket and replaced.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import orjson
from sqlalchemy import event, exc
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

SESSION_LIMITS = {
    "statement_timeout": "60s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "client_connection_check_interval": "10s",
    "jit": "off",
    "timezone": "UTC",
}
T = TypeVar("T")
STALE = asyncpg.InternalClientError  # the server ended it and the loop has not read that yet: nothing was sent
RETRIED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, STALE)


class Database:
    """`url`: postgresql://user:password@host:port/name. `role`: what the process may do, taken on at connect (see
    grants.sql)."""

    def __init__(
        self, url: str, *, role: str | None = None, pool_size: int = 10, limits: dict[str, str] | None = None
    ) -> None:
        settings = {**SESSION_LIMITS, **(limits or {}), **({"role": role} if role else {})}
        self.engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            pool_use_lifo=True,  # the last used connection has its plans made: few warm ones, not all of them in turn
            pool_recycle=1800,
            connect_args={"server_settings": settings, "timeout": 5, "command_timeout": 90},
        )
        event.listen(self.engine.sync_engine, "connect", _register_codecs)
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    def session(self) -> AsyncSession:
        return self._sessions()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A raw connection; each statement is a transaction of its own."""
        lent = await self.engine.raw_connection()
        raw = lent.driver_connection
        assert isinstance(raw, asyncpg.Connection)
        try:
            yield raw
        except BaseException as error:
            # In the middle of a statement the protocol may be out of step: such a connection must not go back to the
            # pool.
            if raw.is_closed() or isinstance(error, STALE) or not isinstance(error, Exception):
                lent.invalidate()
            raise
        finally:
            lent.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A raw connection between BEGIN and COMMIT. Whoever opens it commits it, by leaving it."""
        async with self.connection() as raw, raw.transaction():
            yield raw

    async def retrying(self, work: Callable[[asyncpg.Connection], Awaitable[T]], *, times: int = 5) -> T:
        """`work` on a connection, again when another transaction got in between or the connection was dead already."""
        for left in range(times - 1, -1, -1):
            try:
                async with self.connection() as raw:
                    return await work(raw)
            except RETRIED:
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def ping(self) -> bool:
        """Does the database answer?"""
        async with self.connection() as raw:
            return await raw.fetchval("SELECT true") is True

    async def close(self) -> None:
        await self.engine.dispose()


def _register_codecs(adapted: Any, _record: Any) -> None:
    adapted.run_async(_set_json_codec)


async def _set_json_codec(raw: asyncpg.Connection) -> None:
    await raw.set_type_codec("jsonb", schema="pg_catalog", encoder=_jsonb_out, decoder=_jsonb_in, format="binary")
    await raw.set_type_codec("json", schema="pg_catalog", encoder=_json_out, decoder=orjson.loads, format="binary")


def _json_out(value: object) -> bytes:
    return orjson.dumps(value)


def _jsonb_out(value: object) -> bytes:
    return b"\x01" + (value if isinstance(value, bytes) else orjson.dumps(value))


def _jsonb_in(value: bytes) -> Any:
    return orjson.loads(value[1:])


def _refuse_closed(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
    if dbapi_connection.driver_connection.is_closed():
        raise exc.DisconnectionError("the server closed this connection")
