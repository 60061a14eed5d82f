"""Invoices that move to another version of their flow."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import asyncpg


@dataclass(frozen=True, slots=True)
class Moving:
    """An open invoice on another version."""

    id: int
    ref: str
    customer_ref: str
    version: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A row of the present plan. `went`: it may have gone out (or was done), so that no plan makes it again."""

    invoice_id: int
    installment_no: int | None
    step: str
    occurrence: int
    leg: str
    state: str
    reason: str | None
    due_at: datetime | None
    anchor_date: date | None
    went: bool


# Open: what is paid or closed has nothing before it, and would be planned anew by what reopens it.
_OPEN = """
  FROM invoice i JOIN flow_version f ON f.id = i.flow_version_id JOIN customer u ON u.id = i.customer_id
 WHERE f.name = $1 AND f.version <> $2 AND ($3::integer IS NULL OR f.version = $3)
   AND i.closed_as IS NULL AND i.settled_at IS NULL
"""
_STANDING = """
SELECT r.invoice_id, n.no, r.step, r.occurrence, r.leg, r.state, r.reason, r.due_at, r.anchor_date,
       EXISTS (SELECT FROM attempt a WHERE a.reminder_id = r.id AND a.state NOT IN ('rejected', 'notsent', 'missed', 'undelivered'))
       OR (r.state = 'skipped' AND r.reason IN ('escalated', 'stopped'))
  FROM reminder r JOIN invoice i ON i.id = r.invoice_id LEFT JOIN installment n ON n.id = r.installment_id
 WHERE r.invoice_id = ANY($1::bigint[]) AND (r.generation = i.generation
    OR (r.state = 'skipped' AND r.reason IN ('escalated', 'stopped') AND r.anchor_date = n.due_date))
 ORDER BY r.invoice_id, r.due_at NULLS LAST, r.id
"""
# The lock of one invoice after the other, by id, as everybody takes them; what a payment holds is waited for.
_MOVE = f"""
WITH mine AS (
  SELECT i.id, f.version {_OPEN} AND i.id > $4 ORDER BY i.id LIMIT $5 FOR NO KEY UPDATE OF i
), moved AS (
  UPDATE invoice i SET flow_version_id = $6, replan_at = least(i.replan_at, $7) FROM mine m WHERE i.id = m.id
  RETURNING i.id, m.version
), log AS (
  INSERT INTO event (at, invoice_id, kind, data)
  SELECT $7, m.id, 'invoice.migrated', jsonb_build_object('flow', $1, 'from', m.version, 'to', $2) FROM moved m
)
SELECT count(*), max(id) FROM moved
"""


async def by_version(connection: asyncpg.Connection, name: str, to: int, only: int | None) -> dict[int, int]:
    """How many open invoices are on each other version."""
    rows = await connection.fetch(f"SELECT f.version, count(*) {_OPEN} GROUP BY 1 ORDER BY 1", name, to, only)
    return {row[0]: row[1] for row in rows}


async def page(
    connection: asyncpg.Connection, name: str, to: int, only: int | None, after: int, limit: int
) -> list[Moving]:
    sql = f"SELECT i.id, i.ref, u.ref, f.version {_OPEN} AND i.id > $4 ORDER BY i.id LIMIT $5"
    return [Moving(*row) for row in await connection.fetch(sql, name, to, only, after, limit)]


async def standing(connection: asyncpg.Connection, invoices: Sequence[int]) -> list[Standing]:
    return [Standing(*row) for row in await connection.fetch(_STANDING, invoices)]


async def move(
    tx: asyncpg.Connection, name: str, to: int, only: int | None, after: int, limit: int, version_id: int, now: datetime
) -> tuple[int, int | None]:
    """One batch: the invoices change their version and ask for a new plan. (how many, the last one's id)"""
    row = await tx.fetchrow(_MOVE, name, to, only, after, limit, version_id, now)
    assert row is not None
    return row[0], row[1]
