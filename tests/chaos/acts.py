"""What happens to a plant at work. Each act ends at rest and answers the evidence; what follows from it is in
`invariants.py`."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tests.chaos.evidence import Evidence
from tests.chaos.stage import Stage

POINTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "scheduler": ("before_queue_commit", "after_queue_commit", "amid_publish", "after_publish"),
        "dispatcher": (
            "before_claim",
            "after_claim",
            "before_ack",
            "after_handoff",
            "after_send",
            "before_record",
            "after_record",
        ),
        "payments": ("before_payment_commit", "after_payment_commit", "before_payment_answer"),
    }
)


@dataclass(frozen=True, slots=True)
class Work:
    """So many due invoices, of which some are paid, one after the other, within so many seconds."""

    due: int
    paid: int = 0
    within: float = 3.0


async def die_at(stage: Stage, service: str, point: str, work: Work, *, fresh: bool = False) -> Evidence:
    """A process kills itself at a step; a new one takes over (`fresh`: which shares no imports)."""
    plant = stage.plant
    for running in plant.running(service):
        plant.stop(running)
    if service == "scheduler":  # it passes its points at once, so what is due has to be there before it is
        batch = await stage.due(work.due)
        victim = plant.start(service, crash_at=point)
    else:
        victim = plant.start(service, crash_at=point)
        await plant.ready(victim)
        batch = await stage.due(work.due)
    async with asyncio.TaskGroup() as world:
        world.create_task(stage.bank.pay(batch.some(work.paid), work.within))
        await plant.died(victim)
        await plant.ready(plant.start(service, fresh=fresh))
    await stage.rest(batch)
    return await stage.evidence(batch)


async def share(stage: Stage, work: Work) -> Evidence:
    """Nothing happens: all that run share the work."""
    batch = await stage.due(work.due)
    await stage.bank.pay(batch.some(work.paid), work.within)
    await stage.rest(batch)
    return await stage.evidence(batch)


async def kill_at_random(stage: Stage, work: Work, kills: int, chance: random.Random) -> Evidence:
    """SIGKILL of any process at any time, and a new one in its place."""
    batch = await stage.due(work.due)
    services = [one for one in stage.plant.processes if one.name != "provider"]
    async with asyncio.TaskGroup() as world:
        world.create_task(stage.bank.pay(batch.some(work.paid), work.within))
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0, 2 * work.within / kills))  # when it strikes
            victim = chance.choice([one for one in services if one.runs])
            stage.plant.kill(victim)
            services.append(stage.plant.start(victim.name))
        await stage.plant.ready(*(one for one in services if one.runs))
    await stage.rest(batch)
    return await stage.evidence(batch)


async def kill_broker(stage: Stage, work: Work) -> list[Evidence]:
    """Under load, and with more that becomes due while it is away."""
    node = stage.ground.node
    assert node is not None
    await stage.queues_are_on_disk()
    batch = await stage.due(work.due)
    async with asyncio.TaskGroup() as world:
        world.create_task(stage.bank.pay(batch.some(work.paid), work.within))
        await stage.handed_over(batch, work.due // 10)
        await stage.ground.beside(node.kill)
        late = await stage.due(work.due)
        await stage.ground.beside(node.start)
    for one in (batch, late):
        await stage.rest(one)
    return [await stage.evidence(one) for one in (batch, late)]


async def crash_database(stage: Stage, work: Work) -> Evidence:
    """Twice, under load."""
    batch = await stage.due(work.due)
    async with asyncio.TaskGroup() as world:
        world.create_task(stage.bank.pay(batch.some(work.paid), work.within))
        for tenths in (1, 4):
            await stage.handed_over(batch, work.due * tenths // 10)
            await stage.ground.crash_database()
    await stage.rest(batch)
    return await stage.evidence(batch, all_workers_cut_off=True)
