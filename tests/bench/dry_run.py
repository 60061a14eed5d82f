"""A flow's dry run over all open invoices, through the real endpoint: how long it takes, and that its memory is flat."""

import time
from dataclasses import dataclass

import asyncpg
import httpx

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
    "UPDATE installment SET due_date = current_date - 30 + (invoice_id % 120)::int",
    "UPDATE customer SET timezone = (ARRAY['Europe/Madrid', 'Europe/Berlin', 'America/Bogota', 'America/Lima'])[1 + id % 4]",
    "UPDATE customer SET country = (ARRAY['ES', 'DE', 'CO', 'PE'])[1 + id % 4]",
    "UPDATE contact_point SET retired_at = now() WHERE kind = 'email' AND customer_id % 10 = 0",
    "INSERT INTO hold (kind, customer_id, reason, until) SELECT 'hold', id, 'x', now() + '20 days' FROM customer WHERE id % 50 = 0",
    "INSERT INTO channel (name, reaches, discreet) VALUES ('email', 'email', true), ('sms', 'phone', false) ON CONFLICT DO NOTHING",
    "INSERT INTO provider (channel, name, own_price) VALUES ('email', 'smtp', 0.0001), ('sms', 'twilio', 0.05) ON CONFLICT DO NOTHING",
    "VACUUM ANALYZE",
)


@dataclass(frozen=True, slots=True)
class Ran:
    seconds: float
    messages: int
    peak: float


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    few, many = _dry_run(stage, sizes.dry_run_invoices // 5), _dry_run(stage, sizes.dry_run_invoices)
    name = f"dry run, {sizes.dry_run_invoices:,} invoices x {DAYS} days"
    return [
        Figure(name, many.seconds, "s", goal=Goal("<=", 60)),
        Figure("  foreseen", many.messages / many.seconds, "messages/s"),
        Figure("  its peak memory, against a fifth", many.peak, "MB", few.peak, many.peak / few.peak, Goal("<=", 1.2)),
    ]


def _dry_run(stage: Stage, invoices: int) -> Ran:
    """By a process of its own, so that its peak is that of this run."""
    database = stage.database(f"dry_run_{invoices}")
    run(seed.lay(database, seed.Ground(invoices // 4, invoices)))
    run(_vary(database))
    with stage.broker.fresh_virtual_host() as amqp, stage.service("scheduler", database, amqp) as (scheduler, port):
        began = time.monotonic()
        answer = httpx.post(
            f"http://127.0.0.1:{port}/v1/flows/dry-run",
            json={"flow": "standard", "days": DAYS},
            headers={"Authorization": f"Bearer {API_KEY}"},
            timeout=600,
        )
        seconds = time.monotonic() - began
        found = answer.raise_for_status().json()
        assert found["invoices"] == invoices, found
        ran = Ran(seconds, found["messages"], peak_resident(scheduler.pid))
    stage.tell(f"dry run: {invoices:,} invoices, {ran.messages:,} messages, {seconds:.1f} s, at most {ran.peak:.0f} MB")
    stage.forget(database)
    return ran


async def _vary(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        for statement in VARIETY:
            await connection.execute(statement)
    finally:
        await connection.close()
