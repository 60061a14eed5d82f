"""Webhook -> cancelled: the real payments process against an endpoint that only verifies the signature and inserts one row."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import mean

import asyncpg

from shared.db.embedded import free_port
from tests.bench import seed
from tests.bench.figures import Figure, Goal, paired
from tests.bench.load import send
from tests.bench.processes import Child, peak_resident, resident, started, wait_ready
from tests.bench.round_trips import wire
from tests.bench.sizes import Sizes
from tests.bench.stage import Ground, Stage
from tests.bench.webhook_bodies import SECRET, paid
from tests.servers.postgres import run

GROUND = "webhook"
CONNECTIONS, PENDING = 32, 5
WARM_UP, ALONE, COUNTED, IN_FLIGHT = 300, 20, 120, 32
SOURCE = "INSERT INTO source (ref, kind, config) VALUES ('bank', 'standard_webhook', $1)"
THANKS = """
INSERT INTO reminder (invoice_id, flow_version_id, generation, step, anchor, state, requires_open)
SELECT i.id, i.flow_version_id, 0, 'thank-you', 'payment', 'waiting', false FROM invoice i ORDER BY i.id
"""
SEND = """
WITH sent AS (
  UPDATE reminder SET state = 'sending', fence = 1, lease = clock_timestamp() + interval '1 minute'
   WHERE occurrence = 1 AND step <> 'thank-you' AND invoice_id IN (SELECT id FROM invoice WHERE ref = ANY ($1::text[])) RETURNING *)
INSERT INTO attempt (reminder_id, fence, invoice_id, channel, contact_point_id, provider, state, lease)
SELECT id, 1, invoice_id, 'email', 1, 'smtp', 'started', lease FROM sent
"""
CANCELLED = "SELECT count(*) FROM reminder WHERE state = 'cancelled' AND reason = 'paid'"
NO_BUS = "amqp://nobody:nothing@127.0.0.1:1/"


@dataclass(frozen=True, slots=True)
class Answered:
    """One measured run."""

    seconds: float
    ms: list[float]

    @property
    def rate(self) -> float:
        return len(self.ms) / self.seconds

    @property
    def p99(self) -> float:
        return self.ms[len(self.ms) * 99 // 100]


def grounds(sizes: Sizes) -> list[Ground]:
    return [Ground(GROUND, _total(sizes) * (PENDING + 1), lambda at: _fill(at, _total(sizes)))]


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    database, total = stage.address(GROUND), _total(sizes)
    unpaid = [f"I-{number}" for number in range(total, 0, -1)]
    ours, theirs = [], []
    with ExitStack() as stack:
        payments, port = stack.enter_context(stage.service("payments", database, NO_BUS))
        rest = resident(payments.pid)
        bare_port = free_port()
        bare = stack.enter_context(
            started("-m", "tests.bench.bare_webhook", database, str(bare_port), log=stage.folder / "bare_webhook.log")
        )
        wait_ready(bare, bare_port)
        load = stack.enter_context(started("-m", "tests.bench.load"))
        warm = _taken(unpaid, WARM_UP)
        for at in (port, bare_port):
            _load(load, at, warm, "warm")
        for number in range(sizes.webhook_repeats):
            invoices = _taken(unpaid, sizes.webhooks)
            theirs.append(_load(load, bare_port, invoices, f"bare{number}"))
            ours.append(_load(load, port, invoices, f"run{number}"))
            stage.tell(f"webhook: {ours[-1].rate:,.0f}/s, bare {theirs[-1].rate:,.0f}/s")
        _check(run(_count(database)), WARM_UP + sizes.webhooks * sizes.webhook_repeats)
        memory = {"payments at rest": rest, "payments under load": peak_resident(payments.pid)}
        barrier = run(_barrier(database, port, _taken(unpaid, IN_FLIGHT)))
    round_trips = _round_trips(stage, database, _taken(unpaid, COUNTED))
    stage.forget(database)
    n, rate = sizes.webhooks, "requests/s"
    figures = [
        paired("webhook -> cancelled", rate, [o.rate for o in ours], [t.rate for t in theirs], Goal(">=", 0.3), n),
        paired("  its p99", "ms", [o.p99 for o in ours], [t.p99 for t in theirs], Goal("<=", 3), n),
        Figure("  its round trips to PostgreSQL", round_trips, "a request", goal=Goal("<=", 3), n=COUNTED - ALONE),
        Figure("  its wait at the barrier, sends in flight", barrier, "ms", n=IN_FLIGHT),
    ]
    return [*figures, *(Figure(name, value, "MB", n=n) for name, value in memory.items())]


def _total(sizes: Sizes) -> int:
    return WARM_UP + sizes.webhooks * sizes.webhook_repeats + COUNTED + IN_FLIGHT


async def _fill(database: str, invoices: int) -> None:
    await seed.lay(database, seed.Ground(1000, invoices))
    connection = await asyncpg.connect(database)
    try:
        await seed.plan(connection, invoices, PENDING, unused=True)
        await connection.execute(THANKS)
        await connection.execute(SOURCE, json.dumps({"secrets": [SECRET]}))
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _taken(unpaid: list[str], count: int) -> list[str]:
    taken, unpaid[-count:] = unpaid[-count:], []
    return taken


def _load(load: Child, port: int, invoices: Sequence[str], event: str) -> Answered:
    load.say(json.dumps({"port": port, "connections": CONNECTIONS, "invoices": invoices, "event": event}))
    load.line()
    load.say("go")
    said = json.loads(load.line())
    if set(said["statuses"]) != {"200"}:
        raise RuntimeError(f"webhooks were answered with {said['statuses']}")
    return Answered(said["seconds"], said["ms"])


async def _count(database: str) -> int:
    connection = await asyncpg.connect(database)
    try:
        return int(await connection.fetchval(CANCELLED))
    finally:
        await connection.close()


def _check(cancelled: int, invoices: int) -> None:
    if cancelled != invoices * PENDING:
        raise RuntimeError(f"{cancelled} reminders are cancelled, of {invoices} paid invoices with {PENDING} each")


def _round_trips(stage: Stage, database: str, invoices: Sequence[str]) -> float:
    """One request after the other, after some that fill what is remembered."""
    warm, counted = invoices[:ALONE], invoices[ALONE:]
    with wire(database) as carried, stage.service("payments", carried.address, NO_BUS) as (_, port):
        run(send(port, 1, paid(warm, "alone")))
        before = carried.round_trips
        run(send(port, 1, paid(counted, "alone")))
        return (carried.round_trips - before) / len(counted)


async def _barrier(database: str, port: int, invoices: Sequence[str]) -> float:
    """How long the answer waits when a message of each invoice has just been claimed."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(SEND, list(invoices))
    finally:
        await connection.close()
    took: list[float] = (await send(port, len(invoices), paid(invoices, "barrier")))["ms"]
    return mean(took)
