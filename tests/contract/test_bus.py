"""The contract of `shared/bus/port.py`: every test runs on the in-process bus and on a real RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import uuid4

import pytest

from shared.bus.memory import MemoryBus
from shared.bus.port import AlreadySettled, Bus, Delivery, ParkedMessage, ParkingLot, PublishFailed
from shared.bus.rabbitmq import RabbitBus
from shared.bus.topology import Topology
from shared.messages import BULK, URGENT

DEADLINE = 20.0


class AnyBus(Bus, ParkingLot, Protocol):
    """What both implementations are."""


MakeBus = Callable[[Topology], AnyBus]


@pytest.fixture(params=["memory", "rabbitmq"])
def make_bus(request: pytest.FixtureRequest) -> Iterator[MakeBus]:
    if request.param == "memory":
        yield lambda topology: MemoryBus(topology, drain_timeout=2.0)
        return
    url = request.getfixturevalue("fresh_amqp_url")
    yield lambda topology: RabbitBus(url, topology=topology, drain_timeout=2.0)


@pytest.fixture
async def bus(make_bus: MakeBus) -> AsyncIterator[AnyBus]:
    async with started(make_bus, Topology(prefix=f"{uuid4().hex}.")) as bus:
        yield bus


@asynccontextmanager
async def started(make_bus: MakeBus, topology: Topology) -> AsyncIterator[AnyBus]:
    bus = make_bus(topology)
    async with asyncio.timeout(DEADLINE):
        await bus.start()
    try:
        yield bus
    finally:
        await bus.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.01)


async def until_parked(bus: AnyBus, count: int) -> list[ParkedMessage]:
    async with asyncio.timeout(DEADLINE):
        while len(parked := await bus.browse()) < count:
            await asyncio.sleep(0.05)
    return parked


async def publish_many(bus: AnyBus, count: int) -> None:
    for number in range(count):
        await bus.publish(BULK, str(number).encode())


class Seen:
    """A handler that notes every body and then does as it is told."""

    def __init__(self, then: Callable[[Delivery], Awaitable[None]] = Delivery.ack) -> None:
        self.bodies: list[bytes] = []
        self.redelivered: list[bool] = []
        self._then = then

    async def __call__(self, delivery: Delivery) -> None:
        self.bodies.append(delivery.body)
        self.redelivered.append(delivery.redelivered)
        await self._then(delivery)


class Held:
    """A handler that holds every message until it is let go; then it acknowledges."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.done: list[bytes] = []
        self.let_go = asyncio.Event()

    async def __call__(self, delivery: Delivery) -> None:
        self.bodies.append(delivery.body)
        await self.let_go.wait()
        await delivery.ack()
        self.done.append(delivery.body)


async def test_a_published_message_reaches_its_consumer(bus: AnyBus) -> None:
    seen = Seen()
    await bus.consume(URGENT, seen, prefetch=10)
    await bus.publish(URGENT, b"one")
    await until(lambda: bool(seen.bodies))
    assert [b"one"] == seen.bodies
    assert [False] == seen.redelivered


async def test_a_message_published_before_anyone_consumes_waits(bus: AnyBus) -> None:
    await bus.publish(BULK, b"early")
    seen = Seen()
    await bus.consume(BULK, seen, prefetch=1)
    await until(lambda: bool(seen.bodies))
    assert [b"early"] == seen.bodies


async def test_the_two_queues_do_not_mix(bus: AnyBus) -> None:
    urgent, bulk = Seen(), Seen()
    await bus.consume(URGENT, urgent, prefetch=10)
    await bus.consume(BULK, bulk, prefetch=10)
    await bus.publish(URGENT, b"u")
    await bus.publish(BULK, b"b")
    await until(lambda: bool(urgent.bodies and bulk.bodies))
    assert ([b"u"], [b"b"]) == (urgent.bodies, bulk.bodies)


