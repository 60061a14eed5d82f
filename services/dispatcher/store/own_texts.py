"""The catalog of this process, with operators' texts in it as they are now.

True here: what was saved or withdrawn anywhere is so here `FRESH_SECONDS` later; a text that this version cannot read any more
leaves the one before it in force, and an alarm.
"""

from time import monotonic

import asyncpg
import structlog

from services.dispatcher.store.templates import newest
from shared.content import Catalog, TemplateRefused

FRESH_SECONDS = 1.0

log = structlog.get_logger("dispatcher.texts")


class OwnTexts:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._until = 0.0
        self._last = 0

    async def refresh(self, connection: asyncpg.Connection, *, at_once: bool = False) -> None:
        if not at_once and monotonic() < self._until:
            return
        for version in await newest(connection, self._last):
            key = version.key
            try:
                if version.withdrawn:
                    self.catalog.withdraw(key.name, key.channel, key.locale)
                else:
                    self.catalog.replace(key.name, key.channel, key.locale, version.text, version.version)
            except TemplateRefused as error:
                log.error(
                    "text_not_in_force", message=key.name, channel=key.channel, locale=key.locale, error=str(error)
                )
            self._last = max(self._last, version.id)
        self._until = monotonic() + FRESH_SECONDS
