"""CLAIM, RECORD and RECEIPT: the dispatcher's side of the ledger. Each call is one statement, and one transaction.

True here: what a claim answers as `claimed` is this worker's alone, and is all that the message may say. No word of a
provider, whatever bytes it has, keeps an outcome out of the database.

What there is one of for each message is a tuple: its fields are the columns that a call hands over, and a frozen dataclass
costs several times as much to make.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import asyncpg

from shared.kernel.caps import Caps

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class Wanted(NamedTuple):
    """What the look expects for a reminder. `channel` None: it found no way, and `reason` says why. Those with one number
    in `together` shall ride on one message. `caps`: of its own flow, beside those for all."""

    reminder_id: int
    channel: str | None
    contact_point_id: int | None
    provider: str | None
    cost: Decimal | None
    alternatives: int
    reason: str | None = None
    together: int | None = None
    caps: Caps | None = None


class Claim(NamedTuple):
    """`verdict`: claimed, cancelled, skipped, failed, moved, late, capped or giveback. The rest is what the message
    says."""

    reminder_id: int
    verdict: str
    fence: int
    channel: str | None
    contact_point_id: int | None
    address: str | None
    contact_token: str | None
    invoice_id: int
    invoice_ref: str
    number: str
    currency: str
    issue_date: date
    payment_url: str | None
    payment_reference: str
    invoice_token: str
    document_key: str | None
    document_name: str | None
    document_type: str | None
    document_size: int | None
    attributes: dict[str, Any]
    step: str
    leg: str
    occurrence: int
    flow_version_id: int
    amount: Decimal
    open_amount: Decimal
    due_date: date
    installment_no: int
    installments: int
    customer_ref: str
    customer_name: str
    locale: str
    timezone: str
    creditor_id: int
    fallback_from: str | None
    business_at: datetime


class Recorded(NamedTuple):
    """What became of an attempt. `outcome`: accepted, unknown, rejected, notsent, missed, deferred or broken. `cost`: of
    the message as it went; None: what the route reckoned with. `wording`: the text that it was made of."""

    reminder_id: int
    fence: int
    outcome: str
    provider_ref: str | None = None
    detail: str | None = None
    retry_in: timedelta | None = None
    suppress: str | None = None
    receipt_within: timedelta | None = None
    cost: Decimal | None = None
    wording: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A provider's later word. `kind`: delivered, undelivered or missed. `retry_in`, `limit`, `per_day`: of the missed ones,
    when again, how often at all, how often in 24 hours; None: what the caller of `receive` says, for all. `units`:
    how much it was of what was reckoned as one."""

    reminder_id: int
    fence: int
    kind: str
    detail: str | None = None
    suppress: str | None = None
    retry_in: timedelta | None = None
    limit: int | None = None
    per_day: int | None = None
    units: int | None = None


async def claim(
    connection: asyncpg.Connection,
    wanted: Sequence[Wanted],
    *,
    worker: str,
    lease: timedelta,
    caps: Caps,
    now: datetime | None = None,
) -> list[Claim]:
    """Take t0 = monotonic() before this call: the hand-off window runs from there. Right after it, before anything is
    handed over, `carry` what goes in one message."""
    if not wanted:
        return []
    ids, channels, contacts, providers, costs, alternatives, reasons, together, own = zip(*wanted, strict=True)
    limits = [caps.within(each) for each in own]
    rows = await connection.fetch(
        "SELECT * FROM claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        now,
        ids,
        channels,
        contacts,
        providers,
        costs,
        alternatives,
        reasons,
        _unless_none(together),
        worker,
        lease,
        _unless_none([limit.per_day for limit in limits]),
        _unless_none([limit.per_week for limit in limits]),
        _unless_none([limit.gap for limit in limits]),
    )
    return [Claim._make(row) for row in rows]


def _unless_none(values: Sequence[Any]) -> Sequence[Any] | None:
    return None if all(value is None for value in values) else values


async def carry(connection: asyncpg.Connection, groups: Sequence[Sequence[Claim]], now: datetime | None = None) -> None:
    """What is claimed and goes in one message; the first of each group carries it."""
    ridden = [(one, group[0]) for group in groups for one in group]
    await connection.execute(
        "SELECT carry($1, $2, $3, $4, $5)",
        [one.reminder_id for one, _ in ridden],
        [one.fence for one, _ in ridden],
        [carrier.reminder_id for _, carrier in ridden],
        [carrier.fence for _, carrier in ridden],
        now,
    )


async def riders(connection: asyncpg.Connection, reminder_id: int, fence: int) -> list[tuple[int, int]]:
    """The attempts that went in the message of this one, as (reminder, fence)."""
    return [(row[0], row[1]) for row in await connection.fetch("SELECT * FROM riders($1, $2)", reminder_id, fence)]


async def give_back(connection: asyncpg.Connection, due: Sequence[tuple[int, datetime]]) -> None:
    """Rows that were not taken in time: pending again, at the given business time."""
    await connection.execute("SELECT give_back($1, $2)", [row for row, _ in due], [at for _, at in due])


async def record(
    connection: asyncpg.Connection,
    outcomes: Sequence[Recorded],
    *,
    missed_limit: int,
    deferred_limit: int,
    broken_limit: int,
    now: datetime | None = None,
) -> list[int]:
    """Invoices to hand to `request_replan` (usually none)."""
    if not outcomes:
        return []
    ids, fences, kinds, refs, details, retries, suppress, within, costs, wordings = zip(*outcomes, strict=True)
    late: list[int] = await connection.fetchval(
        "SELECT record($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        now,
        ids,
        fences,
        kinds,
        [storable(ref) for ref in refs],
        [storable(detail) for detail in details],
        retries,
        suppress,
        within,
        costs,
        wordings,
        missed_limit,
        deferred_limit,
        broken_limit,
    )
    return late


def storable(said: str | None) -> str | None:
    """PostgreSQL takes neither U+0000 nor half a surrogate pair, which is what an answer in Latin-1 is read as; one such
    word would hold up all that waits to be recorded, for ever."""
    return said and _UNSTORABLE.sub("\ufffd", said)


async def receive(
    connection: asyncpg.Connection,
    receipts: Sequence[Receipt],
    *,
    retry_missed: timedelta,
    missed_limit: int,
    now: datetime | None = None,
) -> list[int]:
    """As `record`."""
    late: list[int] = await connection.fetchval(
        "SELECT receive($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        now,
        [r.reminder_id for r in receipts],
        [r.fence for r in receipts],
        [r.kind for r in receipts],
        [storable(r.detail) for r in receipts],
        [r.suppress for r in receipts],
        [r.retry_in or retry_missed for r in receipts],
        [r.limit or missed_limit for r in receipts],
        [r.per_day for r in receipts],
        [r.units for r in receipts],
    )
    return late


async def hasten(
    connection: asyncpg.Connection, attempts: Sequence[tuple[int, int]], now: datetime | None = None
) -> list[int]:
    """What follows these calls, (reminder, fence), is due at once; those for which something was waiting."""
    hastened: list[int] = await connection.fetchval(
        "SELECT hasten($1, $2, $3)", [key for key, _ in attempts], [fence for _, fence in attempts], now
    )
    return hastened


async def request_replan(connection: asyncpg.Connection, invoices: Sequence[int], now: datetime | None = None) -> None:
    """In a transaction of its own: it locks invoices, and record() held reminders."""
    await connection.execute("SELECT request_replan($1, $2)", invoices, now)
