"""What is known already of a statement's entries, and which earlier payment one takes back."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import asyncpg


@dataclass(frozen=True, slots=True)
class Known:
    """A payment that was heard of: by which kinds of events, and the invoices that it touches."""

    kinds: frozenset[str]
    invoices: tuple[int, ...]


async def known_payments(connection: asyncpg.Connection, source_id: int, refs: Sequence[str]) -> dict[str, Known]:
    rows = await connection.fetch(
        """
        SELECT y.payment_ref,
               ARRAY(SELECT DISTINCT e.kind FROM payment_event e
                      WHERE e.source_id = y.source_id AND e.payment_ref = y.payment_ref) AS kinds,
               ARRAY(SELECT y.invoice_id WHERE y.invoice_id IS NOT NULL
                     UNION SELECT n.invoice_id FROM allocation a JOIN installment n ON n.id = a.installment_id
                            WHERE a.payment_id = y.id) AS invoices
          FROM payment y WHERE y.source_id = $1 AND y.payment_ref = ANY ($2::text[])
        """,
        source_id,
        refs,
    )
    return {row["payment_ref"]: Known(frozenset(row["kinds"]), tuple(row["invoices"])) for row in rows}


async def heard_before(connection: asyncpg.Connection, source_id: int, event_refs: Sequence[str]) -> dict[str, str]:
    """Reversals that were booked: the payment that each took back."""
    rows = await connection.fetch(
        "SELECT event_ref, payment_ref FROM payment_event"
        " WHERE source_id = $1 AND kind = 'reversed' AND event_ref = ANY ($2::text[])",
        source_id,
        event_refs,
    )
    return {row["event_ref"]: row["payment_ref"] for row in rows}


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What a reversal says of the payment that it returns."""

    amount: Decimal
    currency: str
    end_to_end: str | None
    payer_iban: str | None
    text: str


async def originals(connection: asyncpg.Connection, source_id: int, taken: Sequence[TakenBack]) -> list[str | None]:
    """The payment that each takes back, if just one can be meant: the payer's own id of it, else account and text."""
    rows = await connection.fetch(
        """
        SELECT t.nth, (SELECT min(c.payment_ref) FROM (
                 SELECT y.payment_ref FROM payment y
                  WHERE y.payer ->> 'end_to_end' = t.e2e AND y.payer ? 'end_to_end' AND y.source_id = $1
                    AND y.amount >= t.amount AND y.currency = t.currency
                    AND (t.iban IS NULL OR coalesce(y.payer ->> 'iban', t.iban) = t.iban)
                 LIMIT 3) c HAVING count(*) = 1) AS by_id,
               (SELECT min(c.payment_ref) FROM (
                 SELECT y.payment_ref FROM payment y
                  WHERE y.payer ->> 'iban' = t.iban AND y.payer ? 'iban' AND y.invoice_id IS NOT NULL AND y.source_id = $1
                    AND y.amount >= t.amount AND y.currency = t.currency AND y.remittance = t.said
                 LIMIT 3) c HAVING count(*) = 1) AS by_account
          FROM unnest($2::text[], $3::text[], $4::text[], $5::numeric[], $6::text[])
               WITH ORDINALITY AS t (e2e, iban, said, amount, currency, nth)
         ORDER BY t.nth
        """,
        source_id,
        [each.end_to_end for each in taken],
        [each.payer_iban for each in taken],
        [each.text for each in taken],
        [each.amount for each in taken],
        [each.currency for each in taken],
    )
    return [row["by_id"] or row["by_account"] for row in rows]
