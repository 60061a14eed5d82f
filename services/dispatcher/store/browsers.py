"""Browsers that customers subscribed: push addresses of whoever holds a pay link."""

from dataclasses import dataclass

import asyncpg

FIND = """
SELECT i.customer_id, coalesce(u.locale, c.locale) AS locale, i.ref
  FROM invoice i JOIN customer u ON u.id = i.customer_id JOIN creditor c ON c.id = i.creditor_id
 WHERE i.token = $1 AND coalesce(i.token_until > business_now(), true)
"""
COUNT = "SELECT count(*) FROM contact_point WHERE customer_id = $1 AND kind = 'push' AND retired_at IS NULL AND address <> $2"
KEEP = """
WITH kept AS (
  INSERT INTO contact_point AS p (customer_id, kind, address) VALUES ($1, 'push', $2)
  ON CONFLICT (customer_id, kind, address) DO UPDATE SET retired_at = NULL RETURNING id, xmax = 0 AS is_new
), forgiven AS (
  DELETE FROM suppression s USING kept WHERE s.contact_point_id = kept.id AND s.channel = 'push' RETURNING 1 AS one
), told AS (
  INSERT INTO event (at, customer_id, kind, data)
  SELECT business_now(), $1, 'contact.subscribed',
         jsonb_build_object('contact_point', id, 'channels', '["push"]'::jsonb, 'link_of', $3::text)
    FROM kept WHERE is_new OR EXISTS (SELECT FROM forgiven)
)
SELECT is_new FROM kept
"""


@dataclass(frozen=True, slots=True)
class Holder:
    """Of a pay link."""

    customer_id: int
    locale: str
    invoice_ref: str


async def holder(connection: asyncpg.Connection, token: str) -> Holder | None:
    row = await connection.fetchrow(FIND, token)
    return None if row is None else Holder(row["customer_id"], row["locale"], row["ref"])


async def others(connection: asyncpg.Connection, customer_id: int, address: str) -> int:
    """How many push addresses the customer has beside this one."""
    return int(await connection.fetchval(COUNT, customer_id, address))


async def keep(connection: asyncpg.Connection, holder: Holder, address: str) -> bool:
    """Whether it is new. Asking anew takes back an earlier no: the person pressed the button, and the timeline says by
    which invoice's link."""
    return bool(await connection.fetchval(KEEP, holder.customer_id, address, holder.invoice_ref))
