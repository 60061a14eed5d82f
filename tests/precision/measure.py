"""Books a labelled statement over the real database and counts: right, wrong, left for a person."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO

import asyncpg

from services.payments import wiring
from services.payments.adapters.registry import reader_of
from services.payments.domain.matching import Rules
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.handlers.take_statement import take_statement
from services.payments.store.sources import FILES, FILES_KIND, built_in_source
from tests import factories
from tests.precision.oracle import Oracle
from tests.precision.world import Invoice, Transfer, World
from tests.statement_files import camt

COLUMNS = ["id", "ref", "number", "creditor_id", "customer_id", "flow_version_id", "issue_date", "currency"]
COLUMNS += ["payment_reference", "content_hash"]


@dataclass(frozen=True, slots=True)
class Precision:
    """`wrong`: the transfers that were booked on another invoice than the one that they were for."""

    transfers: int
    enough: int
    right_of_enough: int
    right: int
    wrong: tuple[str, ...]
    by_sort: Counter[tuple[str, str]]

    @property
    def recall(self) -> float:
        return self.right_of_enough / self.enough


async def lay(owner: asyncpg.Connection, world: World) -> None:
    """The world's customers and open invoices, under its own ids."""
    creditor, flow = await factories.creditor(owner), await factories.flow_version(owner)
    await owner.execute("SET session_replication_role = replica; SET synchronous_commit = off")
    await owner.executemany(
        "INSERT INTO customer (id, ref, name) OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3)",
        [(customer.id, f"C-{customer.id}", customer.name) for customer in world.customers],
    )
    await owner.copy_records_to_table(
        "invoice",
        columns=COLUMNS,
        records=[_row(invoice, creditor, flow) for invoice in world.invoices],
    )
    await owner.copy_records_to_table(
        "installment",
        columns=["invoice_id", "due_date", "amount"],
        records=[(invoice.id, factories.TODAY, invoice.amount) for invoice in world.invoices],
    )
    await owner.execute("RESET session_replication_role; ANALYZE customer; ANALYZE invoice; ANALYZE installment")


def _row(invoice: Invoice, creditor: int, flow: int) -> tuple[object, ...]:
    known = (invoice.id, f"ERP-{invoice.id:x}", invoice.number, creditor, invoice.customer.id, flow)
    return (*known, factories.TODAY, "EUR", invoice.reference, b"")


async def book(dsn: str, transfers: Iterable[Transfer]) -> None:
    """As one statement, by the service's own role."""
    db = wiring.open_database(dsn, 4)
    try:
        async with db.connection() as connection:
            source = await built_in_source(connection, FILES, FILES_KIND)
        file = camt(transfer.line for transfer in transfers)
        recorder = PaymentRecorder(db, timedelta(seconds=0.2))
        taken = await take_statement(recorder, source, reader_of(file[:4096]), BytesIO(file), Rules())
        assert taken.counts["errors"] == taken.counts["duplicates"] == 0, taken
    finally:
        await db.close()


async def count(owner: asyncpg.Connection, world: World) -> Precision:
    rows = await owner.fetch("SELECT payer ->> 'end_to_end', invoice_id FROM payment")
    found: dict[str, int | None] = {row[0]: row[1] for row in rows}
    assert len(found) == len(world.transfers)
    oracle = Oracle(world)
    enough = {transfer.id for transfer in world.transfers if oracle.enough(transfer)}
    right, wrong = set(), []
    by_sort: Counter[tuple[str, str]] = Counter()
    for transfer in world.transfers:
        booked, meant = found[transfer.id], transfer.meant.id if transfer.meant else None
        if booked is not None and booked != meant:
            wrong.append(transfer.id)
        elif booked is not None:
            right.add(transfer.id)
        end = "wrong" if booked not in (None, meant) else "right" if booked else "left"
        by_sort[transfer.sort, f"{'enough' if transfer.id in enough else 'not enough'}: {end}"] += 1
    return Precision(len(world.transfers), len(enough), len(right & enough), len(right), tuple(wrong), by_sort)
