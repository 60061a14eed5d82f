"""Which exceptions mean that a part is away, locked or full, so that the same request may succeed later (503).

Everything else that nobody expected is a bug (500); calling a bug an outage would have clients repeat it forever.
"""

import socket
from collections.abc import Iterator

import asyncpg
import sqlalchemy.exc

from shared.kernel.errors import Problem, Unavailable

_BUSY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
    sqlalchemy.exc.TimeoutError,
    sqlalchemy.exc.DisconnectionError,
    ConnectionError,
    TimeoutError,
    socket.gaierror,
)


def unavailable(error: BaseException) -> bool:
    """Whether this is a database that is away, locked or full, so that the same request may succeed later."""
    return any(isinstance(link, _BUSY) or _lost(link) for link in _chain(error))


def unexpected(error: Exception) -> Problem:
    """What an exception that nobody handled is told as."""
    if unavailable(error):
        return Unavailable("the database does not answer in time; send the same request again")
    return Problem("")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = getattr(error, "orig", None) or error.__cause__


def _lost(error: BaseException) -> bool:
    """asyncpg and asyncio tell some lost connections by their text only."""
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error) or "closing" in str(error)
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return bool(error.connection_invalidated)
    return isinstance(error, OSError) and str(error).startswith("Multiple exceptions")
