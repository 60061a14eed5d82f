"""The bus on RabbitMQ 3.10 to 4.x.

Publishing and consuming have a connection each, because a broker short of memory stops reading from connections that
publish: acknowledgements must still get through. Losing the broker with all its data loses nothing but time: both
links declare everything anew, subscriptions resume, and the sweeper publishes again.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.exceptions import DeliveryError, PublishError

from shared.bus.link import Link, only_own_cancellation, watch
from shared.bus.parked import ParkedQueue
from shared.bus.port import Handler, ParkedMessage, PublishFailed
from shared.bus.subscription import RabbitSubscription
from shared.bus.topology import Topology

_DEFAULT = Topology()


class RabbitBus:
    """A `Bus` and a `ParkingLot`. `prefix` goes before every name on the broker (for several buses side by side)."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "",
        topology: Topology = _DEFAULT,
        drain_timeout: float = 10.0,
    ) -> None:
        self._topology = replace(topology, prefix=prefix or topology.prefix)
        self._drain_timeout = drain_timeout
        self._exchange: AbstractExchange | None = None
        self._subscriptions: list[RabbitSubscription] = []
        self._publishing = Link(url, "publish", self._open_publisher)
        self._consuming = Link(url, "consume")

    async def start(self) -> None:
        await asyncio.gather(self._publishing.start(), self._consuming.start())

    def ready(self) -> bool:
        connected = self._publishing.connection is not None and self._consuming.connection is not None
        return connected and all(one.attached or one.cancelled for one in self._subscriptions)

    async def publish(self, queue: str, body: bytes, *, timeout: float = 5.0) -> None:
        try:
            with only_own_cancellation():
                async with asyncio.timeout(timeout):
                    await self._publish(self._topology.queue(queue), body)
        except PublishError as error:
            self._publishing.renew(f"{queue}: the broker has no such queue")
            raise PublishFailed(f"{queue}: the broker has no such queue; it is being declared again") from error
        except DeliveryError as error:
            raise PublishFailed(f"{queue}: the broker refused the message, the queue is full") from error
        except TimeoutError as error:
            raise PublishFailed(f"{queue}: no confirmation within {timeout} s; it may have arrived") from error
        except PublishFailed:
            raise
        except Exception as error:  # aiormq raises many kinds, bare Exception among them
            raise PublishFailed(f"{queue}: {error!r}; it may have arrived") from error

    async def _publish(self, routing_key: str, body: bytes) -> None:
        connection, exchange = self._publishing.connection, self._exchange
        if connection is None or connection.transport is None or exchange is None:
            raise PublishFailed(f"{routing_key}: not connected to the broker")
        # While the broker blocks publishers, wait here: what is written now would pile up in the socket and arrive
        # long after its caller has given up.
        await connection.transport.ready()
        message = aio_pika.Message(
            body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=uuid4().hex,  # fresh each time: aiormq finds a returned message by it
        )
        await exchange.publish(message, routing_key, mandatory=True)

    async def consume(self, queue: str, handler: Handler, *, prefetch: int) -> RabbitSubscription:
        if prefetch < 1:
            raise ValueError(f"prefetch {prefetch}: at least 1")
        subscription = RabbitSubscription(
            self._consuming,
            self._topology.queue(queue),
            handler,
            prefetch=prefetch,
            drain_timeout=self._drain_timeout,
            declare=self._declare,
        )
        self._subscriptions = [one for one in self._subscriptions if not one.cancelled] + [subscription]
        return subscription

    async def close(self) -> None:
        await asyncio.gather(*(subscription.cancel() for subscription in self._subscriptions))
        self._subscriptions.clear()
        await asyncio.gather(self._consuming.close(), self._publishing.close())

    async def browse(self, limit: int = 100) -> list[ParkedMessage]:
        return await self._parked().browse(limit)

    async def redrive(self, limit: int = 100) -> int:
        return await self._parked().redrive(limit, self.publish)

    def _parked(self) -> ParkedQueue:
        connection = self._consuming.connection
        if connection is None:
            raise ConnectionError("not connected to the broker; await start() first")
        return ParkedQueue(connection, self._topology)

    async def _open_publisher(self, connection: AbstractConnection) -> asyncio.Event:
        channel = connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.initialize()
        self._exchange = await self._declare(channel)
        return await watch(channel)

    async def _declare(self, channel: AbstractChannel) -> AbstractExchange:
        return await declare(channel, self._topology)


async def declare(channel: AbstractChannel, topology: Topology) -> AbstractExchange:
    """Parking first, so that no work queue is ever without it."""
    parking = await channel.declare_exchange(topology.parked_exchange, aio_pika.ExchangeType.FANOUT, durable=True)
    await _declare_queue(channel, topology.parked_queue, topology.parked_arguments(), parking)
    dispatch = await channel.declare_exchange(topology.exchange, aio_pika.ExchangeType.DIRECT, durable=True)
    for name in topology.work_queues():
        await _declare_queue(channel, name, topology.work_arguments(), dispatch)
    return dispatch


async def _declare_queue(
    channel: AbstractChannel, name: str, arguments: Mapping[str, str | int], exchange: AbstractExchange
) -> None:
    queue = await channel.declare_queue(name, durable=True, arguments=dict(arguments))
    await queue.bind(exchange, routing_key=name)
