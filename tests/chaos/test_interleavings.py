"""Pay, claim, send and crash in a thousand random orders; `make chaos` takes ten thousand."""

import random

import pytest

from tests.chaos.interleavings import Interleavings

pytestmark = pytest.mark.timeout(300)


async def test_no_hand_off_begins_after_the_2xx_whatever_the_order(database_dsn: str) -> None:
    tally = await Interleavings(database_dsn, random.Random()).run(1_000)

    assert tally.late == []
    assert tally.twice == 0
    assert tally.cases == 1_000
    assert min(tally.handed_over, tally.stopped, tally.gates_closed, tally.crashes) > 50, (
        f"hardly anything happened: {tally}"
    )
    assert tally.raced > 100


async def test_without_the_barrier_hand_offs_are_late(database_dsn: str) -> None:
    """So the harness would see it."""
    tally = await Interleavings(database_dsn, random.Random(), patience=0.0).run(500)

    assert len(tally.late) > 5
