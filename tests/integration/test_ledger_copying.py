"""What is copied into a new invoice's plan is what would have been inserted."""

import gc
from datetime import UTC, date, datetime

from services.scheduler.handlers.prepare import prepare
from services.scheduler.settings import SchedulerSettings
from shared.db.engine import Database
from shared.ledger.copying import copy_reminders, tail
from shared.ledger.plan import COLUMNS, NewReminder, insert_reminders

LATE, EARLY = datetime(9999, 12, 31, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
INVOICE = """
WITH u AS (INSERT INTO customer (ref, name) VALUES ('C', 'x') RETURNING id),
i AS (INSERT INTO invoice (ref, number, creditor_id, customer_id, flow_version_id, issue_date, currency,
                           payment_reference, content_hash)
      SELECT 'I', '1', c.id, u.id, f.id, current_date, 'EUR', 'R', '' FROM creditor c, u, flow_version f WHERE f.name = 'standard'
      RETURNING id)
INSERT INTO installment (invoice_id, no, due_date, amount) SELECT id, 1, current_date, 1 FROM i RETURNING invoice_id, id
"""


async def test_both_ways_store_the_same_rows(database_dsn: str):
    db = Database(database_dsn)
    await prepare(db, SchedulerSettings())
    async with db.transaction() as tx:
        found = await tx.fetchrow(INVOICE)
        version = await tx.fetchval("SELECT id FROM flow_version WHERE name = 'standard'")
        assert found is not None
        invoice, part = found
        rows = [
            NewReminder(invoice, part, version, 0, "überfällig", 2**31 - 1, "then", "due", date(2199, 12, 31), True, False,
                        True, False, "pending", None, EARLY, LATE),
            NewReminder(invoice, None, version, 0, "b", 1, "", "payment", None, False, True, False, True, "waiting", None,
                        None, None),
            NewReminder(invoice, None, version, 0, "c", 1, "", "issue", date(1970, 1, 1), False, True, False, True,
                        "skipped", "too_late", LATE, EARLY),
        ]  # fmt: skip
        await insert_reminders(tx, rows)
        inserted = await tx.fetch(f"DELETE FROM reminder RETURNING {', '.join(COLUMNS)}")

        values = [tuple(getattr(row, column) for column in COLUMNS) for row in rows]
        await copy_reminders(tx, [(*ids[:4], tail(ids[4:])) for ids in values])
        await copy_reminders(tx, [])
        copied = await tx.fetch(f"SELECT {', '.join(COLUMNS)} FROM reminder")
    await db.close()

    assert [tuple(row) for row in copied] == [tuple(row) for row in inserted] == values


async def test_what_was_copied_is_given_back_at_once(database_dsn: str):
    db = Database(database_dsn)
    await prepare(db, SchedulerSettings())
    async with db.transaction() as tx:
        found = await tx.fetchrow(INVOICE)
        assert found is not None
        invoice, part = found
        version = await tx.fetchval("SELECT id FROM flow_version WHERE name = 'standard'")
        plan = NewReminder(
            invoice, part, version, 0, "a", 1, "", "due", None, True, False, False, False, "pending", None, EARLY, LATE
        )
        values = tuple(getattr(plan, column) for column in COLUMNS)
        rows = [(*values[:4], tail(("a", number, *values[6:]))) for number in range(1, 11)]
        await copy_reminders(tx, rows[:5])
        gc.collect()
        gc.disable()
        try:
            await copy_reminders(tx, rows[5:])
            left = gc.collect()
        finally:
            gc.enable()
        assert (0, 10) == (left, await tx.fetchval("SELECT count(*) FROM reminder"))
    await db.close()
