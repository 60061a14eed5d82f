"""Slots of a provider."""

import asyncio

from services.dispatcher.handlers.lanes import Lane


async def test_no_more_than_two_rounds_of_a_provider_that_was_not_measured_yet() -> None:
    lane = Lane(concurrency=10, window=2.0)

    assert 20 == await lane.take(500, patience=0.1)
    assert 0 == await lane.take(1, patience=0.01)


async def test_a_fast_provider_may_have_ten_rounds_under_way() -> None:
    lane = Lane(concurrency=10, window=2.0)
    for _ in range(200):
        assert 1 == await lane.take(1, patience=0.1)
        lane.give_back(seconds=0.002)

    assert 100 == lane.capacity


async def test_a_slow_provider_is_held_to_two() -> None:
    lane = Lane(concurrency=10, window=2.0)
    for _ in range(200):
        await lane.take(1, patience=0.1)
        lane.give_back(seconds=5.0)

    assert 20 == lane.capacity


async def test_who_waits_gets_a_handful_as_soon_as_it_is_free() -> None:
    lane = Lane(concurrency=10, window=2.0)
    await lane.take(20, patience=0.1)
    waiting = asyncio.ensure_future(lane.take(20, patience=30.0))
    for _ in range(9):
        lane.give_back()
    await asyncio.sleep(0)
    assert not waiting.done()

    lane.give_back()

    assert 10 == await waiting
    assert 20 == lane.busy
