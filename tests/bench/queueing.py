"""The scheduler alone: due rows published a second, with few and with many rows pending, in turns."""

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass

import aio_pika
import asyncpg

from shared.messages import BULK, RemindersDue
from tests.bench import seed
from tests.bench.figures import Figure, Goal, paired
from tests.bench.processes import Cpu, used
from tests.bench.sending import MAKE_DUE
from tests.bench.sizes import Sizes
from tests.bench.stage import Ground, Stage, Wanted
from tests.servers.postgres import run

FEW, MANY = "few_pending", "many_pending"
EACH = 5  # reminders of an invoice: one is due, and the rows of the others, pending or (where few are pending) over, lie around it
LONGEST = 60.0
POLL = {"DUNNOCK_DUE_POLL": "0.02"}
NEXT_DAY = "UPDATE business_clock SET ahead = ahead + interval '1 day'"
QUEUED = "UPDATE reminder SET state = 'cancelled', reason = 'paid', queued_at = NULL WHERE state = 'queued'"


@dataclass(frozen=True, slots=True)
class Side:
    """One database with its scheduler and its virtual host."""

    database: str
    amqp: str


@dataclass(frozen=True, slots=True)
class Published:
    rows: int
    seconds: float
    cpu: Cpu

    @property
    def rate(self) -> float:
        return self.rows / self.seconds

    @property
    def cpu_per_1000(self) -> float:
        return self.cpu.total * 1000 / self.rows


def grounds(sizes: Sizes) -> list[Ground]:
    few, many = sizes.few_pending, sizes.many_pending
    return [
        Ground(FEW, few, lambda at: seed.lay(at, seed.Ground(few, few))),
        Ground(MANY, many, lambda at: _lay_many(at, few, many // EACH)),
    ]


async def _lay_many(database: str, at_once: int, invoices: int) -> None:
    await seed.lay(database, seed.Ground(at_once, invoices))
    connection = await asyncpg.connect(database)
    try:
        await seed.plan(connection, at_once, EACH, unused=True)
    finally:
        await connection.close()


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    with ExitStack() as stack:
        sides = [
            Side(stage.address(name), stack.enter_context(stage.broker.fresh_virtual_host())) for name in (FEW, MANY)
        ]
        stack.enter_context(stage.services(*(Wanted("scheduler", side.database, side.amqp, POLL) for side in sides)))
        few, many = sides
        turns = [_turn(stage, few, many, sizes, number) for number in range(sizes.due_repeats + 1)][1:]
    for side in sides:
        stage.forget(side.database)
    return _figures([turn[0] for turn in turns], [turn[1] for turn in turns], sizes)


def _turn(stage: Stage, few: Side, many: Side, sizes: Sizes, number: int) -> tuple[Published, Published]:
    """The first one warms up."""
    due = sizes.few_pending
    one = run(_publish(stage, few, due, MAKE_DUE, anew=True))
    other = run(_publish(stage, many, due, NEXT_DAY if number else MAKE_DUE, anew=False))
    stage.tell(f"scheduler: {one.rate:,.0f} rows/s of few pending, {other.rate:,.0f} of many")
    return one, other


async def _publish(stage: Stage, side: Side, rows: int, make_due: str, *, anew: bool) -> Published:
    """From the moment they are due until the broker has given them all out."""
    connection = await asyncpg.connect(side.database)
    broker = await aio_pika.connect(side.amqp)
    try:
        queue = await (await broker.channel()).get_queue(BULK)
        await queue.purge()
        if anew:
            await seed.plan(connection, rows, EACH, one_left=True)
        else:
            await connection.execute(QUEUED)
            await connection.execute("VACUUM reminder")
            await connection.execute("CHECKPOINT")
        cpu, began = used([stage.sink.pid]), time.monotonic()
        await connection.execute(make_due)
        async with asyncio.timeout(LONGEST):
            await _taken(queue, rows)
        return Published(rows, time.monotonic() - began, used([stage.sink.pid]) - cpu)
    finally:
        await broker.close()
        await connection.close()


async def _taken(queue: aio_pika.abc.AbstractQueue, rows: int) -> None:
    """Until so many ids came out of the queue; their count is checked, and that none came twice."""
    ids: list[int] = []
    async with queue.iterator(no_ack=True) as messages:
        async for message in messages:
            ids.extend(RemindersDue.decode(message.body).ids)
            if len(ids) >= rows:
                break
    if len(ids) != rows or len(set(ids)) != rows:
        raise RuntimeError(f"{rows} rows are due, {len(ids)} ids were published, {len(set(ids))} different ones")


def _figures(few: list[Published], many: list[Published], sizes: Sizes) -> list[Figure]:
    n, name = sizes.few_pending, f"scheduler, {sizes.many_pending:,} rows pending against {sizes.few_pending:,}"
    return [
        paired(name, "rows/s", [one.rate for one in many], [one.rate for one in few], Goal(">=", 0.8), n),
        paired(
            "  its CPU", "CPU s/1000", [one.cpu_per_1000 for one in many], [one.cpu_per_1000 for one in few], None, n
        ),
    ]
