"""Payments as people read them: what came, what it was given to, and what waits."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg

_SELECT = """
SELECT y.id, s.ref AS source, y.payment_ref, y.amount, y.allocated, y.currency, y.invoice_ref, y.reference,
       y.installment_no, y.unmatched_reason, y.paid_at, y.payer, y.remittance, y.created_at, i.ref AS matched_ref, i.id AS matched_id,
       coalesce((SELECT jsonb_agg(jsonb_build_object('invoice_id', v.ref, 'installment', n.no, 'amount', a.amount::text)
                                  ORDER BY n.due_date, n.no, v.ref)
                   FROM allocation a JOIN installment n ON n.id = a.installment_id JOIN invoice v ON v.id = n.invoice_id
                  WHERE a.payment_id = y.id), '[]') AS allocations
  FROM payment y JOIN source s ON s.id = y.source_id LEFT JOIN invoice i ON i.id = y.invoice_id
"""


@dataclass(frozen=True, slots=True)
class PaymentRow:
    id: int
    source: str
    payment_ref: str
    amount: Decimal
    allocated: Decimal
    currency: str | None
    invoice_ref: str | None
    reference: str | None
    installment_no: int | None
    unmatched_reason: str | None
    paid_at: datetime | None
    payer: dict[str, Any] | None
    remittance: str | None
    created_at: datetime
    matched_ref: str | None
    matched_id: int | None
    allocations: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """`unmatched`: True has money over (or speaks of nothing known), False has none, None is both."""

    unmatched: bool | None = None
    invoice_ref: str | None = None
    source: str | None = None
    payment_ref: str | None = None


_OVER = "(y.allocated < y.amount OR (y.invoice_id IS NULL AND y.amount = 0))"


async def find_payment(connection: asyncpg.Connection, payment_id: int) -> PaymentRow | None:
    row = await connection.fetchrow(f"{_SELECT} WHERE y.id = $1", payment_id)
    return None if row is None else PaymentRow(*row)


async def list_payments(
    connection: asyncpg.Connection, wanted: PaymentFilter, before: int | None, limit: int
) -> list[PaymentRow]:
    """The newest first."""
    match wanted.unmatched:
        case True:
            state = f"AND {_OVER}"
        case False:
            state = f"AND NOT {_OVER}"
        case _:
            state = ""
    rows = await connection.fetch(
        f"""
        {_SELECT}
         WHERE ($1::bigint IS NULL OR y.id < $1)
           AND ($3::text IS NULL OR s.ref = $3) AND ($4::text IS NULL OR y.payment_ref = $4)
           AND ($2::text IS NULL OR y.invoice_ref = $2 OR i.ref = $2 OR EXISTS (
                SELECT FROM allocation a JOIN installment n ON n.id = a.installment_id
                  JOIN invoice v ON v.id = n.invoice_id WHERE a.payment_id = y.id AND v.ref = $2))
           {state}
         ORDER BY y.id DESC LIMIT $5
        """,
        before,
        wanted.invoice_ref,
        wanted.source,
        wanted.payment_ref,
        limit,
    )
    return [PaymentRow(*row) for row in rows]


async def confirmed_otherwise(connection: asyncpg.Connection, source_id: int, payment_ref: str, event_ref: str) -> bool:
    """Whether this payment was confirmed by another event than this one."""
    found: bool = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM payment_event
                        WHERE source_id = $1 AND payment_ref = $2 AND kind = 'confirmed' AND event_ref <> $3)
        """,
        source_id,
        payment_ref,
        event_ref,
    )
    return found


async def barrier_of_payment(connection: asyncpg.Connection, payment_id: int, window: object) -> float:
    """The hand-off barrier of all invoices that a payment touches."""
    wait: float = await connection.fetchval(
        """
        SELECT barrier(ARRAY(SELECT invoice_id FROM payment WHERE id = $1 AND invoice_id IS NOT NULL
                             UNION SELECT n.invoice_id FROM allocation a JOIN installment n ON n.id = a.installment_id
                                    WHERE a.payment_id = $1), $2)
        """,
        payment_id,
        window,
    )
    return wait
