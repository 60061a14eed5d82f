"""Customers and their contact points on their way in: each statement takes a whole batch.

What must stay true: rows are locked in the same order by everybody (see accepting.py); a row that says the same already is not
written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.scheduler.domain.new_invoice import NewContactPoint, NewCustomer


@dataclass(frozen=True, slots=True)
class Party:
    """A creditor or customer, with what planning needs of it."""

    id: int
    timezone: str | None
    country: str | None


async def customers(tx: asyncpg.Connection, refs: Sequence[str]) -> dict[str, Party]:
    rows = await tx.fetch("SELECT ref, id, timezone, country FROM customer WHERE ref = ANY($1::text[])", refs)
    return {row["ref"]: Party(row["id"], row["timezone"], row["country"]) for row in rows}


_UPSERT_CUSTOMERS = """
INSERT INTO customer AS c (ref, name, locale, timezone, country, preferred_channel, attributes)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[])
ON CONFLICT (ref) DO UPDATE
  SET name = excluded.name, locale = excluded.locale, timezone = excluded.timezone, country = excluded.country,
      preferred_channel = excluded.preferred_channel, attributes = excluded.attributes
WHERE (c.name, c.locale, c.timezone, c.country, c.preferred_channel, c.attributes)
      IS DISTINCT FROM (excluded.name, excluded.locale, excluded.timezone, excluded.country,
                        excluded.preferred_channel, excluded.attributes)
"""


async def upsert_customers(tx: asyncpg.Connection, given: Iterable[NewCustomer]) -> None:
    """Each ref once. A row that says the same already is not written."""
    rows = sorted(given, key=lambda customer: customer.ref)
    await tx.execute(
        _UPSERT_CUSTOMERS,
        [row.ref for row in rows],
        [row.name for row in rows],
        [row.locale for row in rows],
        [row.timezone for row in rows],
        [row.country for row in rows],
        [row.preferred_channel for row in rows],
        [row.attributes or {} for row in rows],
    )


_UPSERT_CONTACTS = """
INSERT INTO contact_point AS c (customer_id, kind, address, channels, priority)
SELECT p.customer_id, p.kind, p.address, string_to_array(p.channels, ','), p.priority
  FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[])
       AS p (customer_id, kind, address, channels, priority)
ON CONFLICT (customer_id, kind, address) DO UPDATE
  SET channels = excluded.channels, priority = excluded.priority, retired_at = NULL
WHERE c.retired_at IS NOT NULL OR (c.channels, c.priority) IS DISTINCT FROM (excluded.channels, excluded.priority)
"""
# A browser that the customer subscribed on the pay page is not the ERP's to forget: a list without any push address leaves it.
_RETIRE_CONTACTS = """
UPDATE contact_point p SET retired_at = $4
 WHERE p.customer_id = ANY($1::bigint[]) AND p.retired_at IS NULL
   AND (p.kind <> 'push' OR EXISTS (SELECT FROM unnest($2::bigint[], $3::text[]) AS given (customer_id, address)
                                     WHERE given.customer_id = p.customer_id AND given.address LIKE 'push:%'))
   AND NOT EXISTS (SELECT FROM unnest($2::bigint[], $3::text[]) AS kept (customer_id, address)
                    WHERE kept.customer_id = p.customer_id AND kept.address = p.kind || ':' || p.address)
"""


async def replace_contact_points(
    tx: asyncpg.Connection, given: Iterable[NewCustomer], ids: Mapping[str, Party], now: datetime
) -> None:
    """Of customers that name their contact points."""
    named = [(ids[one.ref].id, one.contact_points) for one in given if one.contact_points is not None]
    if named:
        await replace_points(tx, named, now)


async def replace_points(
    tx: asyncpg.Connection, named: Sequence[tuple[int, tuple[NewContactPoint, ...]]], now: datetime
) -> None:
    """`named`: (customer id, all their contact points). What is left out is retired; what is named is in use
    (again)."""
    rows = sorted(
        (customer_id, point.kind, point.address, point.channels and ",".join(point.channels), point.priority)
        for customer_id, points in named
        for point in points
    )
    owners = [row[0] for row in rows]
    await tx.execute(_UPSERT_CONTACTS, owners, *([row[column] for row in rows] for column in range(1, 5)))
    kept = [f"{row[1]}:{row[2]}" for row in rows]
    await tx.execute(_RETIRE_CONTACTS, [customer_id for customer_id, _ in named], owners, kept, now)
