"""Invoices as payments sees them: what is owed now, by whom, to whom."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

import asyncpg

from services.payments.store.pay_links import WORKS


@dataclass(frozen=True, slots=True)
class Part:
    """One installment."""

    no: int
    due_date: date
    amount: Decimal
    open_amount: Decimal
    written_off: Decimal


@dataclass(frozen=True, slots=True)
class Owed:
    """An invoice and what is open of it at `as_of`; `today` is the customer's own calendar day then."""

    id: int
    ref: str
    number: str
    currency: str
    issue_date: date
    payment_url: str | None
    payment_reference: str
    document_key: str | None
    document_name: str | None
    document_type: str | None
    closed_as: str | None
    settled_at: datetime | None
    customer_name: str
    locale: str
    creditor_ref: str
    creditor_name: str
    iban: str | None
    bic: str | None
    logo_url: str | None
    as_of: datetime
    today: date
    parts: tuple[Part, ...]

    @property
    def open_amount(self) -> Decimal:
        return sum((part.open_amount for part in self.parts), Decimal(0))

    @property
    def written_off(self) -> Decimal:
        return sum((part.written_off for part in self.parts), Decimal(0))

    @property
    def amount(self) -> Decimal:
        return sum((part.amount for part in self.parts), Decimal(0))

    @property
    def status(self) -> str:
        return self.closed_as or ("paid" if self.settled_at else "open")


_SELECT = """
SELECT i.id, i.ref, i.number, i.currency, i.issue_date, i.payment_url, i.payment_reference,
       i.document_key, i.document_name, i.document_type, i.closed_as, i.settled_at,
       u.name, coalesce(u.locale, c.locale), c.ref, c.name, c.iban, c.bic, c.logo_url,
       t.now, (t.now AT TIME ZONE coalesce(u.timezone, c.timezone))::date,
       (SELECT array_agg((n.no, n.due_date, n.amount, n.open_amount, n.written_off) ORDER BY n.due_date, n.no)
          FROM installment n WHERE n.invoice_id = i.id)
  FROM invoice i JOIN customer u ON u.id = i.customer_id JOIN creditor c ON c.id = i.creditor_id
  CROSS JOIN (SELECT business_now() AS now) t
"""


async def owed_by_ref(connection: asyncpg.Connection, ref: str) -> Owed | None:
    return _owed(await connection.fetchrow(f"{_SELECT} WHERE i.ref = $1", ref))


async def owed_by_token(connection: asyncpg.Connection, token: str, kept: timedelta) -> Owed | None:
    """`kept`: how long the link works after there is nothing more to pay."""
    return _owed(await connection.fetchrow(f"{_SELECT} WHERE i.token = $1 AND {WORKS}", token, kept))


async def invoice_id(connection: asyncpg.Connection, ref: str) -> int | None:
    found: int | None = await connection.fetchval("SELECT id FROM invoice WHERE ref = $1", ref)
    return found


def _owed(row: asyncpg.Record | None) -> Owed | None:
    if row is None:
        return None
    *head, parts = row
    return Owed(*(*head, tuple(Part(*part) for part in parts or ())))
