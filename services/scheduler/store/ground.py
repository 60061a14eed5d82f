"""What a flow is verified against: the providers that dispatchers have, the texts there are, the languages spoken."""

from collections.abc import Mapping
from decimal import Decimal

import asyncpg

from shared.content.catalog import LANGUAGES, builtin_messages
from shared.flow import Ground
from shared.kernel.caps import Caps
from shared.routing import Offer

MOST_LOCALES = 40
_OFFERS = """
SELECT DISTINCT ON (channel) channel, name, coalesce(price, own_price), prices
  FROM provider ORDER BY channel, position, name
"""
_TEXTS = """
SELECT name, channel, lower(locale) FROM (
       SELECT DISTINCT ON (name, channel, locale) * FROM template_version ORDER BY name, channel, locale, version DESC) newest
 WHERE NOT withdrawn
"""
_LOCALES = """
SELECT locale FROM creditor UNION SELECT locale FROM customer WHERE locale IS NOT NULL ORDER BY 1 LIMIT $1
"""


async def offers(connection: asyncpg.Connection) -> dict[str, Offer] | None:
    """The first provider of each channel, at its price; None while no dispatcher has ever said what it has."""
    rows = await connection.fetch(_OFFERS)
    return {channel: Offer(name, price, _beginnings(prices)) for channel, name, price, prices in rows} or None


def _beginnings(prices: list[list[str]] | None) -> tuple[tuple[str, Decimal], ...]:
    listed = [(beginning, Decimal(str(price))) for beginning, price in prices or ()]
    return tuple(sorted(listed, key=lambda entry: -len(entry[0])))


async def ground(connection: asyncpg.Connection, caps: Caps) -> Ground:
    """`caps`: those that hold for all flows."""
    found = await offers(connection)
    stored: dict[tuple[str, str], set[str]] = {}
    for name, channel, locale in await connection.fetch(_TEXTS):
        stored.setdefault((name, channel), set()).add(locale.replace("_", "-"))
    built_in, languages = frozenset(builtin_messages()), frozenset(LANGUAGES)

    def texts(message: str, channel: str) -> frozenset[str]:
        own: set[str] = stored.get((message, channel), set())
        return languages.union(own) if message in built_in else frozenset(own)

    locales = [row["locale"] for row in await connection.fetch(_LOCALES, MOST_LOCALES)]
    return Ground(prices=_prices(found), texts=texts, locales=tuple(locales) or ("en",), caps=caps)


def _prices(found: Mapping[str, Offer] | None) -> dict[str, Decimal] | None:
    return None if found is None else {channel: offer.cost for channel, offer in found.items()}
