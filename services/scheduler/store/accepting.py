"""The statements of intake: each takes a whole batch.

What must stay true: rows are locked in the same order by everybody (customers by ref, contact points, invoices by
ref), so that two imports of the same file wait for each other and never deadlock.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import asyncpg

from services.scheduler.domain.new_invoice import NewContactPoint, NewCustomer, NewInvoice


@dataclass(frozen=True, slots=True)
class Party:
    """A creditor or customer, with what planning needs of it."""

    id: int
    timezone: str | None
    country: str | None


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


async def customers(tx: asyncpg.Connection, refs: Sequence[str]) -> dict[str, Party]:
    rows = await tx.fetch("SELECT ref, id, timezone, country FROM customer WHERE ref = ANY($1::text[])", refs)
    return {row["ref"]: Party(row["id"], row["timezone"], row["country"]) for row in rows}


_UPSERT_CUSTOMERS = """
INSERT INTO customer AS c (ref, name, locale, timezone, country, preferred_channel, attributes)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
ON CONFLICT (ref) DO UPDATE
  SET name = excluded.name, locale = excluded.locale, timezone = excluded.timezone, country = excluded.country,
      preferred_channel = excluded.preferred_channel, attributes = excluded.attributes
WHERE (c.name, c.locale, c.timezone, c.country, c.preferred_channel, c.attributes)
      IS DISTINCT FROM (excluded.name, excluded.locale, excluded.timezone, excluded.country,
                        excluded.preferred_channel, excluded.attributes)
"""


async def upsert_customers(tx: asyncpg.Connection, given: Iterable[NewCustomer]) -> None:
    """Each ref once. A row that says the same already is not written."""
    rows = sorted(given, key=lambda customer: customer.ref)
    await tx.execute(
        _UPSERT_CUSTOMERS,
        [row.ref for row in rows],
        [row.name for row in rows],
        [row.locale for row in rows],
        [row.timezone for row in rows],
        [row.country for row in rows],
        [row.preferred_channel for row in rows],
        [row.attributes or {} for row in rows],
    )


_UPSERT_CONTACTS = """
INSERT INTO contact_point AS c (customer_id, kind, address, channels, priority)
SELECT p.customer_id, p.kind, p.address, string_to_array(p.channels, ','), p.priority
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[])
       AS p (customer_id, kind, address, channels, priority)
ON CONFLICT (customer_id, kind, address) DO UPDATE
  SET channels = excluded.channels, priority = excluded.priority, retired_at = NULL
WHERE c.retired_at IS NOT NULL OR (c.channels, c.priority) IS DISTINCT FROM (excluded.channels, excluded.priority)
"""
_RETIRE_CONTACTS = """
UPDATE contact_point p SET retired_at = $4
 WHERE p.customer_id = ANY($1::bigint[]) AND p.retired_at IS NULL
   AND NOT EXISTS (SELECT FROM unnest($2::bigint[], $3::text[]) AS kept (customer_id, address)
                    WHERE kept.customer_id = p.customer_id AND kept.address = p.kind || ':' || p.address)
"""


async def replace_contact_points(
    tx: asyncpg.Connection, given: Iterable[NewCustomer], ids: Mapping[str, Party], now: datetime
) -> None:
    """Of customers that name their contact points."""
    named = [(ids[one.ref].id, one.contact_points) for one in given if one.contact_points is not None]
    if named:
        await replace_points(tx, named, now)


async def replace_points(
    tx: asyncpg.Connection, named: Sequence[tuple[int, tuple[NewContactPoint, ...]]], now: datetime
) -> None:
    """`named`: (customer id, all their contact points). What is left out is retired; what is named is in use
    (again)."""
    rows = sorted(
        (customer_id, point.kind, point.address, point.channels and ",".join(point.channels), point.priority)
        for customer_id, points in named
        for point in points
    )
    owners = [row[0] for row in rows]
    await tx.execute(_UPSERT_CONTACTS, owners, *([row[column] for row in rows] for column in range(1, 5)))
    kept = [f"{row[1]}:{row[2]}" for row in rows]
    await tx.execute(_RETIRE_CONTACTS, [customer_id for customer_id, _ in named], owners, kept, now)


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
