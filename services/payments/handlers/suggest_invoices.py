"""What money that waits may be for: the candidates of unmatched payments, with reasons. Reads only.

True here: the same rules as when it came decide, on what is open now; nothing is matched by looking.
"""

from collections.abc import Mapping, Sequence

import asyncpg

from services.payments.domain.matching import Rules, Suggestion, Transfer, suggestions
from services.payments.domain.references import find
from services.payments.store.matching import look
from services.payments.store.payments import PaymentRow


async def suggest_invoices(
    connection: asyncpg.Connection, rows: Sequence[PaymentRow], rules: Rules
) -> Mapping[int, tuple[Suggestion, ...]]:
    """By payment; only for those that have money over in a currency."""
    waiting = [row for row in rows if row.allocated < row.amount and row.currency]
    looked = await look(connection, [_transfer(row) for row in waiting]) if waiting else []
    return {row.id: suggestions(each, rules) for row, each in zip(waiting, looked, strict=True)}


def _transfer(row: PaymentRow) -> Transfer:
    payer = row.payer or {}
    structured = [text for text in (row.reference, row.invoice_ref) if text]
    found = find(structured, row.remittance or "")
    return Transfer(
        row.amount - row.allocated, row.currency or "", found, _text(payer.get("name")), _text(payer.get("iban"))
    )


def _text(value: object) -> str | None:
    """A payer of a webhook is whatever its sender says."""
    return value[:140] if isinstance(value, str) and value else None
