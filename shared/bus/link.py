"""One connection to RabbitMQ that is set up again whenever it ends, for as long as the process runs.

aio-pika's robust connection is not used: it gives up when the first connect fails, and it restores what it remembers,
not what the broker has lost. Here every connect runs the whole `set_up` again: declare, bind, consume. So a broker
that came back empty is as good as one that never went away.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection

log = structlog.get_logger(__name__)

HEARTBEAT = 10
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
SET_UP_TIMEOUT = 10.0
CLOSE_TIMEOUT = 3.0


class LinkLost(Exception):
    """The connection ended while something waited for it."""


@contextmanager
def only_own_cancellation() -> Iterator[None]:
    """aiormq raises CancelledError into waiters when a connection ends, although nobody cancelled them. Let through, it
    would end the caller's loop in silence."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LinkLost("the connection to the broker ended") from error


async def quietly(step: Awaitable[object]) -> None:
    """A goodbye to something that may be gone already. Bounded, because a broker short of memory never answers it."""
    with suppress(Exception), only_own_cancellation():
        await asyncio.wait_for(step, CLOSE_TIMEOUT)


async def watch(channel: AbstractChannel) -> asyncio.Event:
    """Set when this open channel has closed or the broker has cancelled its consumer (queue deleted)."""
    lost = asyncio.Event()

    def end(*_: Any) -> None:
        lost.set()

    channel.close_callbacks.add(end)
    (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(end)
    return lost


async def first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


def pause_after(failures: int) -> float:
    """Capped, doubling, with jitter so that the processes of a deployment do not come back in step."""
    ceiling: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
    return ceiling * random.uniform(0.5, 1.0)


class Link:
    """`set_up` gets each new connection and answers with an event: set when the connection is of no more use."""

    def __init__(
        self, url: str, name: str, set_up: Callable[[AbstractConnection], Awaitable[asyncio.Event]] | None = None
    ) -> None:
        self._url = url
        self._name = name
        self._set_up = set_up
        self._renew = asyncio.Event()
        self._up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None

    @property
    def connection(self) -> AbstractConnection | None:
        """The one that is up, if one is."""
        return self._connection if self._up.is_set() else None

    async def connected(self) -> AbstractConnection:
        """Waits for a connection."""
        while (connection := self.connection) is None:
            await self._up.wait()
        return connection

    async def start(self) -> None:
        """Returns when the link is up for the first time."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_up(), name=f"bus link {self._name}")
        await self._up.wait()

    async def close(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None

    def renew(self, reason: str) -> None:
        """Throws the connection away and sets up a new one: something on the broker is not as declared."""
        log.warning("bus link renewed", link=self._name, reason=reason)
        self._up.clear()
        self._renew.set()

    async def _keep_up(self) -> None:
        failures = 0
        while True:
            try:
                ends = await self._connect()
                failures = 0
                log.info("bus link up", link=self._name)
                await first_of(*ends)
                log.warning("bus link lost", link=self._name)
            except Exception as error:  # noqa: BLE001 - whatever it was, try again
                failures += 1
                log.warning("bus link not up; trying again", link=self._name, failures=failures, error=repr(error))
            finally:
                self._up.clear()
                connection, self._connection = self._connection, None
                if connection is not None:
                    await quietly(connection.close())
            await asyncio.sleep(pause_after(failures))

    async def _connect(self) -> list[asyncio.Event]:
        """The events any of which ends this connection."""
        closed = asyncio.Event()
        self._renew.clear()
        with only_own_cancellation():
            async with asyncio.timeout(SET_UP_TIMEOUT):
                self._connection = await aio_pika.connect(
                    self._url,
                    heartbeat=HEARTBEAT,
                    timeout=SET_UP_TIMEOUT,
                    client_properties={"connection_name": f"dunnock {self._name}"},
                )
                self._connection.close_callbacks.add(lambda *_: self._end(closed))
                useless = [await self._set_up(self._connection)] if self._set_up else []
        self._up.set()
        return [closed, self._renew, *useless]

    def _end(self, closed: asyncio.Event) -> None:
        self._up.clear()
        closed.set()
