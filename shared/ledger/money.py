"""SETTLE, PAYMENT and the stops that people make: what changes whether a reminder may go at all.

True here: each call is one statement that has committed when it returns (unless the caller opened a transaction), and
answers how long the hand-off barrier lasts. Only after `asyncio.sleep` of that may anybody be told that nothing more
will go out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import asyncpg

from shared.ledger.promise import Promised
from shared.states import PromiseState, SaidBy


@dataclass(frozen=True, slots=True)
class PaymentSaid:
    """What a source said. `kind`: confirmed, pending or reversed; `amount` None in a reversal means all of it."""

    source_id: int
    payment_ref: str
    kind: str
    event_ref: str
    amount: Decimal | None
    currency: str | None
    invoice_ref: str | None
    installment_no: int | None
    reference: str | None
    paid_at: datetime | None
    payer: dict[str, Any] | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class PaymentRecorded:
    """`fresh` False: heard before. `wait`: seconds of the hand-off barrier. `unallocated`: money that matched nothing,
    see reason."""

    fresh: bool
    payment_id: int
    invoice_id: int | None
    unmatched_reason: str | None
    unallocated: Decimal
    wait: float


async def record_payment(
    connection: asyncpg.Connection, said: PaymentSaid, *, window: timedelta, now: datetime | None = None
) -> PaymentRecorded:
    """One round trip. Raises asyncpg.SerializationError when another event of the payment got in between:
    Database.retrying."""
    row = await connection.fetchrow(
        "SELECT * FROM record_payment($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        said.source_id,
        said.payment_ref,
        said.kind,
        said.event_ref,
        said.amount,
        said.currency,
        said.invoice_ref,
        said.installment_no,
        said.reference,
        said.paid_at,
        said.payer,
        said.body,
        window,
        now,
    )
    assert row is not None
    return PaymentRecorded(*row)


async def record_payments(
    connection: asyncpg.Connection, said: Sequence[PaymentSaid], *, window: timedelta, now: datetime | None = None
) -> list[PaymentRecorded | None]:
    """For confirmed ones that name no installment; one round trip, which waits for no invoice. None: not stored, for
    `record_payment`, because the payment is known (also from earlier in `said`), or its invoice is not, or is locked."""
    rows = await connection.fetch(
        "SELECT * FROM record_payments($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        [each.source_id for each in said],
        [each.payment_ref for each in said],
        [each.event_ref for each in said],
        [each.amount for each in said],
        [each.currency for each in said],
        [each.invoice_ref for each in said],
        [each.reference for each in said],
        [each.paid_at for each in said],
        [each.payer for each in said],
        [each.body for each in said],
        window,
        now,
    )
    recorded: list[PaymentRecorded | None] = [None] * len(said)
    for nth, *answer in rows:
        recorded[nth - 1] = PaymentRecorded(True, *answer)
    return recorded


async def hold_in_flight(
    tx: asyncpg.Connection, payment_id: int, lasting: timedelta, now: datetime | None = None
) -> None:
    """In the transaction that recorded a pending payment: reminders of its invoice wait for it, so long at most."""
    await tx.execute("SELECT hold_in_flight($1, $2, $3)", payment_id, lasting, now)


@dataclass(frozen=True, slots=True)
class Polled:
    """What a polled source's word did to an invoice. `changed`: it moved money; `wait`: the barrier's seconds."""

    invoice_id: int
    changed: bool
    wait: float


async def record_poll(
    connection: asyncpg.Connection,
    source_id: int,
    open_amounts: Mapping[int, Decimal | None],
    asked: datetime,
    *,
    window: timedelta,
    now: datetime | None = None,
) -> list[Polled]:
    """`open_amounts` by invoice; None: it is not paid, and the source does not say how much is open. `asked`: business
    time before the question left. Invoices of which something later is known are not answered."""
    rows = await connection.fetch(
        "SELECT * FROM record_poll($1, $2, $3, $4, $5, $6)",
        source_id,
        list(open_amounts),
        list(open_amounts.values()),
        asked,
        window,
        now,
    )
    return [Polled(*row) for row in rows]


async def match_waiting(
    connection: asyncpg.Connection, invoices: Sequence[int], now: datetime | None = None
) -> list[int]:
    """After the commit of an invoice or of a payment: finds the other. Answers the invoices that got money."""
    touched: list[int] = await connection.fetchval("SELECT match_waiting($1, $2)", invoices, now)
    return touched


async def match_by_name(
    connection: asyncpg.Connection, invoice_ref: str | None, reference: str | None, now: datetime | None = None
) -> list[int]:
    """`match_waiting` for the one invoice that a payment speaks of, if it is there by now."""
    touched: list[int] = await connection.fetchval(
        "SELECT match_waiting(array_remove(ARRAY[invoice_of($1, $2)], NULL), $3)", invoice_ref, reference, now
    )
    return touched


async def missed_matches(connection: asyncpg.Connection, limit: int) -> list[int]:
    """Invoices for which money waits although both are there: for `match_waiting`, and more than none is an alarm."""
    invoices: list[int] = await connection.fetchval("SELECT missed_matches($1)", limit)
    return invoices


async def money_differences(connection: asyncpg.Connection, after: int, upto: int) -> list[int]:
    """Of the invoices with after < id <= upto: those whose money does not add up, for `repair_money`. More than none is
    an alarm."""
    invoices: list[int] = await connection.fetchval("SELECT money_differences($1, $2)", after, upto)
    return invoices


async def repair_money(connection: asyncpg.Connection, invoice_id: int, now: datetime | None = None) -> bool:
    """Whether something was wrong; it is right now."""
    repaired: bool = await connection.fetchval("SELECT repair_money($1, $2)", invoice_id, now)
    return repaired


@dataclass(frozen=True, slots=True)
class Allocated:
    """`refused`: nothing_left, nothing_owed, more_than_left, more_than_owed, other_currency, invoice_void or
    _uncollectible."""

    refused: str | None
    amount: Decimal
    wait: float


async def allocate_payment(
    connection: asyncpg.Connection,
    payment_id: int,
    invoice_id: int,
    installment_no: int | None,
    amount: Decimal | None,
    *,
    window: timedelta,
    now: datetime | None = None,
) -> Allocated:
    """By hand; `amount` None: as much as fits."""
    row = await connection.fetchrow(
        "SELECT * FROM allocate_payment($1, $2, $3, $4, $5, $6)",
        payment_id,
        invoice_id,
        installment_no,
        amount,
        window,
        now,
    )
    assert row is not None
    return Allocated(*row)


async def undo_allocation(
    connection: asyncpg.Connection,
    payment_id: int,
    invoice_id: int | None,
    installment_no: int | None,
    now: datetime | None = None,
) -> Decimal:
    """How much was taken back; 0 when there was nothing."""
    freed: Decimal = await connection.fetchval(
        "SELECT undo_allocation($1, $2, $3, $4)", payment_id, invoice_id, installment_no, now
    )
    return freed


async def settle(tx: asyncpg.Connection, invoices: Sequence[int], now: datetime | None = None) -> None:
    """Needs the invoices' locks; after any change to amount, credited or allocated."""
    await tx.execute("SELECT settle($1, $2)", invoices, now)


