"""A customer says stop: for one address, on the channels that it is used for.

True here: answered only after the commit and a whole hand-off window, so that nothing goes to the address after the
answer.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from shared.db.engine import Database
from shared.routing.channels import REACHED_THROUGH

LOOK = """
SELECT p.id, p.kind, p.address, p.customer_id, coalesce(u.locale, 'en') AS locale,
       EXISTS (SELECT FROM suppression s WHERE s.contact_point_id = p.id AND s.reason = 'opted_out') AS opted_out
  FROM contact_point p JOIN customer u ON u.id = p.customer_id WHERE p.token = $1
"""
SUPPRESS = """
WITH barred AS (
  INSERT INTO suppression (contact_point_id, channel, reason, created_at)
  SELECT $1, unnest($2::text[]), 'opted_out', business_now()
  ON CONFLICT (contact_point_id, channel) DO NOTHING RETURNING channel
)
INSERT INTO event (at, customer_id, kind, data)
SELECT business_now(), $3, 'contact.opted_out',
       jsonb_build_object('contact_point', $1::bigint, 'channels', jsonb_agg(channel))
  FROM barred HAVING count(*) > 0
"""


@dataclass(frozen=True, slots=True)
class OptOutLink:
    contact_point_id: int
    kind: str
    address: str
    customer_id: int
    locale: str
    opted_out: bool


class OptOut:
    def __init__(self, db: Database, window: float) -> None:
        self._db = db
        self._window = window

    async def link(self, token: str) -> OptOutLink | None:
        async with self._db.connection() as connection:
            row = await connection.fetchrow(LOOK, token)
        return None if row is None else OptOutLink(*row)

    async def __call__(self, link: OptOutLink) -> None:
        channels = [channel for channel, kind in REACHED_THROUGH.items() if kind == link.kind]
        await self.stop(link.contact_point_id, link.customer_id, channels)

    async def stop(self, contact_point_id: int, customer_id: int, channels: Sequence[str]) -> None:
        """On these channels alone."""
        async with self._db.connection() as connection:
            await connection.execute(SUPPRESS, contact_point_id, channels, customer_id)
        await asyncio.sleep(self._window)
