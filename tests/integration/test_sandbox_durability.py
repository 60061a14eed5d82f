"""SIGKILL at any moment: what a double said yes to is still listed, and what it owed is still done."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from tests.servers import warm
from tests.servers.embedded import SLOW
from tests.servers.embedded import until as standing
from tests.servers.sandbox import TOKEN, BounceListener

SID = "AC" + "0" * 32


class Process:
    """The sandbox in a process of its own, on a folder that outlives it."""

    def __init__(self, folder: Path, bounce_port: int) -> None:
        with tempfile.NamedTemporaryFile() as log:
            self._process = warm.start("tests.servers.sandbox", str(folder), str(bounce_port), env=os.environ, log=log)
            said = Path(log.name)
            standing(lambda: said.read_bytes().endswith(b"\n"), SLOW, said.read_text)
            smtp, self.url = said.read_text().split()
        self.smtp_port = int(smtp.rpartition(":")[2])

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    async def send(self, to: str, number: int) -> None:
        raw = f"Message-ID: <r{number}.1@d.example>\r\nTo: {to}\r\n\r\nPay\r\n"
        await aiosmtplib.send(
            raw,
            sender=f"b{number}@d.example",
            recipients=[to],
            hostname="127.0.0.1",
            port=self.smtp_port,
            start_tls=False,
        )

    async def text(self, to: str) -> str:
        form = {"To": to, "From": "+15005550006", "Body": "Pay"}
        async with httpx.AsyncClient(auth=(SID, TOKEN)) as client:
            path = f"/sandbox/twilio/2010-04-01/Accounts/{SID}/Messages.json"
            answer = await client.post(self.url + path, data=form)
        return str(answer.json()["sid"])

    async def listed(self) -> list[str]:
        async with httpx.AsyncClient() as client:
            items = (await client.get(f"{self.url}/sandbox/messages")).json()["items"]
        return [item["message_id"] for item in items]


@contextlib.contextmanager
def started(folder: Path, bounce_port: int) -> Iterator[Process]:
    process = Process(folder, bounce_port)
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture
async def bounces() -> AsyncIterator[BounceListener]:
    listener = BounceListener()
    await listener.start()
    yield listener
    await listener.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.02)


async def test_nothing_accepted_is_lost_by_a_kill_under_load(tmp_path: Path, bounces: BounceListener) -> None:
    accepted: list[str] = []

    async def keep_sending(process: Process, first: int) -> None:
        for number in range(first, first + 10_000):
            await process.send("anna@customer.example", number)
            accepted.append(f"r{number}.1@d.example")

    with started(tmp_path, bounces.address[1]) as process:
        sid = await process.text("+4915112345678")
        senders = [asyncio.create_task(keep_sending(process, 10_000 * lane)) for lane in range(8)]
        await until(lambda: len(accepted) >= 200)
        process.kill()
        await asyncio.gather(*senders, return_exceptions=True)
    with started(tmp_path, bounces.address[1]) as process:
        listed = await process.listed()
    assert {sid, *accepted} <= set(listed)
    assert len(listed) == len(set(listed))


async def test_a_bounce_owed_at_the_kill_comes_after_the_restart(tmp_path: Path, bounces: BounceListener) -> None:
    port = bounces.address[1]
    await bounces.stop()
    with started(tmp_path, port) as process:
        await process.send("bounce@shop.sandbox.test", 5)
        process.kill()
    await bounces.start(port)
    with started(tmp_path, port) as process:
        await until(lambda: bool(bounces.got))
        assert await process.listed() == ["r5.1@d.example"]
    assert [recipients for _, recipients, _ in bounces.got] == [["b5@d.example"]]
