"""A consumer on RabbitMQ. It outlives connections: each new one attaches it again on a channel of its own.

Its handlers run on when a connection ends. Their messages then come a second time, so what a handler does must bear
repetition; for a while up to twice `prefetch` handlers may run.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from shared.bus.link import CLOSE_TIMEOUT, Link, only_own_cancellation
from shared.bus.port import Delivery, Handler, Settlement
from shared.bus.running import Running

log = structlog.get_logger(__name__)


class RabbitSubscription:
    def __init__(self, link: Link, queue: str, handler: Handler, prefetch: int, drain_timeout: float) -> None:
        self._link = link
        self._queue = queue
        self._prefetch = prefetch
        self._drain_timeout = drain_timeout
        self._running = Running(queue, handler)
        self._channel: AbstractChannel | None = None
        self._consumer_tag = ""
        self._attaching = asyncio.Lock()
        self.cancelled = False

    async def attach_now(self) -> None:
        """On the connection that is there; if there is none or it fails, the link attaches with its next one."""
        connection = self._link.connection
        if connection is None or not self._link.is_up:
            return
        try:
            with only_own_cancellation():
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self.attach(connection)
        except Exception as error:  # noqa: BLE001 - aiormq raises many kinds, bare Exception among them
            self._link.renew(f"{self._queue}: cannot consume: {error!r}")

    async def attach(self, connection: AbstractConnection) -> None:
        async with self._attaching:
            if self.cancelled:
                return
            channel = connection.channel(publisher_confirms=False)
            await channel.initialize()
            await self._link.watch(channel)
            await channel.set_qos(prefetch_count=self._prefetch)
            queue = await channel.get_queue(self._queue, ensure=False)
            self._channel = channel
            self._consumer_tag = await queue.consume(self._on_message)

    async def cancel(self) -> None:
        if self.cancelled:
            return
        self.cancelled = True
        async with self._attaching:
            channel, self._channel = self._channel, None
        if channel is not None:
            await _quietly(self._stop_consuming(channel))
        await self._running.drain(self._drain_timeout)
        if channel is not None:
            self._link.forget(channel)
            await _quietly(channel.close())

    async def _stop_consuming(self, channel: AbstractChannel) -> None:
        await (await channel.get_underlay_channel()).basic_cancel(self._consumer_tag)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        """Must not wait: aiormq cancels its callbacks when the channel closes."""
        if self.cancelled:
            return  # unsettled; goes back to the queue when the channel closes

        async def settle(how: Settlement) -> None:
            await _settle(message, how)

        returns = message.headers.get("x-delivery-count", 0)
        tries = returns if isinstance(returns, int) else 0
        self._running.start(Delivery(message.body, bool(message.redelivered), settle), tries)


async def _settle(message: AbstractIncomingMessage, how: Settlement) -> None:
    try:
        with only_own_cancellation():
            match how:
                case Settlement.ACK:
                    await message.ack()
                case Settlement.REJECT:
                    await message.reject(requeue=False)
                case Settlement.REQUEUE:
                    await message.nack(requeue=True)
    except Exception as error:  # noqa: BLE001 - nothing is lost: what the broker did not hear it delivers again
        log.info("settlement lost with its connection", how=how, error=repr(error))


async def _quietly(step: Awaitable[object]) -> None:
    """A goodbye to a connection that may be gone already."""
    with suppress(Exception), only_own_cancellation():
        await asyncio.wait_for(step, CLOSE_TIMEOUT)
