"""Calls that go together: who goes at once, who with whom, and what each of them hears."""

import asyncio
from collections.abc import Sequence

import pytest

from services.payments.handlers.gather import Gather


class Work:
    """Doubles what it is given once it is let go; `begun` has what each call was given."""

    def __init__(self) -> None:
        self.begun: list[list[int]] = []
        self.go = asyncio.Event()
        self.fails: Exception | None = None

    async def __call__(self, given: Sequence[int]) -> list[int]:
        self.begun.append(list(given))
        await self.go.wait()
        if self.fails:
            raise self.fails
        return [2 * each for each in given]


async def started(gather: Gather[int, int], *given: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(gather(each)) for each in given]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_who_comes_while_others_are_under_way_goes_together_in_the_next() -> None:
    work = Work()
    gather = Gather(work, at_once=1, most=3)
    first = await started(gather, 1)
    assert work.begun == [[1]], "alone, it goes at once"
    others = await started(gather, 2, 3, 4, 5)
    assert work.begun == [[1]]
    work.go.set()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8, 10]
    assert work.begun == [[1], [2, 3, 4], [5]], "no more than `most`"


async def test_who_comes_right_after_an_answer_is_heard() -> None:
    """The caller goes on before the task that answered it has ended."""
    work = Work()
    work.go.set()
    gather = Gather(work, at_once=1, most=3)
    async with asyncio.timeout(1):
        assert [await gather(number) for number in range(3)] == [0, 2, 4]


async def test_no_more_calls_than_at_once_are_under_way() -> None:
    work = Work()
    gather = Gather(work, at_once=2, most=3)
    tasks = [task for number in range(4) for task in await started(gather, number)]
    assert work.begun == [[0], [1]]
    work.go.set()
    assert await asyncio.gather(*tasks) == [0, 2, 4, 6]
    assert work.begun == [[0], [1], [2, 3]]


async def test_what_a_call_raises_each_of_it_hears_and_the_next_call_goes_on() -> None:
    work = Work()
    work.fails = ValueError("no")
    gather = Gather(work, at_once=1, most=9)
    failing = [*await started(gather, 1), *await started(gather, 2, 3)]
    work.go.set()
    assert [type(each) for each in await asyncio.gather(*failing, return_exceptions=True)] == [ValueError] * 3
    work.fails = None
    assert await gather(4) == 8


async def test_who_has_gone_is_left_out_and_holds_up_nobody() -> None:
    work = Work()
    gather = Gather(work, at_once=1, most=9)
    under_way, gone, stays = [*await started(gather, 1), *await started(gather, 2, 3)]
    for each in (under_way, gone):
        each.cancel()
        with pytest.raises(asyncio.CancelledError):
            await each
    work.go.set()
    assert await stays == 6
    assert work.begun == [[1], [3]]
