"""The operator's look into the parked queue. Messages are taken without acknowledgement on a channel of their own, so
whatever happens in between they are parked again when it closes.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime

from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from shared.bus.port import ParkedMessage
from shared.bus.topology import Topology


class ParkedQueue:
    def __init__(self, connection: AbstractConnection, topology: Topology) -> None:
        self._connection = connection
        self._topology = topology

    async def browse(self, limit: int) -> list[ParkedMessage]:
        async with aclosing(self._take(limit)) as messages:
            return [self._read(message) async for message in messages]

    async def redrive(self, limit: int, publish: Callable[[str, bytes], Awaitable[None]]) -> int:
        count = 0
        async with aclosing(self._take(limit)) as messages:
            async for message in messages:
                await publish(self._read(message).queue, message.body)
                await message.ack()  # after the confirm: a crash between the two leaves it in both places, not in none
                count += 1
        return count

    async def _take(self, limit: int) -> AsyncGenerator[AbstractIncomingMessage, None]:
        async with self._connection.channel(publisher_confirms=False) as channel:
            queue = await channel.get_queue(self._topology.parked_queue, ensure=False)
            left = limit
            while left > 0 and (message := await queue.get(fail=False, timeout=5)) is not None:
                # What is parked anew meanwhile waits for the next call, else a redrive of poison would never end.
                left = min(left - 1, message.message_count or 0)
                yield message

    def _read(self, message: AbstractIncomingMessage) -> ParkedMessage:
        """The routing key is still that of the queue it came from; `x-death` is the broker's own note."""
        reason = message.headers.get("x-first-death-reason")
        return ParkedMessage(
            self._topology.name_of(message.routing_key or ""), str(reason), _parked_at(message), message.body
        )


def _parked_at(message: AbstractIncomingMessage) -> datetime | None:
    deaths = message.headers.get("x-death")
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    time = latest.get("time") if isinstance(latest, dict) else None
    return time if isinstance(time, datetime) else None
