"""Two schedulers and two dispatchers share the work, in peace and under kills."""

import random
from collections.abc import Iterator

import pytest

from tests.chaos.acts import Work, kill_at_random, share
from tests.chaos.ground import Ground
from tests.chaos.invariants import broken
from tests.chaos.plant import SERVICES
from tests.chaos.stage import Stage, stage

pytestmark = pytest.mark.timeout(300)
TWICE = (*SERVICES, "scheduler", "dispatcher")


@pytest.fixture(scope="module")
def wide_stage(chaos_ground: Ground) -> Iterator[Stage]:
    with stage(chaos_ground, services=TWICE, answer_seconds=0.01) as made:
        yield made


async def test_two_schedulers_and_two_dispatchers_send_each_reminder_once(wide_stage: Stage) -> None:
    found = await share(wide_stage, Work(due=1_000, paid=50))

    assert broken(found) == {}
    assert len({row["worker"].rpartition(".")[0] for row in found.attempts}) == 2, "one dispatcher did all the work"


async def test_processes_killed_at_random_lose_and_double_nothing(wide_stage: Stage) -> None:
    assert broken(await kill_at_random(wide_stage, Work(due=240, paid=90), kills=4, chance=random.Random())) == {}
