"""The tasks in which handlers run. They belong to the bus, never to a channel: a library that cancels its callbacks
when a connection ends would cut a send in two.
"""

import asyncio

import structlog

from shared.bus.port import Delivery, Handler

log = structlog.get_logger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0
_LAST_WORD = 1.0


class Running:
    """The running handlers of one subscription."""

    def __init__(self, queue: str, handler: Handler) -> None:
        self._queue = queue
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, delivery: Delivery, tries: int) -> asyncio.Task[None]:
        """`tries`: how often the message came back before."""
        task = asyncio.create_task(self._run(delivery, tries), name=f"handler {self._queue}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self, timeout: float) -> None:
        """Waits for all handlers, then cancels those that are left and gives them a last moment."""
        await self._wait(timeout)
        if self._tasks:
            log.warning("handlers cancelled: they did not finish in time", queue=self._queue, left=len(self._tasks))
            for task in self._tasks:
                task.cancel()
            await self._wait(_LAST_WORD)

    async def _wait(self, timeout: float) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout)

    async def _run(self, delivery: Delivery, tries: int) -> None:
        try:
            await self._handler(delivery)
        except Exception:
            log.exception("handler failed", queue=self._queue, tries=tries, settled=delivery.settled)
        if delivery.settled:
            return
        log.error("message left unsettled by its handler; requeued", queue=self._queue, tries=tries)
        # The pause holds one place of the prefetch: a broken dependency slows its queue down, and does not park
        # everything within a second.
        await asyncio.sleep(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries, 10)))
        if not delivery.settled:
            await delivery.requeue()
