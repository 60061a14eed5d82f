"""An operator's own texts, put into a catalog as a message would find them, with the pictures that they show."""

from collections.abc import Iterable, Sequence

import asyncpg

from shared.content import Catalog, TemplateSource
from shared.content.pictures import named_in
from shared.pictures import newest

_NEWEST = """
SELECT name, channel, locale, subject, body, html, version FROM (
       SELECT DISTINCT ON (name, channel, locale) * FROM template_version WHERE name = ANY($1::text[])
        ORDER BY name, channel, locale, version DESC) newest
 WHERE NOT withdrawn
"""


async def catalog_with(connection: asyncpg.Connection, messages: Sequence[str], logos: Iterable[str]) -> Catalog:
    catalog, shown = Catalog(), set(logos)
    for name, channel, locale, subject, body, html, version in await connection.fetch(_NEWEST, messages):
        catalog.replace(name, channel, locale, TemplateSource(subject, body, html), version)
        shown.update(named_in(html or ""))
    if shown:
        catalog.pictures |= {one.name: one.picture for one in await newest(connection, names=sorted(shown))}
    return catalog
