"""PLAN: reminders come into being. Only the scheduler calls this.

True here: a plan is inserted under the invoice's lock (or together with the invoice), and inserting it twice changes
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime

import asyncpg


@dataclass(frozen=True, slots=True)
class NewReminder:
    """One row to be. `state`: waiting, pending or skipped (then with its `reason`)."""

    invoice_id: int
    installment_id: int | None
    flow_version_id: int
    generation: int
    step: str
    occurrence: int
    leg: str
    anchor: str
    anchor_date: date | None
    requires_open: bool
    urgent: bool
    repeats: bool
    followed: bool
    state: str
    reason: str | None
    due_at: datetime | None
    send_until: datetime | None
    on_unknown: str | None = None


TYPES = {int: "bigint", int | None: "bigint", str: "text", str | None: "text", bool: "boolean",
         date | None: "date", datetime | None: "timestamptz"}  # fmt: skip
COLUMNS = {field.name: TYPES[field.type] for field in fields(NewReminder)}  # type: ignore[index]
_ARRAYS = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(COLUMNS.values(), start=1))
INSERT = f"""
INSERT INTO reminder ({", ".join(COLUMNS)}) SELECT * FROM unnest({_ARRAYS})
ON CONFLICT (invoice_id, installment_id, generation, step, occurrence, leg) DO NOTHING
"""


async def insert_reminders(tx: asyncpg.Connection, rows: Sequence[NewReminder]) -> None:
    """One statement however many rows; a row that is planned already stays as it is."""
    if rows:
        await tx.execute(INSERT, *([getattr(row, column) for row in rows] for column in COLUMNS))


async def lock_invoices(tx: asyncpg.Connection, ids: Sequence[int]) -> None:
    """Before anything that changes what is owed or planned: a statement of its own, always in the order of the ids."""
    await tx.execute("SELECT FROM invoice WHERE id = ANY($1::bigint[]) ORDER BY id FOR NO KEY UPDATE", ids)


async def open_generation(tx: asyncpg.Connection, invoice_id: int, now: datetime | None = None) -> int:
    """Needs the invoice's lock. Cancels what has not gone, carries over what may have; answers the generation to plan
    into."""
    generation: int = await tx.fetchval("SELECT open_generation($1, $2)", invoice_id, now)
    return generation
