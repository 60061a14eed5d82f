"""What a service may expect of the bus. Two implementations, one contract suite (`tests/contract/test_bus.py`).

Delivery is at least once and unordered. `publish` returns only after the bus has taken the message; every other
outcome, the unknown one too, is `PublishFailed`, and the sweeper publishes again. A delivery is settled exactly once;
what is not settled when its subscription or connection ends comes back with `redelivered=True`. A message that came
back `delivery_limit` times is parked, as is one that was rejected. Nothing is ever dropped without being parked.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class PublishFailed(Exception):
    """The bus did not confirm the message. It may have arrived all the same: never assume that it has not."""


class AlreadySettled(RuntimeError):
    """A handler settled one delivery twice; that is a bug of the handler."""


class Settlement(StrEnum):
    ACK = "ack"
    REJECT = "reject"
    REQUEUE = "requeue"


@dataclass(slots=True)
class Delivery:
    """One message taken from a queue; its handler calls one of `ack`, `reject`, `requeue`, once.

    On a connection that is gone all three do nothing: the broker has taken the message back already.
    """

    body: bytes
    redelivered: bool
    settle: Callable[[Settlement], Awaitable[None]]
    settled: bool = False

    async def ack(self) -> None:
        """Done; forget it."""
        await self._settle_once(Settlement.ACK)

    async def reject(self) -> None:
        """Can never be handled: park it."""
        await self._settle_once(Settlement.REJECT)

    async def requeue(self) -> None:
        """Not now: deliver it again at once, here or elsewhere, at most `delivery_limit` times in all."""
        await self._settle_once(Settlement.REQUEUE)

    async def _settle_once(self, how: Settlement) -> None:
        if self.settled:
            raise AlreadySettled(f"{how} on a delivery that was settled before; settle each delivery once")
        self.settled = True
        await self.settle(how)


Handler = Callable[[Delivery], Awaitable[None]]
"""Runs in a task that the bus owns; a lost connection does not cancel it. It settles before it returns: one that
raises or returns without settling is logged, and its message is requeued after a pause that grows with each try."""


class Subscription(Protocol):
    async def cancel(self) -> None:
        """No new deliveries from the call on; waits for running handlers up to the bus's `drain_timeout`, then cancels
        them. What they left unsettled is delivered again, to whoever consumes. A second call does nothing."""


@dataclass(frozen=True, slots=True)
class ParkedMessage:
    queue: str
    """Where it came from, and goes back to."""
    reason: str
    """`rejected` or `delivery_limit`."""
    parked_at: datetime | None
    body: bytes


class Bus(Protocol):
    async def start(self) -> None:
        """Connects, declares, and returns when the bus is ready, however long that takes. Cancel it to give up."""

    async def publish(self, queue: str, body: bytes, *, timeout: float = 5.0) -> None:
        """Returns when the bus has stored the message; else `PublishFailed` within `timeout` seconds: not connected,
        queue full or unknown, refused, no answer. Safe to call from many tasks; 100 in flight are enough."""

    async def consume(self, queue: str, handler: Handler, *, prefetch: int) -> Subscription:
        """At most `prefetch` unsettled deliveries at a time. Survives reconnects."""

    def ready(self) -> bool:
        """Connected, for publishing and for consuming."""

    async def close(self) -> None:
        """Cancels the subscriptions (drained, as above), then disconnects. A second call does nothing."""


class ParkingLot(Protocol):
    """The operator's side; every bus has it."""

    async def browse(self, limit: int = 100) -> list[ParkedMessage]:
        """The oldest parked messages; they stay parked."""

    async def redrive(self, limit: int = 100) -> int:
        """Sends the oldest parked messages back to their queues, as new messages, and says how many. `PublishFailed`
        stops it; each message is then parked or back (or, after a crash, both), never lost."""
