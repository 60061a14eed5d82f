"""An operator's own texts, put into a catalog as a message would find them."""

from collections.abc import Sequence

import asyncpg

from shared.content import Catalog, TemplateSource

_NEWEST = """
SELECT name, channel, locale, subject, body, html, version FROM (
       SELECT DISTINCT ON (name, channel, locale) * FROM template_version WHERE name = ANY($1::text[])
        ORDER BY name, channel, locale, version DESC) newest
 WHERE NOT withdrawn
"""


async def catalog_with(connection: asyncpg.Connection, messages: Sequence[str]) -> Catalog:
    catalog = Catalog()
    for name, channel, locale, subject, body, html, version in await connection.fetch(_NEWEST, messages):
        catalog.replace(name, channel, locale, TemplateSource(subject, body, html), version)
    return catalog
