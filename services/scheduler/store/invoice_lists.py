"""Lists of invoices, newest first, by what a clerk looks for."""

from dataclasses import dataclass
from datetime import date

import asyncpg

from services.scheduler.store.views import INVOICE, InvoiceRow

_PAGE = f"""
{INVOICE}
 WHERE ($1::bigint IS NULL OR i.id < $1)
   AND ($2::text IS NULL OR coalesce(i.closed_as, CASE WHEN i.settled_at IS NULL THEN 'open' ELSE 'paid' END) = $2)
   AND ($3::text IS NULL OR u.ref = $3)
   AND (($4::date IS NULL AND $5::date IS NULL) OR EXISTS (
         SELECT FROM installment n WHERE n.invoice_id = i.id AND n.due_date >= coalesce($4, n.due_date)
            AND n.due_date <= coalesce($5, n.due_date)))
 ORDER BY i.id DESC LIMIT $6
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """None: any. The due dates are those of any installment."""

    status: str | None
    customer_ref: str | None
    due_from: date | None
    due_to: date | None


async def page(connection: asyncpg.Connection, wanted: Wanted, before: int | None, limit: int) -> list[InvoiceRow]:
    rows = await connection.fetch(
        _PAGE, before, wanted.status, wanted.customer_ref, wanted.due_from, wanted.due_to, limit
    )
    return [InvoiceRow(*row) for row in rows]
