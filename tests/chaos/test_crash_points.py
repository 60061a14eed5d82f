"""Each process kills itself at each step of claim, send, record, publish and settle; a fresh one takes over."""

import pytest

from tests.chaos.acts import POINTS, Work, die_at
from tests.chaos.invariants import broken, doubled
from tests.chaos.stage import Stage

pytestmark = pytest.mark.timeout(300)
WORK = Work(due=60, paid=20)


@pytest.mark.parametrize(("service", "point"), [(name, point) for name, points in POINTS.items() for point in points])
async def test_a_process_that_dies_at_any_step_loses_and_doubles_nothing(
    chaos_stage: Stage, service: str, point: str
) -> None:
    first = point == POINTS[service][0]
    assert broken(await die_at(chaos_stage, service, point, WORK, fresh=first)) == {}


async def test_what_nobody_can_know_rests_after_a_day_and_goes_no_second_time(chaos_stage: Stage) -> None:
    found = await die_at(chaos_stage, "dispatcher", "before_record", WORK)
    uncertain = {row["id"] for row in found.reminders if row["state"] == "uncertain"}
    assert uncertain

    await chaos_stage.a_day_later(found.batch)

    later = await chaos_stage.evidence(found.batch)
    assert doubled(later) == []
    assert later.accepts == found.accepts
    assert {row["state"] for row in later.reminders if row["id"] in uncertain} == {"accepted"}
