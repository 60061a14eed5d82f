"""No transfer is ever booked on the wrong invoice by itself, and nine in ten that say enough are booked."""

import os
from collections import Counter

from shared.db.engine import Database
from tests.precision.measure import book, count, lay
from tests.precision.oracle import Oracle
from tests.precision.world import MIX, make

SIZE = 100_000 if os.environ.get("FULL", "0") not in ("", "0") else 5_000


async def test_nothing_is_booked_wrongly_and_nine_in_ten_with_enough_evidence_are_booked(database_dsn: str) -> None:
    world = make(SIZE)
    owning = Database(database_dsn, pool_size=1)
    try:
        async with owning.connection() as owner:
            await lay(owner, world)
            await book(database_dsn, world.transfers)
            counted = await count(owner, world)
    finally:
        await owning.close()
    assert counted.wrong == ()
    assert counted.recall >= 0.9, counted


def test_the_mix_is_as_it_is_said() -> None:
    world = make(2_000)
    assert Counter(transfer.sort for transfer in world.transfers) == {sort: 20 * share for sort, share in MIX.items()}


def test_the_oracle_finds_enough_in_most_and_never_in_what_is_foreign() -> None:
    world = make(2_000)
    oracle = Oracle(world)
    enough = [transfer for transfer in world.transfers if oracle.enough(transfer)]
    assert 0.75 < len(enough) / len(world.transfers) < 0.95
    assert all(transfer.meant is not None for transfer in enough)
