"""The broker and the database die under load and come back; our processes live on."""

import pytest

from tests.chaos.acts import Work, crash_database, kill_broker
from tests.chaos.invariants import broken
from tests.chaos.stage import Stage

pytestmark = pytest.mark.timeout(300)
WORK = Work(due=400, paid=100, within=6.0)


async def test_a_broker_that_is_killed_takes_nothing_with_it(chaos_stage: Stage) -> None:
    if chaos_stage.ground.node is None:
        pytest.skip("needs a RabbitMQ that it may kill")
    assert [broken(found) for found in await kill_broker(chaos_stage, WORK)] == [{}, {}]


async def test_a_database_that_crashes_loses_nothing_that_was_promised(chaos_stage: Stage) -> None:
    if not chaos_stage.ground.own_database:
        pytest.skip("needs a PostgreSQL that it may kill")
    assert broken(await crash_database(chaos_stage, WORK)) == {}