async def test_many_publishers_at_once_lose_nothing(bus: AnyBus) -> None:
    seen = Seen()
    await bus.consume(BULK, seen, prefetch=100)
    expected = {str(number).encode() for number in range(300)}
    await asyncio.gather(*(bus.publish(BULK, body) for body in expected))
    await until(lambda: len(seen.bodies) >= 300)
    assert (300, expected) == (len(seen.bodies), set(seen.bodies))


async def test_an_unknown_queue_refuses_publisher_and_consumer(bus: AnyBus) -> None:
    with pytest.raises(PublishFailed, match="nowhere"):
        await bus.publish("nowhere", b"x")
    with pytest.raises(ValueError, match="nowhere"):
        await bus.consume("nowhere", Seen(), prefetch=1)


async def test_prefetch_bounds_the_unsettled_messages(bus: AnyBus) -> None:
    held = Held()
    await bus.consume(URGENT, held, prefetch=3)
    for number in range(8):
        await bus.publish(URGENT, str(number).encode())
    await until(lambda: len(held.bodies) >= 3)
    probe = Seen()  # the same bus delivers elsewhere meanwhile, so a fourth would have come
    await bus.consume(BULK, probe, prefetch=1)
    await bus.publish(BULK, b"probe")
    await until(lambda: bool(probe.bodies))
    assert 3 == len(held.bodies)
    held.let_go.set()
    await until(lambda: len(held.done) >= 8)


async def test_two_consumers_share_the_work(bus: AnyBus) -> None:
    first, second = Held(), Held()
    await bus.consume(URGENT, first, prefetch=2)
    await bus.consume(URGENT, second, prefetch=2)
    for number in range(4):
        await bus.publish(URGENT, str(number).encode())
    await until(lambda: len(first.bodies) + len(second.bodies) == 4)
    assert (2, 2) == (len(first.bodies), len(second.bodies))
    first.let_go.set()
    second.let_go.set()


async def test_a_requeued_message_comes_again_and_says_so(bus: AnyBus) -> None:
    async def requeue_once(delivery: Delivery) -> None:
        await (delivery.ack() if delivery.redelivered else delivery.requeue())

    seen = Seen(requeue_once)
    await bus.consume(URGENT, seen, prefetch=1)
    await bus.publish(URGENT, b"again")
    await until(lambda: len(seen.bodies) >= 2)
    assert [False, True] == seen.redelivered


async def test_a_rejected_message_is_parked_and_the_next_one_is_handled(bus: AnyBus) -> None:
    async def reject_poison(delivery: Delivery) -> None:
        await (delivery.reject() if delivery.body == b"poison" else delivery.ack())

    seen = Seen(reject_poison)
    await bus.consume(URGENT, seen, prefetch=1)
    await bus.publish(URGENT, b"poison")
    await bus.publish(URGENT, b"good")
    parked = await until_parked(bus, 1)
    await until(lambda: b"good" in seen.bodies)
    assert [b"poison", b"good"] == seen.bodies
    assert [(URGENT, "rejected", b"poison")] == [(one.queue, one.reason, one.body) for one in parked]
    assert parked[0].parked_at is not None


async def test_a_message_that_always_comes_back_is_parked_after_the_limit(make_bus: MakeBus) -> None:
    async with started(make_bus, Topology(prefix=f"{uuid4().hex}.", delivery_limit=4)) as bus:
        seen = Seen(Delivery.requeue)
        await bus.consume(BULK, seen, prefetch=1)
        await bus.publish(BULK, b"boomerang")
        parked = await until_parked(bus, 1)
        assert 5 == len(seen.bodies)  # the first delivery and four more
        assert [(BULK, "delivery_limit")] == [(one.queue, one.reason) for one in parked]


async def test_the_standard_limit_is_twenty(bus: AnyBus) -> None:
    seen = Seen(Delivery.requeue)
    await bus.consume(BULK, seen, prefetch=1)
    await bus.publish(BULK, b"boomerang")
    await until_parked(bus, 1)
    assert 21 == len(seen.bodies)


