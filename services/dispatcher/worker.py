"""What the dispatcher does by itself: the watch over its providers, two subscriptions, the recorder, the bounce
receiver. Stopping drains in the same order.

True here: after `stop` returns, everything that was claimed here has been sent or refused, and recorded.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from services.dispatcher.domain.ports import Channel
from services.dispatcher.handlers.claim_and_send import ClaimAndSend
from services.dispatcher.handlers.keep_watch import KeepWatch
from services.dispatcher.handlers.recorder import Recorder
from shared.bus.port import Bus, Subscription
from shared.messages import BULK, URGENT


class Receiver(Protocol):
    """Takes bounce mails while it is open."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Worker:
    def __init__(
        self,
        bus: Bus,
        claim_and_send: ClaimAndSend,
        recorder: Recorder,
        channels: Sequence[Channel],
        bounces: Receiver | None,
        prefetch: int,
        watch: KeepWatch,
    ) -> None:
        self._bus = bus
        self._claim_and_send = claim_and_send
        self._recorder = recorder
        self._channels = channels
        self._bounces = bounces
        self._prefetch = prefetch
        self._subscriptions: list[Subscription] = []
        self._watch = watch
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        if self._bounces:
            await self._bounces.start()
        await self._watch.begin()
        self._tasks = [asyncio.ensure_future(work) for work in (self._recorder.run(), self._watch.run())]
        for queue in (URGENT, BULK):
            self._subscriptions.append(await self._bus.consume(queue, self._claim_and_send, prefetch=self._prefetch))

    async def stop(self) -> None:
        await asyncio.gather(*(subscription.cancel() for subscription in self._subscriptions))
        await self._claim_and_send.drained()
        await self._recorder.drained()
        for task in self._tasks:
            task.cancel()
        if self._bounces:
            await self._bounces.close()
        await self._watch.close()
        for channel in self._channels:
            await channel.close()
