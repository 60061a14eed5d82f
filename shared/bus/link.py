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
from weakref import WeakSet

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection

log = structlog.get_logger(__name__)

HEARTBEAT = 10
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
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


class Link:
    """`set_up` gets each new connection, within `timeout` seconds, and hands channels it depends on to `watch`."""

    def __init__(
        self, url: str, name: str, set_up: Callable[[AbstractConnection], Awaitable[None]], *, timeout: float = 10.0
    ) -> None:
        self._url = url
        self._name = name
        self._set_up = set_up
        self._timeout = timeout
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self._ignored: WeakSet[AbstractChannel] = WeakSet()
        self._task: asyncio.Task[None] | None = None
        self.connection: AbstractConnection | None = None

    @property
    def is_up(self) -> bool:
        return self._up.is_set() and not self._lost.is_set()

    async def start(self) -> None:
        """Returns when the link is up for the first time."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_up(), name=f"bus link {self._name}")
        await self._up.wait()

    async def close(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    def renew(self, reason: str) -> None:
        """Throws the connection away and sets up a new one: something on the broker is not as declared."""
        log.warning("bus link renewed", link=self._name, reason=reason)
        self._lost.set()

    async def watch(self, channel: AbstractChannel) -> None:
        """The link counts as lost when this channel closes or the broker cancels its consumer (queue deleted)."""
        lost = self._lost

        def end(*_: Any) -> None:
            if channel not in self._ignored:
                lost.set()

        channel.close_callbacks.add(end)
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(end)

    def forget(self, channel: AbstractChannel) -> None:
        """This channel is about to be closed on purpose."""
        self._ignored.add(channel)

    async def _keep_up(self) -> None:
        failures = 0
        while True:
            try:
                await self._connect()
                failures = 0
                log.info("bus link up", link=self._name)
                await self._lost.wait()
                log.warning("bus link lost", link=self._name)
            except Exception as error:  # noqa: BLE001 - whatever it was, try again
                failures += 1
                log.warning("bus link not up; trying again", link=self._name, failures=failures, error=repr(error))
            finally:
                self._up.clear()
                await self._discard()
            await asyncio.sleep(_pause(failures))

    async def _connect(self) -> None:
        self._lost = lost = asyncio.Event()
        with only_own_cancellation():
            async with asyncio.timeout(self._timeout):
                self.connection = await aio_pika.connect(
                    self._url,
                    heartbeat=HEARTBEAT,
                    timeout=self._timeout,
                    client_properties={"connection_name": f"dunnock {self._name}"},
                )
                self.connection.close_callbacks.add(lambda *_: lost.set())
                await self._set_up(self.connection)
        self._up.set()

    async def _discard(self) -> None:
        connection, self.connection = self.connection, None
        if connection is None:
            return
        # Bounded, because a broker under a memory alarm never answers the goodbye.
        with suppress(Exception), only_own_cancellation():
            await asyncio.wait_for(connection.close(), CLOSE_TIMEOUT)


def _pause(failures: int) -> float:
    """Capped, doubling, with jitter so that the processes of a deployment do not come back in step."""
    ceiling: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
    return ceiling * random.uniform(0.5, 1.0)
