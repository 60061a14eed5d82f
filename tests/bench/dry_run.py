"""A flow's dry run over all open invoices, through the real endpoint: how long it takes, and that its memory is flat."""

import time
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx

from shared.flow import standard
from tests.bench import seed
from tests.bench.figures import Figure, Goal
from tests.bench.processes import peak_resident
from tests.bench.sizes import Sizes
from tests.bench.stage import API_KEY, Stage
from tests.servers.postgres import run

DAYS = 90
# As a year of business has it: due dates from a month ago to a quarter ahead, four zones, some on hold, some reached by phone only.
VARIETY = (
    "SET session_replication_role = replica",
    "UPDATE invoice SET issue_date = current_date - (id % 60)::int",
    "UPDATE installment SET due_date = current_date - 30 + (abs(hashint8(invoice_id)::bigint) % 120)::int",
    "UPDATE customer SET timezone = (ARRAY['Europe/Madrid', 'Europe/Berlin', 'America/Bogota', 'America/Lima'])[1 + id % 4]",
    "UPDATE customer SET country = (ARRAY['ES', 'DE', 'CO', 'PE'])[1 + id % 4]",
    "UPDATE contact_point SET retired_at = now() WHERE kind = 'email' AND customer_id % 10 = 0",
    "INSERT INTO hold (kind, customer_id, reason, until) SELECT 'hold', id, 'x', now() + '20 days' FROM customer WHERE id % 50 = 0",
    "INSERT INTO channel (name, reaches, discreet) VALUES ('email', 'email', true), ('sms', 'phone', false) ON CONFLICT DO NOTHING",
    "INSERT INTO provider (channel, name, own_price) VALUES ('email', 'smtp', 0.0001), ('sms', 'twilio', 0.05) ON CONFLICT DO NOTHING",
    "VACUUM ANALYZE",
)


# Customers' invoices then walk together, so that hardly any two customers are alike.
JOINED = {**standard().to_dict(), "group": "customer", "caps": {"per_day": 1, "per_week": 3, "gap": "PT20H"}}


@dataclass(frozen=True, slots=True)
class Ran:
    seconds: float
    messages: int
    peak: float


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    (few, _), (many, joined) = _dry_runs(stage, sizes.dry_run_invoices // 5), _dry_runs(stage, sizes.dry_run_invoices)
    name = f"dry run, {sizes.dry_run_invoices:,} invoices x {DAYS} days"
    return [
        Figure(name, many.seconds, "s", goal=Goal("<=", 60)),
        Figure("  foreseen", many.messages / many.seconds, "messages/s"),
        Figure("  its peak memory, against a fifth", many.peak, "MB", few.peak, many.peak / few.peak, Goal("<=", 1.2)),
        Figure("  with one message for all, and caps", joined.seconds, "s", goal=Goal("<=", 60)),
        Figure(
            "  its peak memory, against that of without",
            joined.peak,
            "MB",
            many.peak,
            joined.peak / many.peak,
            Goal("<=", 1.5),
        ),
    ]


def _dry_runs(stage: Stage, invoices: int) -> tuple[Ran, Ran]:
    """Without and then with what joins a customer's invoices, by a process of its own, so that its peak is theirs."""
    database = stage.database(f"dry_run_{invoices}")
    run(seed.lay(database, seed.Ground(invoices // 4, invoices)))
    run(_vary(database))
    with stage.broker.fresh_virtual_host() as amqp, stage.service("scheduler", database, amqp) as (scheduler, port):
        ran = [_dry_run(stage, invoices, flow, port, scheduler.pid) for flow in ("standard", JOINED)]
    stage.forget(database)
    return ran[0], ran[1]


def _dry_run(stage: Stage, invoices: int, flow: str | dict[str, Any], port: int, pid: int) -> Ran:
    began = time.monotonic()
    answer = httpx.post(
        f"http://127.0.0.1:{port}/v1/flows/dry-run",
        json={"flow": flow, "days": DAYS},
        headers={"Authorization": f"Bearer {API_KEY}"},
        timeout=600,
    )
    seconds = time.monotonic() - began
    found = answer.raise_for_status().json()
    assert found["invoices"] == invoices, found
    ran = Ran(seconds, found["messages"], peak_resident(pid))
    stage.tell(f"dry run: {invoices:,} invoices, {ran.messages:,} messages, {seconds:.1f} s, at most {ran.peak:.0f} MB")
    return ran


async def _vary(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        for statement in VARIETY:
            await connection.execute(statement)
    finally:
        await connection.close()
