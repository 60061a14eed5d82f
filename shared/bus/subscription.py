"""A consumer on RabbitMQ. It outlives connections: each new one attaches it again on a channel of its own.

Its handlers run on when a connection ends. Their messages then come a second time, so what a handler does must bear
repetition; for a while up to twice `prefetch` handlers may run.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from shared.bus.link import SET_UP_TIMEOUT, Link, first_of, only_own_cancellation, pause_after, quietly, watch
from shared.bus.port import Delivery, Handler, Settlement
from shared.bus.running import Running

log = structlog.get_logger(__name__)


class RabbitSubscription:
    """`declare` runs on each new channel, so that a queue that was deleted is there again before it is consumed."""

    def __init__(
        self,
        link: Link,
        queue: str,
        handler: Handler,
        *,
        prefetch: int,
        drain_timeout: float,
        declare: Callable[[AbstractChannel], Awaitable[object]],
    ) -> None:
        self._link = link
        self._queue = queue
        self._prefetch = prefetch
        self._drain_timeout = drain_timeout
        self._declare = declare
        self._running = Running(queue, handler)
        self.cancelled = False
        self._detach = asyncio.Event()
        self.attached = False
        self._task = asyncio.create_task(self._keep_attached(), name=f"bus subscription {queue}")

    async def cancel(self) -> None:
        if self.cancelled:
            return
        self.cancelled = True
        self._detach.set()
        if not self.attached:
            self._task.cancel()
        await asyncio.wait([self._task])
        await self._running.drain(self._drain_timeout)  # handlers that outlived their connection

    async def _keep_attached(self) -> None:
        """Each queue on its own: one that does not answer must not keep the others from being consumed."""
        failures = 0
        while not self.cancelled:
            connection = await self._link.connected()
            try:
                await self._consume_on(connection)
                failures = 0
            except Exception as error:  # noqa: BLE001 - aiormq raises many kinds, bare Exception among them
                failures += 1
                log.warning("cannot consume; trying again", queue=self._queue, failures=failures, error=repr(error))
            if not self.cancelled:
                await asyncio.sleep(pause_after(failures))

    async def _consume_on(self, connection: AbstractConnection) -> None:
        """Returns when it was cancelled or the broker took the consumer, the channel or the connection away."""
        channel = connection.channel(publisher_confirms=False)
        try:
            with only_own_cancellation():
                async with asyncio.timeout(SET_UP_TIMEOUT):
                    consumer_tag, lost = await self._attach(channel)
            self.attached = True
            await first_of(lost, self._detach)
            self.attached = False
            if self.cancelled:
                await quietly((await channel.get_underlay_channel()).basic_cancel(consumer_tag))
                await self._running.drain(self._drain_timeout)
        finally:
            self.attached = False
            if channel.is_initialized:
                await quietly(channel.close())

    async def _attach(self, channel: AbstractChannel) -> tuple[str, asyncio.Event]:
        await channel.initialize()
        lost = await watch(channel)
        await self._declare(channel)
        await channel.set_qos(prefetch_count=self._prefetch)
        queue = await channel.get_queue(self._queue, ensure=False)
        return await queue.consume(self._on_message), lost

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
