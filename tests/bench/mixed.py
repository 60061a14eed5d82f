"""Mixed channels: mails at the same time as calls over a provider that takes seconds for each, against mails alone, in turns."""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import asyncpg

from tests.bench import seed
from tests.bench.figures import Figure, Goal, between, paired
from tests.bench.processes import Child, started
from tests.bench.sending import TICK, sent
from tests.bench.sizes import Sizes
from tests.bench.stage import Ground, Stage, Wanted
from tests.servers.postgres import run

GROUND = "mixed"
CALLS, SECONDS, LONGEST = 400, 2.0, 60.0
PLAN_CALLS = """
INSERT INTO reminder (invoice_id, installment_id, flow_version_id, generation, step, occurrence, anchor, anchor_date, state, due_at,
                      send_until)
SELECT r.invoice_id, r.installment_id, r.flow_version_id, 0, 'delinquent', 1, 'due', r.anchor_date, 'pending', r.due_at, r.send_until
  FROM reminder r WHERE r.invoice_id <= $1
"""
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


def grounds(sizes: Sizes) -> list[Ground]:
    mails = sizes.mixed_mails
    return [Ground(GROUND, mails, lambda at: seed.lay(at, seed.Ground(mails, mails)))]


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    database, mails = stage.address(GROUND), sizes.mixed_mails
    alone, mixed = [], []
    with ExitStack() as stack:
        company = stack.enter_context(started("-m", "tests.bench.slow_calls", str(SECONDS)))
        amqp = stack.enter_context(stage.broker.fresh_virtual_host())
        voice = _voice(int(company.line()))
        stack.enter_context(
            stage.services(Wanted("scheduler", database, amqp), Wanted("dispatcher", database, amqp, voice))
        )
        _sent(stage, company, database, mails // 10, CALLS // 10)
        for _ in range(sizes.mixed_repeats):
            alone.append(_sent(stage, company, database, mails, 0))
            mixed.append(_sent(stage, company, database, mails, CALLS))
        alone.append(_sent(stage, company, database, mails, 0))
    stage.forget(database)
    return _figures(mixed, alone, mails)


def _figures(mixed: list[Mailed], alone: list[Mailed], n: int) -> list[Figure]:
    name, waited = "mails beside slow calls, against mails alone", "  their p95 from claim to record"
    rates, waits = between([one.rate for one in alone]), between([one.waited for one in alone])
    return [
        paired(name, "mails/s", [one.rate for one in mixed], rates, Goal(">=", 0.85), n),
        paired(waited, "s", [one.waited for one in mixed], waits, Goal("<=", 1.15), n),
        Figure("  calls begun meanwhile", median(one.calls for one in mixed), "calls", n=CALLS, repeats=len(mixed)),
    ]


def _voice(port: int) -> dict[str, str]:
    return {
        "DUNNOCK_TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "DUNNOCK_TWILIO_AUTH_TOKEN": "token of the benchmark",
        "DUNNOCK_TWILIO_BASE_URL": f"http://127.0.0.1:{port}",
        "DUNNOCK_TWILIO_VOICE_FROM": "+15005550006",
    }


def _sent(stage: Stage, company: Child, database: str, mails: int, calls: int) -> Mailed:
    mailed = run(_send(stage, company, database, mails, calls))
    stage.tell(f"{mails:,} mails beside {calls} calls: {mailed}")
    return mailed


async def _send(stage: Stage, company: Child, database: str, mails: int, calls: int) -> Mailed:
    """Until the last mail is written back; the calls of the run before have ended when it begins."""
    connection = await asyncpg.connect(database)
    try:
        await seed.plan(connection, mails)
        await connection.execute("DELETE FROM reminder WHERE due_at > business_now() + interval '2 hours'")
        await connection.execute(PLAN_CALLS, calls)
        await _quiet(company)
        ran = await sent(stage, connection, mails, lambda: None)
        return Mailed(ran.rate, await connection.fetchval(WAITED), await connection.fetchval(CALLED))
    finally:
        await connection.close()


async def _quiet(company: Child) -> None:
    """Until no call is being made."""
    async with asyncio.timeout(LONGEST):
        while await asyncio.to_thread(_calls, company):
            await asyncio.sleep(TICK)


def _calls(company: Child) -> int:
    company.say("how many")
    return int(company.line())
