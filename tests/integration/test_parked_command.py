"""`python -m services.parked` shows what is parked, and sends it back."""

import asyncio
import os
import subprocess
import sys

from shared.bus.port import Delivery
from shared.bus.rabbitmq import RabbitBus
from shared.messages import BULK


def command(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.parked", *words],
        env={**os.environ, "DUNNOCK_AMQP_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def park(bus: RabbitBus, body: bytes) -> None:
    subscription = await bus.consume(BULK, Delivery.reject, prefetch=1)
    await bus.publish(BULK, body)
    async with asyncio.timeout(20):
        while not await bus.browse():
            await asyncio.sleep(0.05)
    await subscription.cancel()


async def test_a_parked_message_is_shown_and_stays_until_it_is_sent_back(fresh_amqp_url: str) -> None:
    bus = RabbitBus(fresh_amqp_url)
    await bus.start()
    try:
        await park(bus, b"poison")

        shown = await asyncio.to_thread(command, fresh_amqp_url)
        assert (0, "1 parked\n") == (shown.returncode, shown.stderr)
        assert [BULK, "rejected", "b'poison'"] == shown.stdout.split()[1:]

        sent_back = await asyncio.to_thread(command, fresh_amqp_url, "redrive", "--limit", "5")
        assert (0, "1 sent back to their queues\n") == (sent_back.returncode, sent_back.stderr)

        assert [] == await bus.browse()
        came: asyncio.Queue[bytes] = asyncio.Queue()

        async def take(delivery: Delivery) -> None:
            came.put_nowait(delivery.body)
            await delivery.ack()

        await bus.consume(BULK, take, prefetch=1)
        assert b"poison" == await asyncio.wait_for(came.get(), 20)
    finally:
        await bus.close()


def test_without_a_broker_it_says_so_and_never_the_password() -> None:
    said = command("amqp://user:hidden-word@127.0.0.1:1/")
    assert 1 == said.returncode
    assert "RabbitMQ did not answer within 15 s; check DUNNOCK_AMQP_URL" in said.stderr
    assert "hidden-word" not in said.stdout + said.stderr
