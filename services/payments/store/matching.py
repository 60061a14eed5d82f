"""The candidates of transfers: set-based, by index only, whatever the number of invoices.

True here: no look-up is unbounded. Where a key leads to more than `MANY` invoices it is told, because then nobody can
say that one of them is the only one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import asyncpg

from services.payments.domain.matching import MANY, Debt, Looked, Transfer
from services.payments.domain.references import plain

_NAMED = """
SELECT k.entry, i.id FROM unnest($1::int[], $2::text[]) AS k (entry, word)
 CROSS JOIN LATERAL (SELECT id FROM invoice
   WHERE upper(regexp_replace(payment_reference, '[^A-Za-z0-9]', '', 'g')) = k.word LIMIT $5) i
UNION ALL
SELECT k.entry, i.id FROM unnest($1::int[], $2::text[]) AS k (entry, word)
 CROSS JOIN LATERAL (SELECT id FROM invoice WHERE upper(regexp_replace(number, '[^A-Za-z0-9]', '', 'g')) = k.word LIMIT $5) i
UNION ALL
SELECT k.entry, i.id FROM unnest($3::int[], $4::text[]) AS k (entry, ref)
 CROSS JOIN LATERAL (SELECT id FROM invoice WHERE ref = k.ref LIMIT $5) i
"""
_BY_AMOUNT = """
SELECT e.entry, n.invoice_id FROM unnest($1::int[], $2::numeric[]) AS e (entry, amount)
 CROSS JOIN LATERAL (SELECT invoice_id FROM installment WHERE open_amount = e.amount AND open_amount > 0 LIMIT $3) n
"""
# Customers whom an account paid for before, or who have just this name; then what they owe.
_BY_PAYER = """
WITH payer AS (
  SELECT e.entry, c.id AS customer_id, true AS known FROM unnest($1::int[], $2::text[]) AS e (entry, iban)
   CROSS JOIN LATERAL (SELECT DISTINCT i.customer_id AS id FROM (
     SELECT invoice_id FROM payment WHERE payer ->> 'iban' = e.iban AND payer ? 'iban' AND invoice_id IS NOT NULL
        AND allocated > 0 LIMIT $5) y JOIN invoice i ON i.id = y.invoice_id) c
  UNION ALL
  SELECT e.entry, c.id, false FROM unnest($3::int[], $4::text[]) AS e (entry, name)
   CROSS JOIN LATERAL (SELECT id FROM customer WHERE upper(regexp_replace(name, '[^A-Za-z0-9]', '', 'g')) = e.name LIMIT $5) c
)
SELECT p.entry, i.id, p.known, p.customer_id FROM payer p
 LEFT JOIN LATERAL (SELECT id FROM invoice WHERE customer_id = p.customer_id AND settled_at IS NULL AND closed_as IS NULL
                     ORDER BY id DESC LIMIT $5) i ON true
"""
_FACTS = """
SELECT i.id, i.ref, i.number, i.payment_reference, i.currency, i.customer_id, u.name, i.closed_as IS NOT NULL AS closed,
       (SELECT array_agg(n.open_amount ORDER BY n.due_date, n.no) FROM installment n WHERE n.invoice_id = i.id) AS parts
  FROM invoice i JOIN customer u ON u.id = i.customer_id WHERE i.id = ANY ($1::bigint[])
"""


async def look(connection: asyncpg.Connection, transfers: Sequence[Transfer]) -> list[Looked]:
    """Each transfer with every invoice that it may be for."""
    found: dict[int, set[int]] = defaultdict(set)
    for entry, invoice in await _named(connection, transfers):
        found[entry].add(invoice)
    by_amount: dict[int, set[int]] = defaultdict(set)
    for entry, invoice in await _by_amount(connection, transfers):
        by_amount[entry].add(invoice)
    by_payer, known = await _by_payer(connection, transfers)
    for some in (by_amount, by_payer):
        for entry, invoices in some.items():
            found[entry] |= invoices
    debts = await _debts(connection, sorted(set().union(*found.values())))
    return [
        Looked(
            transfer,
            tuple(_debt(debts[invoice], known[entry]) for invoice in sorted(found[entry])),
            common_amount=len(by_amount[entry]) > MANY,
            owes_much=len(by_payer[entry]) >= MANY,
        )
        for entry, transfer in enumerate(transfers)
    ]


async def _named(connection: asyncpg.Connection, transfers: Sequence[Transfer]) -> list[asyncpg.Record]:
    words = [
        (entry, word)
        for entry, transfer in enumerate(transfers)
        for word in transfer.found.words | {c for c in transfer.found.checked if "-" not in c}
    ]
    refs = [
        (entry, ref)
        for entry, transfer in enumerate(transfers)
        for uuid in transfer.found.checked
        if "-" in uuid
        for ref in (uuid, uuid.upper())
    ]
    if not words and not refs:
        return []
    return await connection.fetch(_NAMED, *_columns(words), *_columns(refs), MANY)


async def _by_amount(connection: asyncpg.Connection, transfers: Sequence[Transfer]) -> list[asyncpg.Record]:
    return await connection.fetch(
        _BY_AMOUNT, list(range(len(transfers))), [transfer.amount for transfer in transfers], MANY + 1
    )


async def _by_payer(
    connection: asyncpg.Connection, transfers: Sequence[Transfer]
) -> tuple[dict[int, set[int]], dict[int, set[int]]]:
    """By entry: what its payer owes, and the customers that its account paid for before."""
    accounts = [(n, transfer.payer_iban) for n, transfer in enumerate(transfers) if transfer.payer_iban]
    names = [(n, name) for n, transfer in enumerate(transfers) if (name := plain(transfer.payer_name or ""))]
    owed: dict[int, set[int]] = defaultdict(set)
    known: dict[int, set[int]] = defaultdict(set)
    if accounts or names:
        rows = await connection.fetch(_BY_PAYER, *_columns(accounts), *_columns(names), MANY)
        for entry, invoice, is_known, customer in rows:
            if is_known:
                known[entry].add(customer)
            if invoice is not None:
                owed[entry].add(invoice)
    return owed, known


async def _debts(connection: asyncpg.Connection, invoices: list[int]) -> dict[int, Debt]:
    rows = await connection.fetch(_FACTS, invoices) if invoices else []
    return {
        row["id"]: Debt(
            row["id"],
            row["ref"],
            row["number"],
            row["payment_reference"],
            row["currency"],
            row["customer_id"],
            row["name"],
            tuple(row["parts"] or ()),
            row["closed"],
        )
        for row in rows
    }


def _debt(debt: Debt, known: set[int]) -> Debt:
    """An account that paid for several customers (a factor, a payment service) says nothing of the customer."""
    return replace(debt, known_account=True) if known == {debt.customer_id} else debt


def _columns(pairs: Sequence[tuple[int, str]]) -> tuple[list[int], list[str]]:
    return [entry for entry, _ in pairs], [text for _, text in pairs]
