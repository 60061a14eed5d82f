"""How long the sending of what is due takes, and what it costs, whoever does it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg

from tests.bench import seed
from tests.bench.processes import Cpu, used
from tests.bench.stage import Stage

LONGEST = 120.0
TICK = 0.01
MAKE_DUE = "UPDATE business_clock SET ahead = ahead + interval '2 hours'"
REST = """SELECT r.state, r.reason, a.state, a.detail, count(*) FROM reminder r
 LEFT JOIN attempt a ON a.reminder_id = r.id AND a.fence = r.fence GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT 8"""
DONE = "SELECT count(*) FROM reminder WHERE step <> 'delinquent' AND state = 'accepted'"


@dataclass(frozen=True, slots=True)
class Sent:
    """One measured run."""

    mails: int
    seconds: float
    cpu: Cpu

    @property
    def rate(self) -> float:
        return self.mails / self.seconds

    @property
    def cpu_per_1000(self) -> float:
        return self.cpu.total * 1000 / self.mails

    def __str__(self) -> str:
        parts = " + ".join(
            f"{seconds * 1000 / self.mails:.3f} {name}"
            for name, seconds in (
                ("Python", self.cpu.python),
                ("PostgreSQL", self.cpu.postgres),
                ("RabbitMQ", self.cpu.rabbitmq),
            )
        )
        return f"{self.rate:,.0f} mails/s, CPU s/1000 {self.cpu_per_1000:.3f} = {parts}"


async def send(stage: Stage, database: str, mails: int, go: Callable[[], None], idle: Sequence[int] = ()) -> Sent:
    """From the moment that `mails` reminders are due, and `go` was called, until all of them are handed over and written back.
    `idle`: processes that have nothing to do with it; what they use does not count."""
    connection = await asyncpg.connect(database)
    try:
        await seed.plan(connection, mails)
        return await sent(stage, connection, mails, go, idle)
    finally:
        await connection.close()


async def sent(
    stage: Stage, connection: asyncpg.Connection, mails: int, go: Callable[[], None], idle: Sequence[int] = ()
) -> Sent:
    """The same of what is planned already."""
    without = [stage.sink.pid, *idle]
    before = await stage.sink.taken()
    cpu, began = used(without), time.monotonic()
    await connection.execute(MAKE_DUE)
    go()
    await _until(stage, connection, before + mails, mails)
    return Sent(mails, time.monotonic() - began, used(without) - cpu)


async def _until(stage: Stage, connection: asyncpg.Connection, taken: int, mails: int) -> None:
    """The database is asked only when the sink has everything, so that asking costs nothing."""
    try:
        async with asyncio.timeout(LONGEST):
            while await stage.sink.taken() < taken:
                await asyncio.sleep(TICK)
            while await connection.fetchval(DONE) < mails:
                await asyncio.sleep(TICK)
    except TimeoutError:
        rest = [tuple(row) for row in await connection.fetch(REST)]
        missing = taken - await stage.sink.taken()
        raise RuntimeError(
            f"not all of {mails} arrived in {LONGEST} s: {missing} missing, the ledger says {rest}"
        ) from None
