"""A dispatcher that freezes past its lease wakes into a world that went on without it: what it held was given up, and paid."""

import asyncio
import os
import signal
import time

import pytest

from tests.chaos.ground import connected
from tests.chaos.invariants import broken
from tests.chaos.plant import SLOW
from tests.chaos.seed import Batch
from tests.chaos.stage import Stage

pytestmark = pytest.mark.timeout(300)
HELD = "SELECT count(*) FROM attempt WHERE invoice_id = ANY ($1) AND state = 'started'"
GIVEN_UP = "SELECT DISTINCT invoice_id FROM attempt WHERE invoice_id = ANY ($1) AND state = 'unknown'"


async def test_a_dispatcher_frozen_past_its_lease_hands_nothing_over_when_it_wakes(chaos_stage: Stage) -> None:
    plant = chaos_stage.plant
    [frozen] = plant.running("dispatcher")
    batch = await chaos_stage.due(150)
    await chaos_stage.handed_over(batch, 20)
    await freeze_at_work(chaos_stage, frozen.pid, batch)
    await plant.ready(plant.start("dispatcher"))
    lost = await given_up(chaos_stage, batch)
    await chaos_stage.bank.pay({id_: batch.invoices[id_] for id_ in lost} | batch.some(30), 1.0)

    os.kill(frozen.pid, signal.SIGCONT)
    plant.stop(frozen)  # it ends what it had begun
    await chaos_stage.rest(batch)

    assert frozen.popen.returncode == 0, frozen.last_words()
    assert broken(await chaos_stage.evidence(batch, all_workers_cut_off=True)) == {}


async def freeze_at_work(stage: Stage, pid: int, batch: Batch) -> None:
    """While it holds something; else it goes on for a moment."""
    async with connected(stage.ground.database) as connection:
        while True:
            os.kill(pid, signal.SIGSTOP)
            if await connection.fetchval(HELD, list(batch.invoices)):
                return
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.02)


async def given_up(stage: Stage, batch: Batch) -> list[int]:
    """The invoices of what the frozen one held, once all of it was given up."""
    deadline = time.monotonic() + SLOW
    async with connected(stage.ground.database) as connection:
        while await connection.fetchval(HELD, list(batch.invoices)):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        lost = [row["invoice_id"] for row in await connection.fetch(GIVEN_UP, list(batch.invoices))]
    assert lost
    return lost