async def test_a_handler_that_raises_gets_its_message_again(bus: AnyBus) -> None:
    async def fail_once(delivery: Delivery) -> None:
        if not delivery.redelivered:
            raise ZeroDivisionError("once")
        await delivery.ack()

    seen = Seen(fail_once)
    await bus.consume(URGENT, seen, prefetch=1)
    await bus.publish(URGENT, b"fragile")
    await until(lambda: len(seen.bodies) >= 2)
    assert [False, True] == seen.redelivered
    assert [] == await bus.browse()


async def test_a_message_whose_handler_always_raises_is_parked(make_bus: MakeBus) -> None:
    async def fail(delivery: Delivery) -> None:
        raise ZeroDivisionError("always")

    async with started(make_bus, Topology(prefix=f"{uuid4().hex}.", delivery_limit=2)) as bus:
        seen = Seen(fail)
        await bus.consume(URGENT, seen, prefetch=1)
        await bus.publish(URGENT, b"bug")
        parked = await until_parked(bus, 1)
        assert (3, b"bug") == (len(seen.bodies), parked[0].body)


async def test_a_handler_that_forgets_to_settle_gets_its_message_again(bus: AnyBus) -> None:
    async def forget_once(delivery: Delivery) -> None:
        if delivery.redelivered:
            await delivery.ack()

    seen = Seen(forget_once)
    await bus.consume(URGENT, seen, prefetch=1)
    await bus.publish(URGENT, b"forgotten")
    await until(lambda: len(seen.bodies) >= 2)
    assert [False, True] == seen.redelivered


async def test_settling_twice_is_an_error_that_hurts_nobody_else(bus: AnyBus) -> None:
    errors: list[AlreadySettled] = []

    async def twice(delivery: Delivery) -> None:
        await delivery.ack()
        try:
            await delivery.requeue()
        except AlreadySettled as error:
            errors.append(error)

    seen = Seen(twice)
    await bus.consume(URGENT, seen, prefetch=1)
    await bus.publish(URGENT, b"one")
    await bus.publish(URGENT, b"two")
    await until(lambda: len(errors) >= 2)
    assert [b"one", b"two"] == seen.bodies


async def test_cancel_waits_for_running_handlers_and_takes_nothing_new(bus: AnyBus) -> None:
    held = Held()
    subscription = await bus.consume(URGENT, held, prefetch=1)
    await bus.publish(URGENT, b"running")
    await bus.publish(URGENT, b"waiting")
    await until(lambda: bool(held.bodies))
    cancelling = asyncio.create_task(subscription.cancel())
    await asyncio.sleep(0.1)
    assert not cancelling.done()
    held.let_go.set()
    async with asyncio.timeout(DEADLINE):
        await cancelling
    assert [b"running"] == held.bodies == held.done

    seen = Seen()
    await bus.consume(URGENT, seen, prefetch=1)
    await until(lambda: bool(seen.bodies))
    assert [b"waiting"] == seen.bodies


async def test_what_a_cancelled_handler_left_unsettled_is_delivered_again(bus: AnyBus) -> None:
    began: list[bytes] = []
    cancelled: list[bytes] = []

    async def stuck(delivery: Delivery) -> None:
        began.append(delivery.body)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(delivery.body)

    subscription = await bus.consume(URGENT, stuck, prefetch=5)
    await bus.publish(URGENT, b"a")
    await bus.publish(URGENT, b"b")
    await until(lambda: len(began) == 2)
    async with asyncio.timeout(DEADLINE):
        await subscription.cancel()
        await subscription.cancel()
    seen = Seen()
    await bus.consume(URGENT, seen, prefetch=5)
    await until(lambda: len(seen.bodies) >= 2)
    assert {b"a", b"b"} == set(seen.bodies) == set(cancelled)
    assert [True, True] == seen.redelivered