async def barrier(connection: asyncpg.Connection, invoices: Sequence[int], window: timedelta) -> float:
    """Seconds until no started attempt of these invoices can hand off any more."""
    wait: float = await connection.fetchval("SELECT barrier($1, $2)", invoices, window)
    return wait


async def close_invoice(
    connection: asyncpg.Connection, invoice_id: int, closed_as: str, *, window: timedelta, now: datetime | None = None
) -> float:
    """Void or uncollectible; again is a no-op. The barrier's seconds."""
    wait: float = await connection.fetchval("SELECT close_invoice($1, $2, $3, $4)", invoice_id, closed_as, window, now)
    return wait


@dataclass(frozen=True, slots=True)
class Stop:
    """A dated stop on an invoice, a customer or (both None) everything. `kind`: hold, dispute, backlog or said_paid;
    `note`: the customer's own words."""

    kind: str
    invoice_id: int | None
    customer_id: int | None
    reason: str
    until: datetime
    amount: Decimal | None = None
    note: str | None = None
    said_by: SaidBy = SaidBy.CLERK


async def place_hold(
    connection: asyncpg.Connection, stop: Stop, *, window: timedelta, now: datetime | None = None
) -> tuple[int, float]:
    """(the hold's id, the barrier's seconds). The same kind on the same scope is moved, not doubled."""
    row = await connection.fetchrow(
        "SELECT * FROM place_stop($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        stop.kind,
        stop.invoice_id,
        stop.customer_id,
        stop.reason,
        stop.note,
        stop.said_by,
        stop.amount,
        stop.until,
        window,
        now,
    )
    assert row is not None
    return row[0], row[1]


@dataclass(frozen=True, slots=True)
class InFlight:
    """What was claimed and may still be handed over: how many, and the seconds until none can be any more."""

    attempts: int
    wait: float


async def in_flight(connection: asyncpg.Connection, window: timedelta) -> InFlight:
    row = await connection.fetchrow("SELECT * FROM in_flight($1)", window)
    assert row is not None
    return InFlight(*row)


async def place_promise(
    connection: asyncpg.Connection, promised: Promised, *, window: timedelta, now: datetime | None = None
) -> tuple[int, float]:
    """(the hold's id, the barrier's seconds). It takes the place of what was promised for the invoice before."""
    row = await connection.fetchrow(
        "SELECT * FROM place_promise($1, $2, $3, $4, $5, $6, $7)",
        promised.invoice_id,
        [day.until for day in promised.days],
        [day.amount for day in promised.days],
        promised.reason,
        promised.said_by,
        window,
        now,
    )
    assert row is not None
    return row[0], row[1]


async def judge_promises(
    connection: asyncpg.Connection, limit: int, now: datetime | None = None
) -> list[tuple[int, PromiseState]]:
    """(invoice id, what became of it) for each promised date that has passed."""
    rows = await connection.fetch("SELECT * FROM judge_promises($1, $2)", now, limit)
    return [(row[0], PromiseState(row[1])) for row in rows]


async def release_holds(connection: asyncpg.Connection, holds: Sequence[int], now: datetime | None = None) -> int:
    """How many ended; what had moved to their end is due now."""
    count: int = await connection.fetchval("SELECT release_holds($1, $2)", holds, now)
    return count
