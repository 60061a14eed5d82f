"""The catalog of this process, with operators' texts and pictures in it as they are now.

True here: what was saved or withdrawn anywhere is so here `FRESH_SECONDS` later; a text that this version cannot read any more
leaves the one before it in force, and an alarm.
"""

from collections.abc import Sequence
from time import monotonic
from typing import TypeVar

import asyncpg
import structlog

from services.dispatcher.store.templates import TextVersion, newest
from shared.content import Catalog, TemplateRefused
from shared.pictures import PictureVersion
from shared.pictures import newest as newest_pictures

FRESH_SECONDS = 1.0
Version = TypeVar("Version", TextVersion, PictureVersion)

log = structlog.get_logger("dispatcher.texts")


class OwnTexts:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._until = 0.0
        self._last = 0
        self._last_picture = 0

    async def refresh(self, connection: asyncpg.Connection, *, at_once: bool = False) -> None:
        if not at_once and monotonic() < self._until:
            return
        found = await newest(connection, self._last)
        for version in _unseen(found, self._last):
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
        await self._see_pictures(connection)  # after the texts: what these show was stored before them
        self._until = monotonic() + FRESH_SECONDS

    async def _see_pictures(self, connection: asyncpg.Connection) -> None:
        """All in force are in memory, so that no hand-off waits for one."""
        found = await newest_pictures(connection, self._last_picture)
        for version in _unseen(found, self._last_picture):
            if version.withdrawn:
                self.catalog.pictures.pop(version.name, None)
            else:
                self.catalog.pictures[version.name] = version.picture
            self._last_picture = max(self._last_picture, version.id)


def _unseen(found: Sequence[Version], last: int) -> list[Version]:
    """Without what another look has seen while this one waited: it may have seen something newer."""
    return [version for version in found if version.id > last]
