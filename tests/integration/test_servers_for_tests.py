"""The fixtures themselves: what they promise to every other test."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import aio_pika
import asyncpg
import psutil

from tests.servers import warm
from tests.servers.embedded import until

LOOK = """
import os, threading
print(os.getpid(), os.getsid(0), os.getcwd(), os.environ, sorted(os.listdir("/proc/self/fd"))[:-1], threading.active_count())
"""
ONE_THAT_WAITS = """
import sys, tempfile
from tests.servers import warm
print(warm.start("timeit", "-n1", "-r1", "import time; time.sleep(600)", env={}, log=tempfile.TemporaryFile()).pid)
"""


async def test_a_fresh_database_is_migrated_and_empty(database_dsn: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    try:
        assert await connection.fetchval("SELECT count(*) FROM reminder") == 0
    finally:
        await connection.close()


async def test_a_fresh_virtual_host_carries_a_message_and_has_no_queues_of_others(fresh_amqp_url: str) -> None:
    async with await aio_pika.connect(fresh_amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("only-here", passive=False)
        await channel.default_exchange.publish(aio_pika.Message(b"hello"), routing_key="only-here")
        message = await queue.get(timeout=10)
        assert message is not None
        assert message.body == b"hello"
        await message.ack()


def test_a_forked_process_has_everything_but_its_imports_of_its_own(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+b") as log:
        process = warm.start("timeit", "-n1", "-r1", LOOK, env={"ONLY": "this"}, log=log)
        assert process.wait(60) == 0
    said = (tmp_path / "log").read_text().splitlines()[0]
    assert said == f"{process.pid} {process.pid} {warm.ROOT} environ({{'ONLY': 'this'}}) ['0', '1', '2'] 1"


def test_a_forked_process_ends_as_any_other(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+b") as log:
        assert warm.start("timeit", "-n1", "-r1", "no_such_name", env={}, log=log).wait(60) == 1
        assert warm.start("timeit", "-n1", "-r1", "import os; os._exit(7)", env={}, log=log).wait(60) == 7
        waiting = warm.start("timeit", "-n1", "-r1", "import time; time.sleep(600)", env={}, log=log)
        assert waiting.poll() is None
        waiting.kill()
        assert (waiting.wait(60), waiting.poll()) == (-signal.SIGKILL, -signal.SIGKILL)
    assert "NameError: name 'no_such_name' is not defined" in (tmp_path / "log").read_text()


def test_no_forked_process_outlives_whoever_asked_for_it() -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ONE_THAT_WAITS], cwd=warm.ROOT, env=dict(os.environ), stdout=subprocess.PIPE, check=True
    )
    pid = int(asked.stdout)
    until(lambda: not lives(pid), 60, lambda: f"{pid} lives on")


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
