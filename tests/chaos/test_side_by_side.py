"""Two schedulers and two dispatchers share the work."""

from collections.abc import Iterator

import pytest

from tests.chaos.ground import Ground
from tests.chaos.invariants import broken
from tests.chaos.stage import Stage, stage

pytestmark = pytest.mark.timeout(300)
DUE = 2_000


@pytest.fixture
def fast_stage(chaos_ground: Ground) -> Iterator[Stage]:
    with stage(chaos_ground, answer_seconds=0.01) as made:
        yield made


async def test_two_schedulers_and_two_dispatchers_send_each_reminder_once(fast_stage: Stage) -> None:
    await fast_stage.plant.ready(fast_stage.plant.start("scheduler"), fast_stage.plant.start("dispatcher"))

    batch = await fast_stage.due(DUE)
    await fast_stage.rest(batch)

    found = await fast_stage.evidence(batch)
    assert broken(found) == {}
    assert len({row["worker"] for row in found.attempts}) == 2, "one dispatcher did all the work"
