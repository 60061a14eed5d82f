"""The scheduler's loops. Each does its work in small committed pieces, so that it may die anywhere; none dies of an
error.

What must stay true: any number of schedulers side by side run the same loops; what one has taken the others skip.
"""

import asyncio
from datetime import timedelta

from services.scheduler.handlers.learn_channels import learn_channels
from services.scheduler.handlers.plan_anew import plan_waiting
from services.scheduler.handlers.queue_due import publish, take_due
from services.scheduler.handlers.retime_late import retime_late
from services.scheduler.handlers.sweep import give_up_lost, keep_house, publish_again, resolve_old
from services.scheduler.loop import Loop
from services.scheduler.metrics import DUE_LAG, QUEUE_DEPTH, QUEUED, UNCERTAIN
from services.scheduler.settings import SchedulerSettings
from services.scheduler.store.flows import FlowVersions
from services.scheduler.store.housekeeping import depth
from shared.bus.port import Bus
from shared.db.engine import Database

PLANS_A_BATCH = 50
MEASURE_EVERY = 5.0


class Worker:
    """The loops of one process."""

    def __init__(self, *loops: Loop, drain: float = 10.0) -> None:
        self._loops = {loop.name: loop for loop in loops}
        self._tasks: list[asyncio.Task[None]] = []
        self._drain = drain

    def start(self) -> None:
        self._tasks = [asyncio.create_task(loop.run(), name=f"scheduler.{loop.name}") for loop in self._loops.values()]

    def wake(self) -> None:
        """Something may be due, late or to be planned now."""
        for loop in self._loops.values():
            loop.wake()

    async def stop(self) -> None:
        """Lets each loop end its piece of work; what takes longer than the drain is cancelled, and its transaction
        with it."""
        for loop in self._loops.values():
            loop.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._tasks = []


def make_worker(settings: SchedulerSettings, db: Database, bus: Bus, flows: FlowVersions) -> Worker:
    batch, older = settings.due_batch, timedelta(seconds=settings.republish_after)

    async def due() -> bool:
        if not bus.ready():
            return False  # queueing what cannot be published would only make it wait for the sweeper
        taken = await take_due(db, flows, limit=batch, max_queued=settings.max_queued)
        QUEUED.inc(len(taken.to_publish))
        await publish(bus, taken.to_publish)
        return taken.moved > 0

    async def late() -> bool:
        moved = await retime_late(db, flows, batch)
        if moved:
            queueing.wake()
        return moved > 0

    async def replan() -> bool:
        planned = await plan_waiting(db, flows, PLANS_A_BATCH)
        if planned:
            queueing.wake()
        return planned > 0

    async def sweep() -> bool:
        rounds = (
            await publish_again(db, bus, older, batch),
            await give_up_lost(db, batch),
            await resolve_old(db, flows, batch),
            await keep_house(db, batch),
        )
        return max(rounds) >= batch

    async def measure() -> bool:
        async with db.connection() as connection:
            found = await depth(connection)
            await learn_channels(connection)
        QUEUE_DEPTH.set(found.queued)
        UNCERTAIN.set(found.uncertain)
        DUE_LAG.set(found.lag)
        return False

    queueing = Loop("due", due, settings.due_poll)
    return Worker(
        queueing,
        Loop("late", late, settings.due_poll),
        Loop("replan", replan, settings.due_poll),
        Loop("sweep", sweep, settings.sweep_poll),
        Loop("measure", measure, MEASURE_EVERY),
    )
