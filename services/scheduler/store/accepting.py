"""The statements of intake: each takes a whole batch.

What must stay true: rows are locked in the same order by everybody (customers by ref, contact points, invoices by
ref), so that two imports of the same file wait for each other and never deadlock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import asyncpg

from services.scheduler.domain.new_invoice import NewInvoice
from services.scheduler.store.accepting_customers import Party


@dataclass(frozen=True, slots=True)
class Known:
    """An invoice that is stored already."""

    id: int
    content_hash: bytes


async def known_invoices(tx: asyncpg.Connection, refs: Sequence[str]) -> dict[str, Known]:
    rows = await tx.fetch("SELECT ref, id, content_hash FROM invoice WHERE ref = ANY($1::text[])", refs)
    return {row["ref"]: Known(row["id"], row["content_hash"]) for row in rows}


async def creditors(tx: asyncpg.Connection, refs: Sequence[str]) -> dict[str, Party]:
    rows = await tx.fetch("SELECT ref, id, timezone, country FROM creditor WHERE ref = ANY($1::text[])", refs)
    return {row["ref"]: Party(row["id"], row["timezone"], row["country"]) for row in rows}


_INSERT_INVOICES = """
INSERT INTO invoice (accepted_at, ref, number, creditor_id, customer_id, flow_version_id, issue_date, currency,
                     payment_url, payment_reference, document_key, document_name, document_type, document_size,
                     attributes, content_hash)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::date[], $8::text[],
                         $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::integer[],
                         $15::jsonb[], $16::bytea[])
ON CONFLICT (ref) DO NOTHING
RETURNING ref, id
"""


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """A new invoice with the ids of what it names."""

    new: NewInvoice
    creditor_id: int
    customer_id: int
    flow_version_id: int


async def insert_invoices(tx: asyncpg.Connection, rows: Sequence[InvoiceRow], now: datetime) -> dict[str, int]:
    """Ids by ref; a ref that somebody else has just stored is left out."""
    ordered = sorted(rows, key=lambda row: row.new.ref)
    new = [row.new for row in ordered]
    documents = [invoice.document for invoice in new]
    found = await tx.fetch(
        _INSERT_INVOICES,
        now,
        [invoice.ref for invoice in new],
        [invoice.number for invoice in new],
        [row.creditor_id for row in ordered],
        [row.customer_id for row in ordered],
        [row.flow_version_id for row in ordered],
        [invoice.issue_date for invoice in new],
        [invoice.currency for invoice in new],
        [invoice.payment_url for invoice in new],
        [invoice.payment_reference for invoice in new],
        [document and document.key for document in documents],
        [document and document.name for document in documents],
        [document and document.media_type for document in documents],
        [document and document.size for document in documents],
        [invoice.attributes for invoice in new],
        [invoice.content_hash for invoice in new],
    )
    return {row["ref"]: row["id"] for row in found}


_INSERT_INSTALLMENTS = """
INSERT INTO installment (invoice_id, no, due_date, amount)
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::date[], $4::numeric[])
RETURNING invoice_id, no, id
"""


async def insert_installments(
    tx: asyncpg.Connection, rows: Sequence[tuple[int, int, date, Decimal]]
) -> dict[tuple[int, int], int]:
    """`rows`: (invoice id, number, due date, amount). Ids by (invoice id, number)."""
    found = await tx.fetch(_INSERT_INSTALLMENTS, *([row[column] for row in rows] for column in range(4)))
    return {(row["invoice_id"], row["no"]): row["id"] for row in found}


_LOG_EVENTS = """
INSERT INTO event (at, invoice_id, kind, data)
SELECT $1, e.invoice_id, $2, e.data FROM unnest($3::bigint[], $4::jsonb[]) AS e (invoice_id, data)
"""


async def log_events(tx: asyncpg.Connection, at: datetime, kind: str, rows: Sequence[tuple[int, object]]) -> None:
    """`rows`: (invoice id, data), all of one kind."""
    await tx.execute(_LOG_EVENTS, at, kind, [invoice for invoice, _ in rows], [data for _, data in rows])


_HOLD_BACKLOG = """
WITH placed AS (
  INSERT INTO hold (kind, invoice_id, reason, starts_at, until)
  SELECT 'backlog', i, 'backlog', $2, $3 FROM unnest($1::bigint[]) AS i RETURNING invoice_id)
INSERT INTO event (at, invoice_id, kind, data)
SELECT $2, p.invoice_id, 'hold.placed',
       jsonb_build_object('hold', 'backlog', 'reason', 'backlog', 'until', $3::timestamptz)
  FROM placed p
"""


async def hold_backlog(tx: asyncpg.Connection, invoices: Sequence[int], now: datetime, until: datetime) -> None:
    """Invoices that come long after their due date: a person decides whether they are chased."""
    await tx.execute(_HOLD_BACKLOG, invoices, now, until)
