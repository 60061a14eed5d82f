"""What the loops must know of reminder rows that the ledger handed them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import asyncpg


@dataclass(frozen=True, slots=True)
class Alike:
    """Rows of one leg of one step: what the flow says of one, it says of all."""

    flow_version_id: int
    step: str
    leg: str
    ids: list[int]


async def alike(tx: asyncpg.Connection, ids: Sequence[int]) -> list[Alike]:
    rows = await tx.fetch(
        "SELECT flow_version_id, step, leg, array_agg(id) FROM reminder WHERE id = ANY($1::bigint[]) GROUP BY 1, 2, 3",
        ids,
    )
    return [Alike(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class DueRow:
    """A row that just left pending, with all that its next occurrence or its condition asks for."""

    id: int
    invoice_id: int
    installment_id: int | None
    flow_version_id: int
    generation: int
    step: str
    occurrence: int
    leg: str
    issue_date: date
    due_date: date | None
    timezone: str
    country: str | None
    locale: str
    currency: str
    amount: Decimal
    open_amount: Decimal
    reference_date: date
    invoice_attributes: dict[str, Any]
    customer_ref: str
    customer_attributes: dict[str, Any]
    business_now: datetime
    local_day: date
    sent: int
    last_outcome: str
    promises_broken: int


_DUE_ROWS = """
SELECT r.id, r.invoice_id, r.installment_id, r.flow_version_id, r.generation, r.step, r.occurrence, r.leg,
       i.issue_date, n.due_date, coalesce(u.timezone, c.timezone), coalesce(u.country, c.country),
       coalesce(u.locale, c.locale), i.currency, coalesce(n.amount, t.amount),
       coalesce(n.open_amount, t.open_amount), coalesce(n.due_date, t.due_date),
       i.attributes, u.ref, u.attributes, business_now(),
       (business_now() AT TIME ZONE coalesce(u.timezone, c.timezone))::date,
       (SELECT count(*) FROM reminder s WHERE s.invoice_id = i.id AND s.state IN ('accepted', 'delivered')),
       coalesce((SELECT a.state FROM reminder s JOIN attempt a ON a.reminder_id = s.id
                  WHERE s.invoice_id = i.id ORDER BY a.at DESC, a.started DESC LIMIT 1), ''),
       (SELECT count(*) FROM promise p WHERE p.invoice_id = i.id AND p.state = 'broken')
  FROM reminder r JOIN invoice i ON i.id = r.invoice_id JOIN customer u ON u.id = i.customer_id
  JOIN creditor c ON c.id = i.creditor_id LEFT JOIN installment n ON n.id = r.installment_id
 CROSS JOIN LATERAL (SELECT sum(x.amount) AS amount, sum(x.open_amount) AS open_amount, min(x.due_date) AS due_date
                       FROM installment x WHERE x.invoice_id = i.id) t
 WHERE r.id = ANY($1::bigint[])
"""


async def due_rows(tx: asyncpg.Connection, ids: Sequence[int]) -> list[DueRow]:
    return [DueRow(*row) for row in await tx.fetch(_DUE_ROWS, ids)]


async def tried(tx: asyncpg.Connection, ids: Sequence[int]) -> frozenset[int]:
    """Those of the reminders that have an attempt."""
    rows = await tx.fetch("SELECT DISTINCT reminder_id FROM attempt WHERE reminder_id = ANY($1::bigint[])", ids)
    return frozenset(row["reminder_id"] for row in rows)


async def no_longer_queued(tx: asyncpg.Connection, ids: Sequence[int]) -> set[int]:
    rows = await tx.fetch("SELECT id FROM reminder WHERE id = ANY($1::bigint[]) AND state <> 'queued'", ids)
    return {row["id"] for row in rows}
