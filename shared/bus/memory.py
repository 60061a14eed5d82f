"""The bus of the embedded mode: one process, one event loop, the broker's semantics, nothing kept over a restart
(the sweeper publishes again what a stopped process had queued).

Everything but handlers and `cancel` runs without awaiting, so each change of a queue is atomic.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.bus.port import Delivery, Handler, ParkedMessage, PublishFailed, Settlement
from shared.bus.running import Running
from shared.bus.topology import Topology
from shared.messages import QUEUES


@dataclass(slots=True)
class _Message:
    body: bytes
    returns: int = 0


class _Queue:
    def __init__(self, name: str, topology: Topology, parked: deque[ParkedMessage]) -> None:
        self.name = name
        self.waiting: deque[_Message] = deque()
        self.consumers: deque[MemorySubscription] = deque()
        self._topology = topology
        self._parked = parked

    def put(self, message: _Message) -> None:
        if len(self.waiting) >= self._topology.max_length:
            raise PublishFailed(f"queue {self.name} is full ({self._topology.max_length} messages)")
        self.waiting.append(message)
        self.deliver()

    def take_back(self, message: _Message) -> None:
        message.returns += 1
        if message.returns > self._topology.delivery_limit:
            self.park(message, "delivery_limit")
        else:
            self.waiting.appendleft(message)

    def park(self, message: _Message, reason: str) -> None:
        self._parked.append(ParkedMessage(self.name, reason, datetime.now(UTC), message.body))

    def deliver(self) -> None:
        """Round robin over the consumers with room."""
        while self.waiting:
            free = next((consumer for consumer in self.consumers if consumer.has_room()), None)
            if free is None:
                return
            self.consumers.remove(free)
            self.consumers.append(free)
            free.handle(self.waiting.popleft())


class MemorySubscription:
    def __init__(self, queue: _Queue, handler: Handler, prefetch: int, drain_timeout: float) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._drain_timeout = drain_timeout
        self._running = Running(queue.name, handler)
        self._unsettled: dict[int, _Message] = {}

    def has_room(self) -> bool:
        return len(self._unsettled) < self._prefetch

    def handle(self, message: _Message) -> None:
        self._unsettled[id(message)] = message

        async def settle(how: Settlement) -> None:
            self._settle(message, how)

        self._running.start(Delivery(message.body, message.returns > 0, settle), message.returns)

    async def cancel(self) -> None:
        if self not in self._queue.consumers:
            return
        self._queue.consumers.remove(self)
        await self._running.drain(self._drain_timeout)
        for message in list(self._unsettled.values()):
            self._settle(message, Settlement.REQUEUE)

    def _settle(self, message: _Message, how: Settlement) -> None:
        if self._unsettled.pop(id(message), None) is None:
            return  # the subscription is gone and the message was given to another
        match how:
            case Settlement.ACK:
                pass
            case Settlement.REJECT:
                self._queue.park(message, "rejected")
            case Settlement.REQUEUE:
                self._queue.take_back(message)
        self._queue.deliver()


_DEFAULT = Topology()


class MemoryBus:
    """A `Bus` and a `ParkingLot` in this process."""

    def __init__(self, topology: Topology = _DEFAULT, *, drain_timeout: float = 10.0) -> None:
        self._drain_timeout = drain_timeout
        self._parked: deque[ParkedMessage] = deque(maxlen=topology.parked_max_length)
        self._queues = {name: _Queue(name, topology, self._parked) for name in QUEUES}
        self._up = False

    async def start(self) -> None:
        self._up = True

    def ready(self) -> bool:
        return self._up

    async def publish(self, queue: str, body: bytes, *, timeout: float = 5.0) -> None:
        if not self._up:
            raise PublishFailed("the bus is not started; await start() first")
        if queue not in self._queues:
            raise PublishFailed(f"queue {queue!r} is not one of {', '.join(self._queues)}")
        self._queues[queue].put(_Message(body))

    async def consume(self, queue: str, handler: Handler, *, prefetch: int) -> MemorySubscription:
        if queue not in self._queues:
            raise ValueError(f"queue {queue!r} is not one of {', '.join(self._queues)}; see shared/messages.py")
        if prefetch < 1:
            raise ValueError(f"prefetch {prefetch}: at least 1")
        place = self._queues[queue]
        subscription = MemorySubscription(place, handler, prefetch, self._drain_timeout)
        place.consumers.append(subscription)
        place.deliver()
        return subscription

    async def close(self) -> None:
        self._up = False
        consumers = [consumer for queue in self._queues.values() for consumer in queue.consumers]
        await asyncio.gather(*(consumer.cancel() for consumer in consumers))

    async def browse(self, limit: int = 100) -> list[ParkedMessage]:
        return list(self._parked)[:limit]

    async def redrive(self, limit: int = 100) -> int:
        count = min(limit, len(self._parked))
        for _ in range(count):
            message = self._parked[0]
            await self.publish(message.queue, message.body)
            self._parked.popleft()
        return count
