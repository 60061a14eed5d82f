"""A customer answers a text: STOP bars the channel, START lifts that, anything else is for a person to read.

True here: the words are kept once, however often the provider brings them; a STOP is answered after its commit and a
whole hand-off window. A number of several customers speaks for all of them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from services.dispatcher.domain.ports import Replied
from services.dispatcher.handlers.opt_out import SUPPRESS
from shared.content.replies import Wish, confirmation, wish
from shared.db.engine import Database
from shared.routing.channels import Channel

MOST_CHARACTERS = 1600
SPEAKS_FOR: Mapping[str, Sequence[str]] = {
    Channel.SMS: (Channel.SMS, Channel.RCS),
    Channel.RCS: (Channel.SMS, Channel.RCS),
}
"""A texting app is one thing to its owner, whichever way a message came; other channels speak for themselves."""
POINTS = """
SELECT p.id, p.customer_id, coalesce(u.locale, 'en') AS locale FROM contact_point p JOIN customer u ON u.id = p.customer_id
 WHERE p.kind = 'phone' AND p.address = $1 AND p.retired_at IS NULL ORDER BY p.id
"""
KEEP = """
INSERT INTO reply (customer_id, contact_point_id, channel, provider, provider_ref, body) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING id
"""
ANNOUNCE = """
INSERT INTO event (at, customer_id, kind, data)
VALUES (business_now(), $1, 'reply.received', jsonb_build_object('channel', $2::text, 'reply', $3::bigint))
"""
LIFT = """
WITH gone AS (
  DELETE FROM suppression WHERE contact_point_id = $1 AND channel = ANY ($2::text[]) AND reason = 'opted_out' RETURNING channel
)
INSERT INTO event (at, customer_id, kind, data)
SELECT business_now(), $3, 'contact.restored',
       jsonb_build_object('contact_point', $1::bigint, 'channels', jsonb_agg(channel))
  FROM gone HAVING count(*) > 0
"""


@dataclass(frozen=True, slots=True)
class _Point:
    id: int
    customer_id: int
    locale: str


class TakeReply:
    def __init__(self, db: Database, window: float) -> None:
        self._db = db
        self._window = window

    async def __call__(self, provider: str, reply: Replied) -> str | None:
        """What the customer shall read at once; None: nothing, or the provider has said it."""
        asked = _asked(reply)
        async with self._db.transaction() as tx:
            points = [_Point(*row) for row in await tx.fetch(POINTS, reply.address)]
            fresh = [point for point in points if await self._take(tx, provider, reply, asked, point)]
        if asked is Wish.STOP and fresh:
            await asyncio.sleep(self._window)
        said_already = reply.stopped is not None
        return confirmation(asked, fresh[0].locale) if asked and fresh and not said_already else None

    async def _take(
        self, tx: asyncpg.Connection, provider: str, reply: Replied, asked: Wish | None, point: _Point
    ) -> bool:
        kept = await tx.fetchval(
            KEEP, point.customer_id, point.id, reply.channel, provider, reply.provider_ref, reply.text[:MOST_CHARACTERS]
        )
        if kept is None:
            return False
        channels = list(SPEAKS_FOR.get(reply.channel, (reply.channel,)))
        match asked:
            case Wish.STOP:
                await tx.execute(SUPPRESS, point.id, channels, point.customer_id)
            case Wish.START:
                await tx.execute(LIFT, point.id, channels, point.customer_id)
            case None:
                await tx.execute(ANNOUNCE, point.customer_id, reply.channel, kept)
        return True


def _asked(reply: Replied) -> Wish | None:
    """The provider's own reading first: it has acted on it."""
    if reply.stopped is not None:
        return Wish.STOP if reply.stopped else Wish.START
    return wish(reply.text)
