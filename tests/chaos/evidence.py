"""What the database says and what the provider saw of a batch, once nothing moves any more."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import asyncpg

from tests.chaos.ledger import Ledger, Line
from tests.chaos.seed import Batch

REMINDERS = """
SELECT r.id, r.invoice_id, r.step, r.state, i.settled_at IS NOT NULL AS paid FROM reminder r JOIN invoice i ON i.id = r.invoice_id
 WHERE r.invoice_id = ANY ($1) ORDER BY r.id
"""
ATTEMPTS = "SELECT reminder_id, fence, state, worker, detail FROM attempt WHERE invoice_id = ANY ($1) ORDER BY 1, 2"
PAID = """
SELECT i.id, i.settled_n, n.allocated, (SELECT count(*) FROM payment y WHERE y.invoice_id = i.id) AS payments
  FROM invoice i JOIN installment n ON n.invoice_id = i.id WHERE i.id = ANY ($1)
"""

NO_ANSWER = "sent_body: TimeoutError"  # as the email channel says it


@dataclass(frozen=True, slots=True)
class Evidence:
    """`begun`, `accepted`: the provider's lines. `lost_workers`: pids of killed dispatchers; None: any may have been cut off
    from the database in the middle of a claim."""

    batch: Batch
    reminders: list[asyncpg.Record]
    attempts: list[asyncpg.Record]
    invoices: list[asyncpg.Record]
    begun: list[Line]
    accepted: list[Line]
    acknowledged: Mapping[int, float]
    lost_workers: set[int] | None

    @property
    def accepts(self) -> Counter[int]:
        """By reminder."""
        return Counter(line.reminder_id for line in self.accepted)

    def uncertain(self, reminder_id: int) -> bool:
        """Its last worker was killed, or cut off, with the attempt in its hands; or the provider was too slow to say."""
        last = self.last_attempt(reminder_id)
        if last is None or last["state"] != "unknown":
            return False
        pid = int(last["worker"].split("-")[-2])
        return self.lost_workers is None or pid in self.lost_workers or last["detail"] == NO_ANSWER

    def last_attempt(self, reminder_id: int) -> asyncpg.Record | None:
        mine = [row for row in self.attempts if row["reminder_id"] == reminder_id]
        return max(mine, key=lambda row: row["fence"], default=None)


async def gather(
    connection: asyncpg.Connection,
    batch: Batch,
    ledger: Ledger,
    acknowledged: Mapping[int, float],
    lost_workers: Iterable[int] | None,
) -> Evidence:
    ids = list(batch.invoices)
    reminders = await connection.fetch(REMINDERS, ids)
    mine = {row["id"] for row in reminders}
    return Evidence(
        batch,
        reminders,
        await connection.fetch(ATTEMPTS, ids),
        await connection.fetch(PAID, ids),
        [line for line in ledger.begun() if line.reminder_id in mine],
        [line for line in ledger.accepted() if line.reminder_id in mine],
        {one: at for one, at in acknowledged.items() if one in batch.invoices},
        None if lost_workers is None else set(lost_workers),
    )
