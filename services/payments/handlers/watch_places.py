"""Looks into every place where statement files are put: the operator's folder, and the buckets of sources.

True here: a place that does not answer is told, is asked again after ever longer pauses, and holds up no other one.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import Counter

from services.payments.domain.matching import Rules
from services.payments.domain.pick_up import FilePlace, NotNow, Place, pause
from services.payments.handlers.pick_up import PickUp
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.handlers.take_statement import ReaderOf
from services.payments.store.sources import FILES, FILES_KIND, bucket_sources, built_in_source

AT_ONCE = 8
PLACES_FAILED = Counter("dunnock_statement_places_failed", "Times that a folder or bucket of statements did not answer")
Key = tuple[int, Place, datetime | None]
"""A source whose settings change is another one."""

log = structlog.get_logger("payments")


@dataclass(slots=True)
class _Watched:
    source: str
    pick_up: PickUp
    every: float = 0.0  # seconds between two looks; at least a turn
    failures: int = 0
    not_before: float = 0.0  # monotonic
    looking: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Watch:
    """`bucket_of`: by the settings of a source's bucket."""

    recorder: PaymentRecorder
    rules: Rules
    reader_of: ReaderOf
    folder: FilePlace | None
    bucket_of: Callable[[dict[str, Any]], FilePlace]
    _watched: dict[Key, _Watched] = field(default_factory=dict)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def turn(self) -> None:
        """Starts to look wherever nobody looks and no pause is on."""
        await self._learn()
        for each in self._watched.values():
            if (each.looking is None or each.looking.done()) and time.monotonic() >= each.not_before:
                each.looking = asyncio.create_task(self._look(each))

    async def looked(self) -> None:
        """Until all of them have ended."""
        if looking := self._tasks():
            await asyncio.wait(looking)

    async def stop(self) -> None:
        """What is read now is read again, and books nothing twice."""
        for task in self._tasks():
            task.cancel()
        await self.looked()

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [each.looking for each in self._watched.values() if each.looking]

    async def _learn(self) -> None:
        """Which places there are now."""
        async with self.recorder.db.connection() as connection:
            found: dict[Key, tuple[str, dict[str, Any]]] = {
                (row.id, Place.BUCKET, row.updated_at): (row.ref, row.config)
                for row in await bucket_sources(connection)
            }
            if self.folder:
                found[await built_in_source(connection, FILES, FILES_KIND), Place.FOLDER, None] = (FILES, {})
        for key in self._watched.keys() - found.keys():
            if task := self._watched.pop(key).looking:
                task.cancel()
        for key in found.keys() - self._watched.keys():
            self._watched[key] = self._made(key, *found[key])

    def _made(self, key: Key, source: str, config: dict[str, Any]) -> _Watched:
        place = self.folder if key[1] == Place.FOLDER and self.folder else self.bucket_of(config["bucket"])
        pick_up = PickUp(place, key[1], key[0], self.recorder, self.rules, self.reader_of)
        return _Watched(source, pick_up, config.get("bucket", {}).get("every_seconds", 0.0))

    async def _look(self, watched: _Watched) -> None:
        try:
            async with self._slots:
                await watched.pick_up.look()
            watched.failures = 0
            watched.not_before = time.monotonic() + watched.every
        except NotNow as error:
            PLACES_FAILED.inc()
            self._pause(watched)
            log.error("statement_place_failed", source=watched.source, place=watched.pick_up.kind, hint=str(error))
        except Exception as error:  # noqa: BLE001  # the database may be away: a later turn will see
            self._pause(watched)
            log.warning("turn_failed", work="look_for_statements", error=type(error).__name__)

    def _pause(self, watched: _Watched) -> None:
        watched.failures += 1
        watched.not_before = time.monotonic() + pause(watched.failures)
