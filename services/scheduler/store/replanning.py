"""What planning an invoice anew has to know, for many invoices at once. All of it is read under the invoices' locks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import asyncpg


@dataclass(frozen=True, slots=True)
class Facts:
    """`generation`: the one that `open_generation` has just opened. `broken_n`, `broken_at`: promises so far."""

    id: int
    generation: int
    flow_version_id: int
    issue_date: date
    accepted_at: datetime
    settled_n: int
    settled_at: datetime | None
    closed_as: str | None
    timezone: str
    country: str | None
    broken_n: int
    broken_at: datetime | None


@dataclass(frozen=True, slots=True)
class Part:
    invoice_id: int
    id: int
    no: int
    due_date: date
    amount: Decimal
    credited: Decimal
    allocated: Decimal
    open_amount: Decimal


@dataclass(frozen=True, slots=True)
class Kept:
    """A row that may have gone out, or follows one: it is in the new generation already. Or what sends nothing and was
    done for this due date: an escalation, a stop."""

    invoice_id: int
    installment_no: int | None
    step: str
    occurrence: int
    leg: str
    state: str
    reason: str | None


_FACTS = """
SELECT i.id, i.generation, i.flow_version_id, i.issue_date, i.accepted_at, i.settled_n, i.settled_at, i.closed_as,
       coalesce(u.timezone, c.timezone), coalesce(u.country, c.country), b.n, b.at
  FROM invoice i JOIN customer u ON u.id = i.customer_id JOIN creditor c ON c.id = i.creditor_id
 CROSS JOIN LATERAL (SELECT count(*) AS n, max(p.until) AS at FROM promise p
                      WHERE p.invoice_id = i.id AND p.state = 'broken') b
 WHERE i.id = ANY($1::bigint[])
"""
_PARTS = """
SELECT invoice_id, id, no, due_date, amount, credited, allocated, open_amount
  FROM installment WHERE invoice_id = ANY($1::bigint[]) ORDER BY invoice_id, no
"""
_KEPT = """
SELECT r.invoice_id, n.no, r.step, r.occurrence, r.leg, r.state, r.reason
  FROM reminder r JOIN invoice i ON i.id = r.invoice_id LEFT JOIN installment n ON n.id = r.installment_id
 WHERE r.invoice_id = ANY($1::bigint[]) AND (i.generation = r.generation
    OR (r.state = 'skipped' AND r.reason IN ('escalated', 'stopped') AND r.anchor_date = n.due_date))
"""
_CHOOSE = """
SELECT id FROM invoice WHERE replan_at <= business_now() ORDER BY replan_at, id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
"""


async def choose(tx: asyncpg.Connection, limit: int) -> list[int]:
    """Invoices that want a new plan, locked; those that somebody else holds are left to them."""
    return sorted(row["id"] for row in await tx.fetch(_CHOOSE, limit))


async def facts(tx: asyncpg.Connection, ids: Sequence[int]) -> list[Facts]:
    return [Facts(*row) for row in await tx.fetch(_FACTS, ids)]


async def parts(tx: asyncpg.Connection, ids: Sequence[int]) -> list[Part]:
    return [Part(*row) for row in await tx.fetch(_PARTS, ids)]


async def kept(tx: asyncpg.Connection, ids: Sequence[int]) -> list[Kept]:
    return [Kept(*row) for row in await tx.fetch(_KEPT, ids)]
