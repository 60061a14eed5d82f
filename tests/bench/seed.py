"""What the database holds before a measurement: made in the database, by statements that a reader can check."""

from dataclasses import dataclass

import asyncpg

from services.scheduler.handlers.prepare import prepare
from services.scheduler.settings import SchedulerSettings
from shared.db.engine import Database
from tests.bench.bulk import CHECKED, LONG, UNCHECKED, fill

CUSTOMERS = """
INSERT INTO customer (ref, name, locale, timezone)
SELECT 'C-' || g, 'Ana García ' || g, 'en', 'Europe/Madrid' FROM generate_series(1, $1::int) g
"""
EMAILS = "INSERT INTO contact_point (customer_id, kind, address) SELECT id, 'email', 'c' || id || '@example.com' FROM customer"
PHONES = "INSERT INTO contact_point (customer_id, kind, address) SELECT id, 'phone', '+3460' || id FROM customer"
INVOICES = """
INSERT INTO invoice (ref, number, creditor_id, customer_id, flow_version_id, issue_date, currency, payment_reference, content_hash,
                     accepted_at)
SELECT 'I-' || g, 'N-' || g, (SELECT min(id) FROM creditor), 1 + g % (SELECT count(*) FROM customer),
       (SELECT min(id) FROM flow_version), current_date, 'EUR', 'RF' || g, '', (SELECT business_now())
  FROM generate_series(1, $1::int) g
"""
INSTALLMENTS = (
    "INSERT INTO installment (invoice_id, due_date, amount) SELECT id, issue_date + 30, 1250 FROM invoice ORDER BY id"
)
REMINDERS = """
INSERT INTO reminder (invoice_id, installment_id, flow_version_id, generation, step, occurrence, anchor, anchor_date, state, reason,
                      due_at, send_until)
SELECT n.invoice_id, n.id, i.flow_version_id, 0, 'upcoming', g, 'due', n.due_date,
       CASE WHEN $3 AND g > 1 THEN 'skipped' ELSE 'pending' END, CASE WHEN $3 AND g > 1 THEN 'is over' END,
       d.at, d.at + interval '900 days'
  FROM installment n JOIN invoice i ON i.id = n.invoice_id
  CROSS JOIN generate_series(1, $2::int) g
  CROSS JOIN LATERAL (SELECT (SELECT business_now()) + interval '1 hour' + interval '1 day' * ((n.invoice_id - 1) / $1::int)
                             + interval '300 days' * (g - 1) AS at) d
 ORDER BY n.id, g
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """How much of it."""

    customers: int
    invoices: int


async def lay(database: str, ground: Ground) -> None:
    """Customers with an email address and a phone, and one invoice of one installment after the other."""
    db = Database(database, role="dunnock_scheduler")
    await prepare(db, SchedulerSettings(creditor_name="ACME Energía", creditor_iban="DE02120300000000202051"))
    await db.close()
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(UNCHECKED)
        await fill(connection, "customer", CUSTOMERS, ground.customers)
        for statement in (EMAILS, PHONES):
            await fill(connection, "contact_point", statement)
        await fill(connection, "invoice", INVOICES, ground.invoices)
        await fill(connection, "installment", INSTALLMENTS)
        await connection.execute("VACUUM ANALYZE", timeout=LONG)
    finally:
        await connection.close()


async def plan(
    connection: asyncpg.Connection, at_once: int, each: int = 1, *, one_left: bool = False, unused: bool = False
) -> None:
    """For each invoice `each` pending reminders: the first of `at_once` invoices are due in an hour of business time, those of the next a
    day later; the second ones far away, or, with `one_left`, over. `unused`: nobody works on this database yet."""
    await connection.execute("TRUNCATE reminder, attempt, event, receipt, customer_contact")
    await connection.execute(UNCHECKED)
    if unused:
        await fill(connection, "reminder", REMINDERS, at_once, each, one_left)
    else:
        await connection.execute(REMINDERS, at_once, each, one_left)
    await connection.execute(CHECKED)
    await connection.execute("VACUUM ANALYZE reminder", timeout=LONG)
    await connection.execute("CHECKPOINT", timeout=LONG)
