"""RECORD, many at once: outcomes are written in batches, soon, and until they are written.

True here: an outcome that was learnt is kept until the database has taken it. A worker that dies first leaves attempts
that the sweeper finds by their lease; one that is told to stop writes everything before it stops.
"""

import asyncio
from collections.abc import Callable

import asyncpg
import structlog

from shared.crash import crash_point
from shared.db.engine import Database
from shared.ledger.send import Recorded, record, request_replan

BATCH, LINGER, BACKOFF_MOST = 200, 0.05, 5.0
MISSED_LIMIT, DEFERRED_LIMIT, BROKEN_LIMIT = 3, 6, 3

log = structlog.get_logger("dispatcher")


class Recorder:
    """`put` never waits. `drained` when all of it is in the database."""

    def __init__(self, db: Database, told: Callable[[list[Recorded]], None] = lambda _: None) -> None:
        self._db = db
        self._told = told
        self._waiting: list[Recorded] = []
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def put(self, outcome: Recorded) -> None:
        self._waiting.append(outcome)
        self._empty.clear()
        self._news.set()

    async def run(self) -> None:
        """Until cancelled; cancel it only once `drained` has returned."""
        while True:
            await self._news.wait()
            if len(self._waiting) < BATCH:
                await asyncio.sleep(LINGER)
            self._news.clear()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            await self._write(batch)
            if self._waiting:
                self._news.set()
            else:
                self._empty.set()

    async def drained(self) -> None:
        await self._empty.wait()

    async def _write(self, batch: list[Recorded]) -> None:
        pause = 0.1
        while True:
            try:
                crash_point("before_record")
                await self._try(batch)
                crash_point("after_record")
                break
            except Exception:
                log.exception("record_failed", attempts=len(batch), retry_in=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, BACKOFF_MOST)
        self._told(batch)

    async def _try(self, batch: list[Recorded]) -> None:
        async with self._db.connection() as connection:
            late = await asyncio.shield(self._record(connection, batch))
            if late:
                crash_point("before_replan")
                await request_replan(connection, late)

    async def _record(self, connection: asyncpg.Connection, batch: list[Recorded]) -> list[int]:
        return await record(
            connection,
            batch,
            missed_limit=MISSED_LIMIT,
            deferred_limit=DEFERRED_LIMIT,
            broken_limit=BROKEN_LIMIT,
        )
