"""The scheduler's loops. Each does its work in small committed pieces, so that it may die anywhere; none dies of an error.

What must stay true: any number of schedulers side by side run the same loops; what one has taken the others skip.
"""

import asyncio

from services.scheduler.handlers.queue_due import publish, take_due
from services.scheduler.loop import Loop
from services.scheduler.settings import SchedulerSettings
from services.scheduler.store.flows import FlowVersions
from shared.bus.port import Bus
from shared.db.engine import Database


class Worker:
    """The loops of one process."""

    def __init__(self, *loops: Loop, drain: float = 10.0) -> None:
        self._loops = {loop.name: loop for loop in loops}
        self._tasks: list[asyncio.Task[None]] = []
        self._drain = drain

    def start(self) -> None:
        self._tasks = [asyncio.create_task(loop.run(), name=f"scheduler.{loop.name}") for loop in self._loops.values()]

    def wake(self, name: str) -> None:
        self._loops[name].wake()

    async def stop(self) -> None:
        """Lets each loop end its piece of work; what takes longer than the drain is cancelled, and its transaction with it."""
        for loop in self._loops.values():
            loop.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._tasks = []


def make_worker(settings: SchedulerSettings, db: Database, bus: Bus, flows: FlowVersions) -> Worker:
    async def due() -> bool:
        if not bus.ready():
            return False  # queueing what cannot be published would only make it wait for the sweeper
        taken = await take_due(db, flows, limit=settings.due_batch, max_queued=settings.max_queued)
        await publish(bus, taken.to_publish)
        return taken.moved > 0

    return Worker(Loop("due", due, settings.due_poll))
