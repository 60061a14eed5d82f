"""A statement's entries per second, matched and booked, over few and over many open invoices; and what is matched rightly.

The two databases take turns with the same part of the same labelled transfers (tests/precision), so that what slows the
machine slows no ratio.
"""

import time
from collections.abc import Sequence
from functools import cache

import asyncpg

from shared.db.engine import Database
from tests.bench.bulk import CHECKED, LONG, UNCHECKED, fill
from tests.bench.figures import Figure, Goal, paired
from tests.bench.sizes import Sizes
from tests.bench.stage import Ground, Stage
from tests.precision.measure import Precision, book, count, lay
from tests.precision.world import Transfer, World, make
from tests.servers.postgres import run

FEW, MANY = "statements_few", "statements_many"

# Others' open invoices: every amount to the cent, a quarter as many customers, references and numbers of their own.
CUSTOMERS = """
INSERT INTO customer (ref, name) SELECT 'O-' || g, 'Other ' || md5(g::text) FROM generate_series(1, greatest(1, $1::int / 4)) g
"""
INVOICES = """
INSERT INTO invoice (ref, number, creditor_id, customer_id, flow_version_id, issue_date, currency, payment_reference, content_hash,
                     accepted_at)
SELECT 'O-' || g, 'OLD-2025-' || lpad(g::text, 7, '0'), (SELECT min(id) FROM creditor), c.first + g % c.many,
       (SELECT min(id) FROM flow_version), current_date, 'EUR', 'OLDREF' || g, '', (SELECT business_now())
  FROM generate_series(1, $1::int) g, (SELECT min(id) AS first, count(*) AS many FROM customer WHERE ref LIKE 'O-%') c
"""
INSTALLMENTS = """
INSERT INTO installment (invoice_id, due_date, amount)
SELECT id, current_date, (500 + (id * 7919) % 890000) / 100.0 FROM invoice WHERE ref LIKE 'O-%'
"""


def grounds(sizes: Sizes) -> list[Ground]:
    few, many = sizes.few_invoices, sizes.many_invoices
    return [
        Ground(FEW, 2 * few, lambda at: _lay(at, _world(sizes), few)),
        Ground(MANY, 2 * many, lambda at: _lay(at, _world(sizes), many)),
    ]


@cache
def _world(sizes: Sizes) -> World:
    """A part more than there are repeats: the first one warms up."""
    return make(sizes.statement_entries * (sizes.statement_repeats + 1))


def measure(stage: Stage, sizes: Sizes) -> list[Figure]:
    world, few, many = _world(sizes), stage.address(FEW), stage.address(MANY)
    rates: dict[str, list[float]] = {few: [], many: []}
    for part in range(sizes.statement_repeats + 1):
        some = world.transfers[part * sizes.statement_entries : (part + 1) * sizes.statement_entries]
        for database in (few, many):
            rates[database].append(_booked(database, some))
        stage.tell(f"statements: {rates[few][-1]:.0f} entries/s over few invoices, {rates[many][-1]:.0f} over many")
    counted = run(_counted(many, world))
    for database in (few, many):
        stage.forget(database)
    return _figures(rates[many][1:], rates[few][1:], counted, sizes)


def _figures(many: Sequence[float], few: Sequence[float], counted: Precision, sizes: Sizes) -> list[Figure]:
    name = f"statement entries over {sizes.many_invoices:,} open invoices, against {sizes.few_invoices:,}"
    return [
        paired(name, "entries/s", many, few, Goal(">=", 0.8), sizes.statement_entries),
        Figure("  matched wrongly", float(len(counted.wrong)), "entries", goal=Goal("<=", 0), n=counted.transfers),
        Figure(
            "  matched of those with enough evidence", 100 * counted.recall, "%", goal=Goal(">=", 90), n=counted.enough
        ),
    ]


async def _lay(database: str, world: World, invoices: int) -> None:
    owning = Database(database, pool_size=1)
    async with owning.connection() as owner:
        await lay(owner, world)
        for table in ("customer", "invoice"):
            await owner.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
            )
        await owner.execute(UNCHECKED)
        await fill(owner, "customer", CUSTOMERS, invoices)
        await fill(owner, "invoice", INVOICES, invoices)
        await fill(owner, "installment", INSTALLMENTS)
        await owner.execute("VACUUM ANALYZE customer, invoice, installment", timeout=LONG)
        await owner.execute(f"{CHECKED}; CHECKPOINT", timeout=LONG)
    await owning.close()


def _booked(database: str, some: Sequence[Transfer]) -> float:
    run(_settle(database))
    began = time.monotonic()
    run(book(database, some))
    return len(some) / (time.monotonic() - began)


async def _settle(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CHECKPOINT", timeout=LONG)
    await connection.close()


async def _counted(database: str, world: World) -> Precision:
    owning = Database(database, pool_size=1)
    async with owning.connection() as owner:
        counted = await count(owner, world)
    await owning.close()
    return counted