async def test_a_full_queue_refuses_and_takes_again_when_there_is_room(make_bus: MakeBus) -> None:
    async with started(make_bus, Topology(prefix=f"{uuid4().hex}.", max_length=10)) as bus:
        with pytest.raises(PublishFailed, match="full"):
            await publish_many(bus, 100)
        await bus.publish(URGENT, b"the other queue has room")
        seen = Seen()
        await bus.consume(BULK, seen, prefetch=100)
        await until(lambda: len(seen.bodies) >= 10)
        async with asyncio.timeout(DEADLINE):
            while b"later" not in seen.bodies:
                try:
                    await bus.publish(BULK, b"later")
                except PublishFailed:
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.01)


async def test_browsing_leaves_the_messages_parked_however_often(bus: AnyBus) -> None:
    await bus.consume(URGENT, Seen(Delivery.reject), prefetch=1)
    for body in (b"a", b"b", b"c"):
        await bus.publish(URGENT, body)
    await until_parked(bus, 3)
    for _ in range(25):
        assert 2 == len(await bus.browse(limit=2))
    assert {b"a", b"b", b"c"} == {one.body for one in await bus.browse()}


async def test_redriven_messages_go_back_to_their_queues_as_new(bus: AnyBus) -> None:
    rejecting = [await bus.consume(queue, Seen(Delivery.reject), prefetch=1) for queue in (URGENT, BULK)]
    await bus.publish(URGENT, b"u")
    await bus.publish(BULK, b"b")
    await until_parked(bus, 2)
    for subscription in rejecting:
        await subscription.cancel()
    urgent, bulk = Seen(), Seen()
    await bus.consume(URGENT, urgent, prefetch=1)
    await bus.consume(BULK, bulk, prefetch=1)
    assert 2 == await bus.redrive()
    await until(lambda: bool(urgent.bodies and bulk.bodies))
    assert ([b"u"], [False], [b"b"]) == (urgent.bodies, urgent.redelivered, bulk.bodies)
    assert [] == await bus.browse()
    assert 0 == await bus.redrive()


async def test_redriving_poison_ends(bus: AnyBus) -> None:
    await bus.consume(URGENT, Seen(Delivery.reject), prefetch=1)
    await bus.publish(URGENT, b"poison")
    await until_parked(bus, 1)
    async with asyncio.timeout(DEADLINE):
        assert 1 == await bus.redrive()
    assert [b"poison"] == [one.body for one in await until_parked(bus, 1)]


async def test_a_bus_is_ready_between_start_and_close(make_bus: MakeBus) -> None:
    bus = make_bus(Topology(prefix=f"{uuid4().hex}."))
    assert not bus.ready()
    with pytest.raises(PublishFailed):
        await bus.publish(URGENT, b"too early")
    async with asyncio.timeout(DEADLINE):
        await bus.start()
    assert bus.ready()
    await bus.close()
    await bus.close()
    assert not bus.ready()
    with pytest.raises(PublishFailed):
        await bus.publish(URGENT, b"too late")


async def test_close_drains_the_handlers(make_bus: MakeBus) -> None:
    held = Held()
    async with started(make_bus, Topology(prefix=f"{uuid4().hex}.")) as bus:
        await bus.consume(URGENT, held, prefetch=1)
        await bus.publish(URGENT, b"last")
        await until(lambda: bool(held.bodies))
        asyncio.get_running_loop().call_later(0.2, held.let_go.set)
    assert [b"last"] == held.done


async def test_a_subscription_made_before_start_works_after_it(make_bus: MakeBus) -> None:
    bus = make_bus(Topology(prefix=f"{uuid4().hex}."))
    seen = Seen()
    await bus.consume(URGENT, seen, prefetch=1)
    async with asyncio.timeout(DEADLINE):
        await bus.start()
    try:
        await bus.publish(URGENT, b"one")
        await until(lambda: bool(seen.bodies))
    finally:
        await bus.close()
