"""PAYMENT for a whole batch of a statement's entries: as record_payment() one at a time, in a few statements.

True here: one call is one transaction (unless the caller opened one); the caller waits for `barrier` of the invoices
before it tells anybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import asyncpg

from shared.ledger.money import PaymentSaid


@dataclass(frozen=True, slots=True)
class Share:
    """What of the entry at `entry` (from 0) goes to an invoice."""

    entry: int
    invoice_id: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Booked:
    """`fresh` False: somebody else had stored the entry first."""

    fresh: bool
    invoice_id: int | None
    unmatched_reason: str | None
    unallocated: Decimal


async def book_entries(
    connection: asyncpg.Connection,
    said: Sequence[PaymentSaid],
    remittances: Sequence[str | None],
    shares: Sequence[Share],
    *,
    hold: timedelta,
    now: datetime | None = None,
) -> list[Booked]:
    """Confirmed or pending ones of one source that were never heard of; the answer is in their order."""
    rows = await connection.fetch(
        "SELECT fresh, invoice_id, unmatched_reason, unallocated"
        "  FROM book_entries($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ORDER BY entry",
        said[0].source_id,
        [each.payment_ref for each in said],
        [each.kind for each in said],
        [each.event_ref for each in said],
        [each.amount for each in said],
        [each.currency for each in said],
        [each.reference for each in said],
        remittances,
        [each.paid_at for each in said],
        [each.payer for each in said],
        [each.body for each in said],
        [share.entry + 1 for share in shares],
        [share.invoice_id for share in shares],
        [share.amount for share in shares],
        hold,
        now,
    )
    return [Booked(*row) for row in rows]
