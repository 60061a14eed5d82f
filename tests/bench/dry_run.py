"""A flow's dry run over all open invoices, through the real endpoint: how long it takes, and that its memory is flat."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx

from shared.flow import standard
from tests.bench import seed
from tests.bench.bulk import CHECKED, LONG, UNCHECKED
from tests.bench.figures import Figure, Goal
from tests.bench.processes import Child, peak_resident
from tests.bench.sizes import Sizes
from tests.bench.stage import API_KEY, Ground, Stage, Wanted

FEW, MANY = "dry_run_few", "dry_run_many"
DAYS = 90
# As a year of business has it: due dates from a month ago to a quarter ahead, four zones, some on hold, some reached by phone only.
VARIETY = (
    UNCHECKED,
    "UPDATE invoice SET issue_date = current_date - (id % 60)::int",
    "UPDATE installment SET due_date = current_date - 30 + (abs(hashint8(invoice_id)::bigint) % 120)::int",
    "UPDATE customer SET timezone = (ARRAY['Europe/Madrid', 'Europe/Berlin', 'America/Bogota', 'America/Lima'])[1 + id % 4]",
    "UPDATE customer SET country = (ARRAY['ES', 'DE', 'CO', 'PE'])[1 + id % 4]",
    "UPDATE contact_point SET retired_at = now() WHERE kind = 'email' AND customer_id % 10 = 0",
    "INSERT INTO hold (kind, customer_id, reason, until) SELECT 'hold', id, 'x', now() + '20 days' FROM customer WHERE id % 50 = 0",
    "INSERT INTO channel (name, reaches, discreet) VALUES ('email', 'email', true), ('sms', 'phone', false) ON CONFLICT DO NOTHING",
    "INSERT INTO provider (channel, name, own_price) VALUES ('email', 'smtp', 0.0001), ('sms', 'twilio', 0.05) ON CONFLICT DO NOTHING",
    CHECKED,
    "VACUUM ANALYZE",
    "CHECKPOINT",
)


# Customers' invoices then walk together, so that hardly any two customers are alike.
JOINED = {**standard().to_dict(), "group": "customer", "caps": {"per_day": 1, "per_week": 3, "gap": "PT20H"}}


@dataclass(frozen=True, slots=True)
class Ran:
    seconds: float
    messages: int
    peak: float


def grounds(sizes: Sizes) -> list[Ground]:
    few, many = sizes.dry_run_invoices // 5, sizes.dry_run_invoices
    return [Ground(FEW, 5 * few, lambda at: _lay(at, few)), Ground(MANY, 5 * many, lambda at: _lay(at, many))]


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    """By a process for each size, so that its peak is that of this size."""
    with ExitStack() as stack:
        hosts = [stack.enter_context(stage.broker.fresh_virtual_host()) for _ in range(2)]
        wanted = [Wanted("scheduler", stage.address(name), host) for name, host in zip((FEW, MANY), hosts, strict=True)]
        one, other = stack.enter_context(stage.services(*wanted))
        few = _dry_run(stage, sizes.dry_run_invoices // 5, "standard", *one)
        many = _dry_run(stage, sizes.dry_run_invoices, "standard", *other)
        as_many = sizes.joined_invoices == sizes.dry_run_invoices
        joined = _dry_run(stage, sizes.joined_invoices, JOINED, *(other if as_many else one))
    for name in (FEW, MANY):
        stage.forget(stage.address(name))
    return [*_figures(few, many, sizes.dry_run_invoices), *_joined(joined, many if as_many else few, sizes)]


def _figures(few: Ran, many: Ran, n: int) -> list[Figure]:
    name = f"dry run, {n:,} invoices x {DAYS} days"
    return [
        Figure(name, many.seconds, "s", goal=Goal("<=", 60), n=n),
        Figure("  foreseen", many.messages / many.seconds, "messages/s", n=many.messages),
        Figure(
            "  its peak memory, against a fifth", many.peak, "MB", few.peak, many.peak / few.peak, Goal("<=", 1.2), n
        ),
    ]


def _joined(joined: Ran, without: Ran, sizes: Sizes) -> list[Figure]:
    n, grown = sizes.joined_invoices, joined.peak / without.peak
    most = 60 * n / sizes.dry_run_invoices
    return [
        Figure("  with one message for all, and caps", joined.seconds, "s", goal=Goal("<=", most), n=n),
        Figure(
            "  its peak memory, against that of without", joined.peak, "MB", without.peak, grown, Goal("<=", 1.5), n
        ),
    ]


def _dry_run(stage: Stage, invoices: int, flow: str | dict[str, Any], scheduler: Child, port: int) -> Ran:
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
    ran = Ran(seconds, found["messages"], peak_resident(scheduler.pid))
    stage.tell(f"dry run: {invoices:,} invoices, {ran.messages:,} messages, {seconds:.1f} s, at most {ran.peak:.0f} MB")
    return ran


async def _lay(database: str, invoices: int) -> None:
    await seed.lay(database, seed.Ground(invoices // 4, invoices))
    connection = await asyncpg.connect(database)
    try:
        for statement in VARIETY:
            await connection.execute(statement, timeout=LONG)
    finally:
        await connection.close()
