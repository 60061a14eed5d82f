"""Invoices whose reminder is due: what the scheduler would have written, all of it visible at once."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from shared.db.engine import Database
from tests import factories
from tests.chaos.bank import SECRET

CUSTOMERS = "INSERT INTO customer (ref, name) SELECT $1 || g, 'Jo Bloggs' FROM generate_series(1, $2::int) g"
ADDRESSES = """
INSERT INTO contact_point (customer_id, kind, address)
SELECT id, 'email', lower(ref) || '@example.com' FROM customer WHERE ref LIKE $1 || '%'
"""
INVOICES = """
INSERT INTO invoice (ref, number, creditor_id, customer_id, flow_version_id, issue_date, currency, payment_reference, content_hash)
SELECT ref, 'No ' || ref, $2, id, $3, current_date - 20, 'EUR', 'RF-' || ref, '' FROM customer WHERE ref LIKE $1 || '%'
RETURNING id, ref
"""
INSTALLMENTS = """
INSERT INTO installment (invoice_id, due_date, amount) SELECT id, current_date - 3, 100 FROM unnest($1::bigint[]) AS i (id)
"""
DUE = """
INSERT INTO reminder (invoice_id, installment_id, flow_version_id, generation, step, anchor, anchor_date, state, due_at, send_until)
SELECT n.invoice_id, n.id, $2, 0, 'overdue', 'due', n.due_date, 'pending', business_now(), business_now() + interval '30 days'
  FROM installment n WHERE n.invoice_id = ANY ($1) RETURNING id
"""
THANK_YOUS = """
INSERT INTO reminder (invoice_id, flow_version_id, generation, step, anchor, requires_open, urgent, state)
SELECT id, $2, 0, 'thank-you', 'payment', false, true, 'waiting' FROM unnest($1::bigint[]) AS i (id)
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Invoices of 100.00 EUR, id -> ref; each has one reminder due now, which is in `reminders`, and a thank-you that waits."""

    invoices: dict[int, str]
    reminders: frozenset[int]

    def some(self, count: int) -> dict[int, str]:
        """In any order, so that payments overtake reminders and reminders payments."""
        return dict(random.sample(list(self.invoices.items()), count))


async def lay_ground(database: str) -> None:
    """The bank; and a working morning, so that no contact window is near its end."""
    db = Database(database)
    try:
        async with db.connection() as connection:
            await factories.source(connection, "bank", "standard_webhook", config={"secrets": [SECRET]})
            await connection.execute("UPDATE business_clock SET ahead = $1", morning() - datetime.now(UTC))
    finally:
        await db.close()


def morning() -> datetime:
    """The next Wednesday at nine."""
    today = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
    return today + timedelta(days=(2 - today.weekday()) % 7 or 7)


async def due_invoices(database: str, count: int) -> Batch:
    db = Database(database)
    try:
        async with db.transaction() as tx:
            return await _insert(tx, factories.unique("CHAOS") + "-", count)
    finally:
        await db.close()


async def _insert(tx: asyncpg.Connection, prefix: str, count: int) -> Batch:
    flow = await factories.flow_version(tx)
    await tx.execute(CUSTOMERS, prefix, count)
    await tx.execute(ADDRESSES, prefix)
    made = await tx.fetch(INVOICES, prefix, await factories.creditor(tx), flow)
    ids = [row["id"] for row in made]
    await tx.execute(INSTALLMENTS, ids)
    await tx.execute(THANK_YOUS, ids, flow)
    due = await tx.fetch(DUE, ids, flow)
    return Batch({row["id"]: row["ref"] for row in made}, frozenset(row["id"] for row in due))
