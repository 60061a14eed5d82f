"""What the order of a customer's channels is made of: addresses, what bars them, providers, and experience."""

from dataclasses import dataclass

import asyncpg

from shared.routing import NOTHING, ContactKind, ContactPoint, Evidence

_CUSTOMER = """
SELECT u.preferred_channel, coalesce(u.country, c.country, '') AS country,
       (SELECT jsonb_agg(jsonb_build_array(p.id, p.kind, p.address, p.channels, p.priority,
               (SELECT jsonb_agg(jsonb_build_array(s.channel, s.reason)) FROM suppression s WHERE s.contact_point_id = p.id)))
          FROM contact_point p WHERE p.customer_id = u.id AND p.retired_at IS NULL) AS points,
       (SELECT jsonb_agg(jsonb_build_array(k.channel, k.contacts, k.tried, k.reached, k.asked, k.moved)) FROM channel_stat k
         WHERE k.customer_id = u.id) AS evidence
  FROM customer u LEFT JOIN creditor c ON c.ref = 'default' WHERE u.ref = $1
"""
_GROUPS = "SELECT country, channel, tried, reached, asked, moved FROM channel_group"


@dataclass(frozen=True, slots=True)
class Facts:
    """`contacts`: how many there were in all, by channel; the evidence counts those of long ago for less."""

    preferred_channel: str | None
    country: str
    points: list[ContactPoint]
    suppressed: dict[tuple[int, str], str]
    contacts: dict[str, int]
    own: dict[str, Evidence]
    group: dict[str, Evidence]
    overall: Evidence


async def facts(connection: asyncpg.Connection, ref: str) -> Facts | None:
    row = await connection.fetchrow(_CUSTOMER, ref)
    if row is None:
        return None
    points = row["points"] or []
    evidence = row["evidence"] or []
    groups = [(country, channel, Evidence(*counts)) for country, channel, *counts in await connection.fetch(_GROUPS)]
    return Facts(
        row["preferred_channel"],
        row["country"],
        [
            ContactPoint(key, ContactKind(kind), to, tuple(named or ()), rank)
            for key, kind, to, named, rank, _ in points
        ],
        {(point[0], channel): reason for point in points for channel, reason in point[5] or ()},
        {channel: contacts for channel, contacts, *_ in evidence},
        {channel: Evidence(*counts) for channel, _, *counts in evidence},
        {channel: counts for country, channel, counts in groups if country == row["country"]},
        Evidence(*map(sum, zip(*(counts for _, _, counts in groups), strict=True))) if groups else NOTHING,
    )
