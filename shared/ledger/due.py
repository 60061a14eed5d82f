"""DUE and SWEEP: time takes reminders out of pending, and takes back what was lost on the way. The scheduler's loops
call this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

import asyncpg


class Queued(NamedTuple):
    """`state`: queued, or skipped / pending when a hold decided. A tuple, because there is one for each message."""

    id: int
    state: str
    urgent: bool
    repeats: bool


@dataclass(frozen=True, slots=True)
class ToRetime:
    """A pending row that the calendar must look at (again), with all that it needs."""

    id: int
    invoice_id: int
    flow_version_id: int
    generation: int
    step: str
    occurrence: int
    leg: str
    anchor: str
    anchor_date: date | None
    installment_id: int | None
    due_at: datetime
    send_until: datetime | None
    repeats: bool
    timezone: str
    country: str | None
    issue_date: date
    due_date: date | None


@dataclass(frozen=True, slots=True)
class Retimed:
    """A new time, or `reason`: skipped."""

    id: int
    due_at: datetime | None
    send_until: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Uncertain:
    id: int
    fence: int
    flow_version_id: int
    step: str
    leg: str
    tries: int
    alternatives: int


async def queue_due(
    tx: asyncpg.Connection, *, limit: int, max_queued: int, now: datetime | None = None
) -> list[Queued]:
    """In a transaction, with the insertion of the next occurrences; publish after its commit."""
    rows = await tx.fetch("SELECT * FROM queue_due($1, $2, $3)", now, limit, max_queued)
    return [Queued._make(row) for row in rows]


async def queue_together(
    tx: asyncpg.Connection, ids: Sequence[int], *, limit: int, now: datetime | None = None
) -> list[Queued]:
    """In the same transaction: what else is due of the customers of these rows, which ride on one message with others."""
    return [Queued._make(row) for row in await tx.fetch("SELECT * FROM queue_together($1, $2, $3)", ids, now, limit)]


async def nobody_knows(
    connection: asyncpg.Connection,
    invoices: Sequence[int],
    on_unknown: str,
    span: timedelta,
    now: datetime | None = None,
) -> None:
    """Nobody could say what is open of these invoices. Their due reminders go all the same or are looked at again after
    `span`, as their step says, else as `on_unknown` does: send or hold."""
    await connection.execute("SELECT nobody_knows($1, $2, $3, $4)", invoices, on_unknown, span, now)


async def skip_queued(
    tx: asyncpg.Connection, rows: Mapping[int, str], reason: str, now: datetime | None = None
) -> None:
    """In the transaction of `queue_due`, of rows that it has just queued: id -> why a rule that SQL cannot judge says no."""
    await tx.execute("SELECT skip_queued($1, $2, $3, $4)", list(rows), list(rows.values()), reason, now)


async def act(tx: asyncpg.Connection, rows: Sequence[tuple[int, str, object]], now: datetime | None = None) -> None:
    """In the transaction of `queue_due`, of rows that it has just moved and that send nothing: (id, 'escalated' or
    'stopped', what the timeline keeps)."""
    if rows:
        ids, kinds, data = ([row[column] for row in rows] for column in range(3))
        await tx.execute("SELECT act($1, $2, $3, $4)", ids, kinds, data, now)


async def to_retime(tx: asyncpg.Connection, *, limit: int, now: datetime | None = None) -> list[ToRetime]:
    rows = await tx.fetch("SELECT * FROM to_retime($1, $2)", now, limit)
    return [ToRetime(*row) for row in rows]


async def retime(tx: asyncpg.Connection, rows: Sequence[Retimed], now: datetime | None = None) -> None:
    """In the transaction of `to_retime`."""
    columns = [[getattr(row, name) for row in rows] for name in ("id", "due_at", "send_until", "reason")]
    await tx.execute("SELECT retime($1, $2, $3, $4, $5)", *columns, now)


async def sweep_queued(connection: asyncpg.Connection, older: timedelta, limit: int) -> list[tuple[int, bool]]:
    """(id, urgent) of what must be published again."""
    return [(row[0], row[1]) for row in await connection.fetch("SELECT * FROM sweep_queued($1, $2)", older, limit)]


async def sweep_replans(
    connection: asyncpg.Connection, older: timedelta, limit: int, now: datetime | None = None
) -> int:
    """Invoices of which a dispatcher learnt something and died before it could ask for a new plan."""
    count: int = await connection.fetchval("SELECT sweep_replans($1, $2, $3)", older, limit, now)
    return count


async def sweep_leases(connection: asyncpg.Connection, limit: int, now: datetime | None = None) -> int:
    """How many attempts were given up as unknown: more than 0 is an alarm."""
    count: int = await connection.fetchval("SELECT sweep_leases($1, $2)", now, limit)
    return count


async def expire_receipts(connection: asyncpg.Connection, limit: int, now: datetime | None = None) -> int:
    count: int = await connection.fetchval("SELECT expire_receipts($1, $2)", now, limit)
    return count


async def uncertain_since(
    connection: asyncpg.Connection, age: timedelta, limit: int, now: datetime | None = None
) -> list[Uncertain]:
    return [
        Uncertain(*row) for row in await connection.fetch("SELECT * FROM uncertain_since($1, $2, $3)", now, age, limit)
    ]


async def resolve_uncertain(
    connection: asyncpg.Connection, rows: Sequence[tuple[Uncertain, str]], now: datetime | None = None
) -> None:
    """Each row with its action: assume_sent, resend or next_channel."""
    ids, fences, actions = [r.id for r, _ in rows], [r.fence for r, _ in rows], [action for _, action in rows]
    await connection.execute("SELECT resolve_uncertain($1, $2, $3, $4)", ids, fences, actions, now)
