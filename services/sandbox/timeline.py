"""The ledger as the sandbox's clock sees it, through a role that may move the clock and nothing else."""

from collections.abc import Collection
from datetime import datetime

from shared.db.engine import Database

REMINDERS = """
SELECT r.id, i.ref, r.step || CASE r.leg WHEN '' THEN '' ELSE '.' || r.leg END
  FROM reminder r JOIN invoice i ON i.id = r.invoice_id WHERE r.id = ANY ($1::bigint[])
"""
MOVE = "UPDATE business_clock SET ahead = greatest(ahead, $1::timestamptz - clock_timestamp())"


class LedgerTimeline:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def now(self) -> datetime:
        async with self._db.connection() as connection:
            now: datetime = await connection.fetchval("SELECT business_now()")
        return now

    async def next_instant(self, before: datetime) -> datetime | None:
        async with self._db.connection() as connection:
            instant: datetime | None = await connection.fetchval("SELECT next_instant(business_now())")
        return instant if instant is not None and instant <= before else None

    async def move_to(self, instant: datetime) -> None:
        async with self._db.connection() as connection:
            await connection.execute(MOVE, instant)

    async def quiet(self) -> bool:
        async with self._db.connection() as connection:
            left: int = await connection.fetchval("SELECT unrest(business_now())")
        return left == 0

    async def reminders(self, ids: Collection[int]) -> dict[int, tuple[str, str]]:
        """(invoice's ref, step) of each; the step of a `then` is `<id>.then`."""
        async with self._db.connection() as connection:
            return {row[0]: (row[1], row[2]) for row in await connection.fetch(REMINDERS, list(ids))}
