"""The scheduler alone: due rows published a second, with few and with many rows pending, in turns."""

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass

import aio_pika
import asyncpg

from shared.messages import BULK
from tests.bench import seed
from tests.bench.figures import Figure, Goal, paired
from tests.bench.processes import Cpu, used
from tests.bench.sending import MAKE_DUE
from tests.bench.sizes import Sizes
from tests.bench.stage import Stage
from tests.servers.postgres import run

DUE_AT_ONCE = 10_000
EACH = 5  # reminders of an invoice, where many are pending: their rows lie between those that are due
MESSAGES = DUE_AT_ONCE // 50
LONGEST, TICK = 60.0, 0.005
NEXT_DAY = "UPDATE business_clock SET ahead = ahead + interval '1 day'"
QUEUED = "UPDATE reminder SET state = 'cancelled', reason = 'paid', queued_at = NULL WHERE state = 'queued'"


@dataclass(frozen=True, slots=True)
class Side:
    """One database with its scheduler and its virtual host."""

    database: str
    amqp: str


@dataclass(frozen=True, slots=True)
class Published:
    seconds: float
    cpu: Cpu

    @property
    def rate(self) -> float:
        return DUE_AT_ONCE / self.seconds

    @property
    def cpu_per_1000(self) -> float:
        return self.cpu.total * 1000 / DUE_AT_ONCE


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    few, many = stage.database("few"), stage.database("many")
    run(seed.lay(few, seed.Ground(DUE_AT_ONCE, DUE_AT_ONCE)))
    stage.tell(f"scheduler: making {sizes.many_pending:,} pending rows")
    run(_fill(many, sizes.many_pending))
    stage.tell("scheduler: made")
    with ExitStack() as stack:
        amqp = [stack.enter_context(stage.broker.fresh_virtual_host()) for _ in range(2)]
        sides = [Side(few, amqp[0]), Side(many, amqp[1])]
        for side in sides:
            stack.enter_context(
                stage.service(
                    "scheduler", side.database, side.amqp, DUNNOCK_DUE_POLL="0.02", DUNNOCK_MAX_QUEUED="100000"
                )
            )
        turns = [_turn(stage, *sides, first=number == 0) for number in range(sizes.due_repeats + 1)][1:]
    stage.forget(few)
    stage.forget(many)
    return _figures([few for few, _ in turns], [many for _, many in turns], sizes)


async def _fill(database: str, pending: int) -> None:
    await seed.lay(database, seed.Ground(DUE_AT_ONCE, pending // EACH))
    connection = await asyncpg.connect(database)
    try:
        await seed.plan(connection, DUE_AT_ONCE, EACH)
    finally:
        await connection.close()


def _turn(stage: Stage, few: Side, many: Side, *, first: bool) -> tuple[Published, Published]:
    one = run(_publish(stage, few, MAKE_DUE, anew=True))
    other = run(_publish(stage, many, MAKE_DUE if first else NEXT_DAY, anew=False))
    stage.tell(f"scheduler: {one.rate:,.0f} rows/s of few pending, {other.rate:,.0f} of many")
    return one, other


async def _publish(stage: Stage, side: Side, make_due: str, *, anew: bool) -> Published:
    """From the moment they are due until the broker has them all."""
    connection = await asyncpg.connect(side.database)
    broker = await aio_pika.connect(side.amqp)
    try:
        queue = await (await broker.channel()).declare_queue(BULK, passive=True)
        await queue.purge()
        if anew:
            await seed.plan(connection, DUE_AT_ONCE)
        else:
            await connection.execute(QUEUED)
            await connection.execute("VACUUM reminder")
            await connection.execute("CHECKPOINT")
        cpu, began = used([stage.sink.pid]), time.monotonic()
        await connection.execute(make_due)
        async with asyncio.timeout(LONGEST):
            while ((await queue.declare()).message_count or 0) < MESSAGES:  # passive: it only asks
                await asyncio.sleep(TICK)
        return Published(time.monotonic() - began, used([stage.sink.pid]) - cpu)
    finally:
        await broker.close()
        await connection.close()


def _figures(few: list[Published], many: list[Published], sizes: Sizes) -> list[Figure]:
    name = f"scheduler, {sizes.many_pending:,} rows pending against {DUE_AT_ONCE:,}"
    return [
        paired(name, "rows/s", [one.rate for one in many], [one.rate for one in few], Goal(">=", 0.8)),
        paired("  its CPU", "CPU s/1000", [one.cpu_per_1000 for one in many], [one.cpu_per_1000 for one in few], None),
    ]
