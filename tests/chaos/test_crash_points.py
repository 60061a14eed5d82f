"""Each process kills itself at each step of claim, send, record, publish and settle; a fresh one takes over."""

import asyncio

import pytest

from tests.chaos.invariants import broken
from tests.chaos.plant import SERVICES
from tests.chaos.stage import Stage

pytestmark = pytest.mark.timeout(300)
DUE, PAID, PAID_WITHIN = 60, 20, 3.0
POINTS = {
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
assert tuple(POINTS) == SERVICES


@pytest.mark.parametrize(("service", "point"), [(name, point) for name, points in POINTS.items() for point in points])
async def test_a_process_that_dies_at_any_step_loses_and_doubles_nothing(
    chaos_stage: Stage, service: str, point: str
) -> None:
    plant = chaos_stage.plant
    for running in plant.running(service):
        plant.stop(running)
    if service == "scheduler":  # it passes its points at once, so what is due has to be there before it is
        batch = await chaos_stage.due(DUE)
        victim = plant.start(service, crash_at=point)
    else:
        victim = plant.start(service, crash_at=point)
        await plant.ready(victim)
        batch = await chaos_stage.due(DUE)
    paying = asyncio.create_task(chaos_stage.bank.pay(batch.first(PAID), PAID_WITHIN))

    await plant.died(victim)
    await plant.ready(plant.start(service))
    await paying
    await chaos_stage.rest(batch)

    assert broken(await chaos_stage.evidence(batch)) == {}
