"""Invoices as the API shows them: read whole, in a fixed number of statements."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import asyncpg


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    id: int
    ref: str
    number: str
    creditor_ref: str
    customer_ref: str
    customer_id: int
    flow: str
    flow_version: int
    issue_date: date
    currency: str
    payment_url: str | None
    payment_reference: str
    document_key: str | None
    document_name: str | None
    document_type: str | None
    document_size: int | None
    attributes: dict[str, Any]
    accepted_at: datetime
    settled_at: datetime | None
    closed_as: str | None

    @property
    def status(self) -> str:
        return self.closed_as or ("paid" if self.settled_at else "open")


@dataclass(frozen=True, slots=True)
class InstallmentRow:
    invoice_id: int
    no: int
    due_date: date
    amount: Decimal
    open_amount: Decimal
    written_off: Decimal


@dataclass(frozen=True, slots=True)
class HoldRow:
    invoice_id: int
    id: int
    kind: str
    reason: str
    starts_at: datetime
    until: datetime
    scope: str


@dataclass(frozen=True, slots=True)
class PromiseRow:
    """`day`: the customer's; `amount` None: all that was open."""

    day: date
    amount: Decimal | None
    state: str
    said_by: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class ReminderRow:
    id: int
    invoice_id: int
    invoice_ref: str
    installment_no: int | None
    step: str
    occurrence: int
    leg: str
    state: str
    reason: str | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    reminder_id: int
    channel: str
    address: str
    provider: str
    state: str
    cost: Decimal
    at: datetime
    detail: str | None
    why: str | None
    wording: str | None


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """`holds`: all that stop it now, the one that ends last first."""

    invoice: InvoiceRow
    installments: list[InstallmentRow]
    holds: list[HoldRow]
    promises: list[PromiseRow]
    reminders: list[ReminderRow]
    attempts: list[AttemptRow]


MOST_HOLDS = 100
INVOICE = """
SELECT i.id, i.ref, i.number, c.ref AS creditor_ref, u.ref AS customer_ref, u.id AS customer_id, f.name AS flow,
       f.version AS flow_version, i.issue_date, i.currency, i.payment_url, i.payment_reference, i.document_key,
       i.document_name, i.document_type, i.document_size, i.attributes, i.accepted_at, i.settled_at, i.closed_as
  FROM invoice i JOIN creditor c ON c.id = i.creditor_id JOIN customer u ON u.id = i.customer_id
  JOIN flow_version f ON f.id = i.flow_version_id
"""
REMINDER = """
SELECT r.id, r.invoice_id, i.ref, n.no, r.step, r.occurrence, r.leg, r.state, r.reason, r.due_at
  FROM reminder r JOIN invoice i ON i.id = r.invoice_id LEFT JOIN installment n ON n.id = r.installment_id
"""
_ATTEMPTS = """
SELECT a.reminder_id, a.channel, p.address, a.provider, a.state, a.cost, a.at, a.detail, a.why, a.wording
  FROM attempt a JOIN contact_point p ON p.id = a.contact_point_id
 WHERE a.reminder_id = ANY($1::bigint[]) ORDER BY a.reminder_id, a.fence
"""
_INSTALLMENTS = """
SELECT invoice_id, no, due_date, amount, open_amount, written_off
  FROM installment WHERE invoice_id = ANY($1::bigint[]) ORDER BY invoice_id, no
"""
_HOLDS = """
SELECT i.id, h.id, h.kind, h.reason, h.starts_at, h.until,
       CASE WHEN h.invoice_id IS NOT NULL THEN 'invoice' WHEN h.customer_id IS NOT NULL THEN 'customer' ELSE 'everything' END
  FROM invoice i CROSS JOIN LATERAL (
       SELECT * FROM hold x
        WHERE x.released_at IS NULL AND x.starts_at <= business_now() AND x.until > business_now()
          AND (x.invoice_id = i.id OR x.customer_id = i.customer_id OR (x.invoice_id IS NULL AND x.customer_id IS NULL))
        ORDER BY x.until DESC, x.id LIMIT $2) h
 WHERE i.id = ANY($1::bigint[]) ORDER BY i.id, h.until DESC, h.id
"""
_PROMISES = """
SELECT ((p.until - interval '1 microsecond') AT TIME ZONE coalesce(u.timezone, c.timezone))::date, p.amount, p.state,
       p.said_by, p.made_at
  FROM promise p JOIN invoice i ON i.id = p.invoice_id JOIN customer u ON u.id = i.customer_id
  JOIN creditor c ON c.id = i.creditor_id
 WHERE p.invoice_id = $1 ORDER BY p.id
"""


async def invoice_by_ref(connection: asyncpg.Connection, ref: str) -> InvoiceRow | None:
    row = await connection.fetchrow(f"{INVOICE} WHERE i.ref = $1", ref)
    return InvoiceRow(*row) if row else None


async def view(connection: asyncpg.Connection, invoice: InvoiceRow) -> InvoiceView:
    reminders = [
        ReminderRow(*row)
        for row in await connection.fetch(
            f"{REMINDER} WHERE r.invoice_id = $1 ORDER BY r.due_at NULLS LAST, r.id", invoice.id
        )
    ]
    return InvoiceView(
        invoice,
        await installments(connection, [invoice.id]),
        [HoldRow(*row) for row in await connection.fetch(_HOLDS, [invoice.id], MOST_HOLDS)],
        [PromiseRow(*row) for row in await connection.fetch(_PROMISES, invoice.id)],
        reminders,
        await attempts(connection, [row.id for row in reminders]),
    )


async def installments(connection: asyncpg.Connection, invoices: Sequence[int]) -> list[InstallmentRow]:
    return [InstallmentRow(*row) for row in await connection.fetch(_INSTALLMENTS, invoices)]


async def holds(connection: asyncpg.Connection, invoices: Sequence[int]) -> dict[int, HoldRow]:
    """What stops each of them now; of several the one that ends last."""
    return {row[0]: HoldRow(*row) for row in await connection.fetch(_HOLDS, invoices, 1)}


async def attempts(connection: asyncpg.Connection, reminders: Sequence[int]) -> list[AttemptRow]:
    return [AttemptRow(*row) for row in await connection.fetch(_ATTEMPTS, reminders)]


assert len(fields(InvoiceRow)) == INVOICE[: INVOICE.index("FROM")].count(",") + 1


async def time_zone(connection: asyncpg.Connection, invoice_id: int) -> str:
    """The customer's, else the creditor's."""
    zone: str = await connection.fetchval(
        "SELECT coalesce(u.timezone, c.timezone) FROM invoice i JOIN customer u ON u.id = i.customer_id "
        "JOIN creditor c ON c.id = i.creditor_id WHERE i.id = $1",
        invoice_id,
    )
    return zone
