"""Finds the source of a webhook, nearly always without asking the database.

True here: a source that was changed elsewhere is seen within TTL; one that is changed in this process at once; one that
does not exist is never remembered, so a new one works at once and strangers fill no memory.
"""

import time
from dataclasses import dataclass

from services.payments.domain.signature import parse_secret
from services.payments.store.sources import WEBHOOK_KIND, built_in_source, find_source
from shared.db.engine import Database

TTL = 0.8  # seconds


@dataclass(frozen=True, slots=True)
class KnownSource:
    id: int
    keys: tuple[bytes, ...]


class KnownSources:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[str, tuple[float, KnownSource]] = {}
        self._built_in: int | None = None

    async def webhook(self, ref: str) -> KnownSource | None:
        """A source that sends webhooks."""
        until, known = self._known.get(ref, (0.0, None))
        if known is not None and time.monotonic() < until:
            return known
        asked = time.monotonic()
        async with self._db.connection() as connection:
            row = await find_source(connection, ref)
        if row is None or row.kind != WEBHOOK_KIND:
            self._known.pop(ref, None)
            return None
        known = KnownSource(row.id, tuple(parse_secret(secret) for secret in row.secrets))
        self._known[ref] = (asked + TTL, known)
        return known

    async def built_in(self) -> int:
        """The id of the source of payments that people and the ERP record."""
        if self._built_in is None:
            async with self._db.connection() as connection:
                self._built_in = await built_in_source(connection)
        return self._built_in

    def forget(self, ref: str) -> None:
        self._known.pop(ref, None)
