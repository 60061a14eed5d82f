"""What only a real broker can do to us: die, forget everything, freeze, run short of memory, lose a queue."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import aio_pika
import pytest

from shared.bus.port import Delivery, PublishFailed
from shared.bus.rabbitmq import RabbitBus, declare
from shared.bus.topology import Topology
from shared.messages import BULK, URGENT
from tests.servers.broker import PrivateBroker
from tests.servers.rabbitmq import find_installation

pytestmark = pytest.mark.timeout(180)
DEADLINE = 90.0
SETTLED = 4.0
"""RabbitMQ 3.10 writes a new quorum queue's term to disk with a delay. Killed before, the queue comes back without a
leader, for ever; see shared/bus/README.md. The queues of a deployment are older when their broker dies."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateBroker]:
    installation = find_installation()
    if installation is None:
        pytest.skip("needs an installed RabbitMQ, one that it may kill")
    broker = PrivateBroker(tmp_path_factory.mktemp("broker"), installation, management=False)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
async def topology() -> Topology:
    return Topology(prefix=f"{uuid4().hex}.")


@pytest.fixture
async def bus(broker: PrivateBroker, topology: Topology) -> AsyncIterator[RabbitBus]:
    bus = RabbitBus(broker.broker.url, topology=topology, drain_timeout=2.0)
    async with asyncio.timeout(DEADLINE):
        await bus.start()
    yield bus
    async with asyncio.timeout(20):
        await bus.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


async def published(bus: RabbitBus, body: bytes) -> bool:
    try:
        await bus.publish(URGENT, body)
    except PublishFailed:
        return False
    return True


NURSE = ThreadPoolExecutor(1)
"""The broker dies with the thread that started it, so that thread has to outlive the event loop of a test."""


async def beside(step: Callable[[], None]) -> None:
    await asyncio.get_running_loop().run_in_executor(NURSE, step)


class Traffic:
    """Publishes without a pause and notes what was confirmed, what failed and what came out."""

    def __init__(self, bus: RabbitBus) -> None:
        self._bus = bus
        self.confirmed: set[bytes] = set()
        self.failed: set[bytes] = set()
        self.received: set[bytes] = set()
        self._publisher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._bus.consume(BULK, self._receive, prefetch=20)
        self._publisher = asyncio.create_task(self._publish())
        await asyncio.sleep(SETTLED)
        await until(lambda: len(self.received) > 20)

    async def stop(self) -> None:
        assert self._publisher is not None
        assert not self._publisher.done()  # neither an error nor a cancellation by the library has ended it
        self._publisher.cancel()
        await asyncio.gather(self._publisher, return_exceptions=True)

    async def flows(self) -> None:
        """Something that is confirmed from now on comes out."""
        before = set(self.confirmed)
        await until(lambda: bool((self.confirmed - before) & self.received))

    async def _receive(self, delivery: Delivery) -> None:
        self.received.add(delivery.body)
        await delivery.ack()

    async def _publish(self) -> None:
        for number in range(1_000_000):
            body = str(number).encode()
            try:
                await self._bus.publish(BULK, body, timeout=1.0)
            except PublishFailed:
                self.failed.add(body)
                await asyncio.sleep(0.05)
            else:
                self.confirmed.add(body)
                await asyncio.sleep(0.002)


async def test_a_killed_broker_comes_back_with_all_that_it_confirmed(broker: PrivateBroker, bus: RabbitBus) -> None:
    traffic = Traffic(bus)
    await traffic.start()
    await beside(broker.kill)
    await until(lambda: not bus.ready() and bool(traffic.failed))
    await beside(broker.start)
    await traffic.flows()
    await traffic.stop()
    await until(lambda: traffic.confirmed <= traffic.received)
    assert bus.ready()


async def test_after_a_broker_came_back_empty_both_sides_resume(broker: PrivateBroker, bus: RabbitBus) -> None:
    traffic = Traffic(bus)
    await traffic.start()
    await beside(broker.kill)
    broker.wipe()
    await beside(broker.start)
    await traffic.flows()
    await traffic.stop()


async def test_a_broker_that_restarts_in_order_is_no_trouble(broker: PrivateBroker, bus: RabbitBus) -> None:
    traffic = Traffic(bus)
    await traffic.start()
    await beside(broker.stop)
    await beside(broker.start)
    await traffic.flows()
    await traffic.stop()
    await until(lambda: traffic.confirmed <= traffic.received)


async def test_a_running_handler_outlives_the_broker(broker: PrivateBroker, bus: RabbitBus) -> None:
    let_go = asyncio.Event()
    began: list[bool] = []
    ended: list[bool] = []

    async def slow(delivery: Delivery) -> None:
        began.append(delivery.redelivered)
        await let_go.wait()
        await delivery.ack()
        ended.append(delivery.redelivered)

    await bus.consume(URGENT, slow, prefetch=1)
    await bus.publish(URGENT, b"x")
    await until(lambda: bool(began))
    await asyncio.sleep(SETTLED)
    await beside(broker.kill)
    await until(lambda: not bus.ready())
    await beside(broker.start)
    await until(lambda: len(began) == 2)
    let_go.set()
    await until(lambda: len(ended) == 2)
    assert [False, True] == sorted(ended)


