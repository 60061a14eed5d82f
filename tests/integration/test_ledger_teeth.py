"""The tests of the ledger can fail: each mistake of `ledger_mutants` is noticed by the test that it names."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.integration import test_ledger_protocol as protocol
from tests.integration.ledger_database import connect
from tests.integration.ledger_mutants import MUTANTS, Mutant, break_ledger
from tests.integration.ledger_world import World


@pytest.fixture
async def world(shared_database_dsn: str) -> AsyncIterator[World]:
    db = await connect(shared_database_dsn)
    made = World(db)
    await made.begin()
    yield made
    await db.close()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what.replace(" ", "-"))
async def test_a_mistake_in_the_ledger_is_noticed(world: World, mutant: Mutant) -> None:
    await break_ledger(world.db, mutant)
    with pytest.raises((AssertionError, asyncpg.PostgresError)):
        await getattr(protocol, mutant.noticed_by)(world)
