"""The broker and the database die under load and come back; our processes live on."""

import asyncio

import pytest

from tests.chaos.invariants import broken
from tests.chaos.stage import Stage

pytestmark = pytest.mark.timeout(300)
DUE, PAID, PAID_WITHIN = 400, 100, 6.0


async def test_a_broker_that_is_killed_takes_nothing_with_it(chaos_stage: Stage) -> None:
    node = chaos_stage.ground.node
    if node is None:
        pytest.skip("needs a RabbitMQ that it may kill")
    await chaos_stage.queues_are_on_disk()

    batch = await chaos_stage.due(DUE)
    paying = asyncio.create_task(chaos_stage.bank.pay(batch.first(PAID), PAID_WITHIN))
    await chaos_stage.handed_over(batch, DUE // 10)
    await chaos_stage.ground.beside(node.kill)
    late = await chaos_stage.due(DUE)
    await chaos_stage.ground.beside(node.start)
    await paying

    for one in (batch, late):
        await chaos_stage.rest(one)
        assert broken(await chaos_stage.evidence(one)) == {}


async def test_a_database_that_crashes_loses_nothing_that_was_promised(chaos_stage: Stage) -> None:
    if not chaos_stage.ground.own_database:
        pytest.skip("needs a PostgreSQL that it may kill")
    batch = await chaos_stage.due(DUE)
    paying = asyncio.create_task(chaos_stage.bank.pay(batch.first(PAID), PAID_WITHIN))
    for tenths in (1, 4):
        await chaos_stage.handed_over(batch, DUE * tenths // 10)
        await chaos_stage.ground.crash_database()
    await paying
    await chaos_stage.rest(batch)

    assert broken(await chaos_stage.evidence(batch, all_workers_cut_off=True)) == {}
