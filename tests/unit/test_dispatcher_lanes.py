"""Slots of a provider."""

import asyncio
from time import monotonic

import pytest

from services.dispatcher.handlers import lanes
from services.dispatcher.handlers.lanes import Lane


async def test_no_more_than_two_rounds_of_a_provider_that_was_not_measured_yet() -> None:
    lane = Lane(concurrency=10, window=2.0)

    assert 20 == await lane.take(500, patience=0.1)
    assert 0 == await lane.take(1, patience=0.01)


async def test_a_fast_provider_may_have_twenty_rounds_under_way() -> None:
    lane = Lane(concurrency=10, window=2.0)
    for _ in range(200):
        assert 1 == await lane.take(1, patience=0.1)
        lane.ended(0.002, taken=True)

    assert 200 == lane.capacity


async def test_a_slow_provider_is_held_to_its_connections_so_that_nothing_waits_past_the_window() -> None:
    lane = Lane(concurrency=10, window=2.0)
    for _ in range(200):
        await lane.take(1, patience=0.1)
        lane.ended(5.0, taken=True)

    assert 10 == lane.capacity


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


async def test_what_finds_no_slot_waits_longer_the_more_is_waiting_before_it() -> None:
    lane = Lane(concurrency=10, window=2.0)
    for _ in range(200):
        await lane.take(1, patience=0.1)
        lane.ended(1.0, taken=True)
    assert 9 < lane.pace < 11

    first, second = lane.put_off(50), lane.put_off(50)

    assert 1.0 <= min(first) < 1.3
    assert 4.5 < max(first) < 8
    assert min(second) > 5.0
    assert 9 < max(second) < 14


async def test_no_backlog_puts_anything_off_for_ever() -> None:
    lane = Lane(concurrency=1, window=2.0)
    lane.rate = 0.01
    waits = lane.put_off(100_000)

    assert 60 <= max(waits) <= 72
    assert max(lane.put_off(1, at_least=300)) >= 300


async def test_a_small_backlog_of_a_quick_provider_comes_again_within_seconds() -> None:
    lane = Lane(concurrency=10, window=2.0)
    for _ in range(200):
        await lane.take(1, patience=0.1)
        lane.ended(0.01, taken=True)

    assert max(lane.put_off(50)) < 1.3


async def test_nobody_waits_for_slots_of_a_slow_provider_that_cannot_come_in_time() -> None:
    lane = Lane(concurrency=10, window=2.0)
    for _ in range(200):
        await lane.take(1, patience=0.1)
        lane.ended(5.0, taken=True)
    began = monotonic()

    assert 10 == await lane.take(50, patience=2.0)
    assert 0 == await lane.take(50, patience=2.0)

    assert monotonic() - began < 1


async def test_a_provider_that_was_never_measured_is_waited_for_until_it_stalls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lane = Lane(concurrency=10, window=2.0)
    await lane.take(20, patience=0.1)

    assert not lane.hopeless(50, 1.0)
    monkeypatch.setattr(lanes, "STALLED", 0.0)
    assert lane.hopeless(50, 1.0)


async def test_a_moment_in_which_everything_stands_still_says_little_about_the_pace() -> None:
    lane = Lane(concurrency=10, window=2.0)
    for _ in range(200):
        await lane.take(1, patience=0.1)
        lane.ended(0.01, taken=True)

    await lane.take(10, patience=0.1)
    for _ in range(10):
        lane.ended(3.0, taken=True)

    assert lane.pace > 500
    assert not lane.hopeless(200, 1.0)


async def test_while_everything_stands_still_nothing_comes_again_earlier_than_it_has_stood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lane = Lane(concurrency=10, window=2.0)
    await lane.take(20, patience=0.1)
    later = monotonic() + 30
    monkeypatch.setattr(lanes, "monotonic", lambda: later)

    assert lane.hopeless(1, 1.0)
    assert min(lane.put_off(5)) > 29


async def test_a_refusal_never_makes_a_provider_fast() -> None:
    lane = Lane(concurrency=10, window=2.0)
    for _ in range(50):
        await lane.take(1, patience=0.1)
        lane.ended(0.001, taken=False)
    assert 20 == lane.capacity

    for _ in range(50):
        await lane.take(1, patience=0.1)
        lane.ended(5.0, taken=False)
    assert 10 == lane.capacity
