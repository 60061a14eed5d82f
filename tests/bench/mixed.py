"""Mixed channels: mails at the same time as calls over a provider that takes seconds for each, against mails alone."""

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass

import asyncpg

from tests.bench import seed
from tests.bench.figures import Figure, Goal, paired
from tests.bench.processes import started
from tests.bench.sending import LONGEST, MAKE_DUE, TICK
from tests.bench.sizes import Sizes
from tests.bench.stage import Stage
from tests.servers.postgres import run

REPEATS, WARM_UP = 5, 1000
CALLS, SECONDS = 400, 2.0
PLAN_CALLS = """
INSERT INTO reminder (invoice_id, installment_id, flow_version_id, generation, step, occurrence, anchor, anchor_date, state, due_at,
                      send_until)
SELECT r.invoice_id, r.installment_id, r.flow_version_id, 0, 'delinquent', 1, 'due', r.anchor_date, 'pending', r.due_at, r.send_until
  FROM reminder r WHERE r.invoice_id <= $1
"""
DONE = "SELECT count(*) FROM attempt WHERE channel = 'email' AND state = 'accepted'"
WAITED = """
SELECT percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM e.at - a.at))::float
  FROM attempt a JOIN event e ON e.reminder_id = a.reminder_id AND e.kind = 'attempt.accepted' WHERE a.channel = 'email'
"""
CALLED = "SELECT count(*) FROM attempt WHERE channel = 'voice'"


@dataclass(frozen=True, slots=True)
class Mailed:
    """`waited`: seconds from the claim to the record of what became of it, of 95 in 100 mails."""

    rate: float
    waited: float
    calls: int

    def __str__(self) -> str:
        return f"{self.rate:,.0f} mails/s, p95 {self.waited:.3f} s from claim to record, {self.calls} calls begun"


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    database = stage.database("mixed")
    run(seed.lay(database, seed.Ground(sizes.mails, sizes.mails)))
    alone, mixed = [], []
    with started("-m", "tests.bench.slow_calls", str(SECONDS)) as company:
        port = int(company.line())
        for _ in range(REPEATS):
            alone.append(_sent(stage, database, port, sizes.mails, 0))
            mixed.append(_sent(stage, database, port, sizes.mails, CALLS))
    stage.forget(database)
    return [
        paired(
            "mails beside slow calls, against mails alone",
            "mails/s",
            [one.rate for one in mixed],
            [one.rate for one in alone],
            Goal(">=", 0.85),
        ),
        paired(
            "  their p95 from claim to record",
            "s",
            [one.waited for one in mixed],
            [one.waited for one in alone],
            Goal("<=", 1.15),
        ),
    ]


def _sent(stage: Stage, database: str, port: int, mails: int, calls: int) -> Mailed:
    """With processes of its own, so that no call of one run rings in the next."""
    voice = {
        "DUNNOCK_TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "DUNNOCK_TWILIO_AUTH_TOKEN": "token of the benchmark",
        "DUNNOCK_TWILIO_BASE_URL": f"http://127.0.0.1:{port}",
        "DUNNOCK_TWILIO_VOICE_FROM": "+15005550006",
    }
    with ExitStack() as stack:
        amqp = stack.enter_context(stage.broker.fresh_virtual_host())
        stack.enter_context(stage.service("scheduler", database, amqp, DUNNOCK_DUE_POLL="0.1"))
        stack.enter_context(stage.service("dispatcher", database, amqp, **voice))
        run(_send(database, WARM_UP, min(calls, 60)))
        mailed = run(_send(database, mails, calls))
    stage.tell(f"{calls} calls: {mailed}")
    return mailed


async def _send(database: str, mails: int, calls: int) -> Mailed:
    """From the moment that all of it is due until the last mail is written back."""
    connection = await asyncpg.connect(database)
    try:
        await seed.plan(connection, mails)
        await connection.execute("DELETE FROM reminder WHERE due_at > business_now() + interval '2 hours'")
        await connection.execute(PLAN_CALLS, calls)
        began = time.monotonic()
        await connection.execute(MAKE_DUE)
        async with asyncio.timeout(LONGEST):
            while await connection.fetchval(DONE) < mails:
                await asyncio.sleep(TICK)
        seconds = time.monotonic() - began
        return Mailed(mails / seconds, await connection.fetchval(WAITED), await connection.fetchval(CALLED))
    finally:
        await connection.close()