async def test_start_waits_for_a_broker_that_is_late(broker: PrivateBroker, topology: Topology) -> None:
    await beside(broker.stop)
    bus = RabbitBus(broker.broker.url, topology=topology)
    starting = asyncio.create_task(bus.start())
    with pytest.raises(PublishFailed, match="not connected"):
        await bus.publish(URGENT, b"x")
    await beside(broker.start)
    async with asyncio.timeout(DEADLINE):
        await starting
    await bus.publish(URGENT, b"x")
    await bus.close()


async def test_a_frozen_broker_fails_a_publish_in_time(broker: PrivateBroker, bus: RabbitBus) -> None:
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(PublishFailed, match=r"within 0\.5 s"):
            await bus.publish(URGENT, b"x", timeout=0.5)
        assert time.monotonic() - began < 5.0
        publishing = asyncio.create_task(bus.publish(URGENT, b"y", timeout=30.0))
        await asyncio.sleep(0.1)
        publishing.cancel()
        with pytest.raises(asyncio.CancelledError):  # a real cancellation is not dressed up as a failure
            await publishing
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    async with asyncio.timeout(DEADLINE):  # either side may have given the other up meanwhile
        while not await published(bus, b"z"):
            await asyncio.sleep(0.1)


@pytest.fixture
def short_of_memory(broker: PrivateBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], None]]:
    settings = next(tmp_path_factory.getbasetemp().glob("broker*")) / "advanced.config"

    def raise_alarm() -> None:
        broker.stop()
        settings.write_text("[{rabbit, [{vm_memory_high_watermark, {absolute, 1}}]}].")
        broker.start()

    yield raise_alarm
    broker.stop()
    settings.unlink()
    NURSE.submit(broker.start).result()


async def test_a_broker_short_of_memory_fails_publishers_in_time_and_lets_consumers_work(
    bus: RabbitBus, short_of_memory: Callable[[], None]
) -> None:
    for number in range(5):
        await bus.publish(BULK, str(number).encode())
    await beside(short_of_memory)
    await until(bus.ready)
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(PublishFailed, match=r"within 0\.5 s"):
            await bus.publish(URGENT, b"x", timeout=0.5)
        assert time.monotonic() - began < 2.0
    received: list[bytes] = []

    async def receive(delivery: Delivery) -> None:
        received.append(delivery.body)
        await delivery.ack()

    await bus.consume(BULK, receive, prefetch=1)  # one at a time: each next one needs the acknowledgement of the last
    await until(lambda: len(received) == 5)
    began = time.monotonic()
    await bus.close()
    assert time.monotonic() - began < 10.0


async def test_a_deleted_queue_is_declared_again(broker: PrivateBroker, bus: RabbitBus, topology: Topology) -> None:
    traffic = Traffic(bus)
    await traffic.start()
    connection = await aio_pika.connect(broker.broker.url)
    async with connection.channel() as channel:
        await channel.queue_delete(topology.queue(BULK))
    await connection.close()
    await traffic.flows()
    await traffic.stop()


async def test_a_queue_that_does_not_answer_keeps_no_other_from_being_consumed(
    broker: PrivateBroker, bus: RabbitBus, topology: Topology
) -> None:
    """The trap of SETTLED, set on purpose for one of the two queues; a broker without that fault passes easily."""
    await asyncio.sleep(SETTLED)
    connection = await aio_pika.connect(broker.broker.url)
    async with connection.channel() as channel:
        await channel.queue_delete(topology.queue(BULK))
        await declare(channel, topology)
    await beside(broker.kill)
    await connection.close()
    await beside(broker.start)
    await until(bus.ready)
    seen: list[bytes] = []

    async def see(delivery: Delivery) -> None:
        seen.append(delivery.body)
        await delivery.ack()

    await bus.consume(BULK, see, prefetch=1)
    await bus.consume(URGENT, see, prefetch=1)
    await bus.publish(URGENT, b"urgent", timeout=DEADLINE)
    await until(lambda: seen == [b"urgent"])


async def test_a_publisher_alone_declares_a_deleted_queue_again(
    broker: PrivateBroker, bus: RabbitBus, topology: Topology
) -> None:
    connection = await aio_pika.connect(broker.broker.url)
    async with connection.channel() as channel:
        await channel.queue_delete(topology.queue(URGENT))
    await connection.close()
    with pytest.raises(PublishFailed, match="no such queue"):
        await bus.publish(URGENT, b"x")
    await until(bus.ready)
    await bus.publish(URGENT, b"x")
