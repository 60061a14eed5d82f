"""Dispatchers for the ledger's tests, one step at a time, and the truth about every hand-off.

`Held` is what a worker holds between claim and record. Its gate is open until the hand-off window has passed; real time
does not decide that, the test does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg

from shared.kernel.caps import Caps
from shared.ledger.send import Claim, Recorded, Wanted, claim

WAYS = ("email", "sms")
LEASE = timedelta(hours=1)
# what is true of a hand-off -> what its worker learns
LEARNS = {
    "delivered": "accepted",
    "bounces": "accepted",
    "misses": "accepted",
    "silent_but_taken": "unknown",
    "silent_and_lost": "unknown",
    "refused": "rejected",
    "not_sent": "notsent",
    "deferred": "deferred",
}
TAKEN = frozenset({"delivered", "bounces", "misses", "silent_but_taken"})


@dataclass(slots=True)
class Held:
    claim: Claim
    number: int
    gate_open: bool = True
    result: str | None = None

    @property
    def key(self) -> tuple[int, int]:
        return self.claim.reminder_id, self.claim.fence


@dataclass(slots=True)
class Worker:
    name: str
    looked: list[Wanted] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)

    def crash(self) -> None:
        self.looked, self.held = [], []


LOOK = """
SELECT r.id, p.id AS contact, w.channel,
       EXISTS (SELECT FROM suppression s WHERE s.contact_point_id = p.id AND s.channel = w.channel) AS barred,
       EXISTS (SELECT FROM attempt a WHERE a.reminder_id = r.id AND a.channel = w.channel AND a.contact_point_id = p.id
                  AND a.state NOT IN ('notsent', 'missed')) AS tried,
       EXISTS (SELECT FROM attempt a WHERE a.reminder_id = r.id AND a.fence = r.fence AND a.channel = w.channel
                  AND a.contact_point_id = p.id AND a.state = 'resent') AS again
  FROM reminder r JOIN invoice i ON i.id = r.invoice_id JOIN contact_point p ON p.customer_id = i.customer_id
  JOIN (VALUES ('email', 'email', 1), ('sms', 'phone', 2)) AS w (channel, kind, place) ON w.kind = p.kind
 WHERE r.id = ANY($1::bigint[]) AND r.state = 'queued' ORDER BY r.id, w.place, p.id
"""


async def look(db: asyncpg.Connection, reminders: Sequence[int]) -> list[Wanted]:
    """The next (channel, contact point) of each queued reminder, as the protocol orders them."""
    ways: dict[int, list[asyncpg.Record]] = {}
    for row in await db.fetch(LOOK, reminders):
        ways.setdefault(row["id"], []).append(row)
    return [_wanted(reminder, rows) for reminder, rows in ways.items()]


def _wanted(reminder: int, rows: list[asyncpg.Record]) -> Wanted:
    fresh = [row for row in rows if not row["barred"] and not row["tried"]]
    again = [row for row in rows if not row["barred"] and row["again"]]
    ordered = again + fresh
    if not ordered:
        return Wanted(reminder, None, None, None, None, 0)
    return Wanted(reminder, ordered[0]["channel"], ordered[0]["contact"], "double", None, len(ordered) - 1)


async def take(
    db: asyncpg.Connection, worker: Worker, now: datetime, number: int = 0, caps: Caps | None = None
) -> list[Claim]:
    """CLAIM of what the worker looked at; it holds what is claimed."""
    wanted, worker.looked = worker.looked, []
    claims = await claim(db, wanted, worker=worker.name, lease=LEASE, caps=caps or Caps(), now=now)
    ours = sorted((each for each in claims if each.verdict == "claimed"), key=lambda each: each.reminder_id)
    worker.held += [Held(each, number) for each in ours]
    return claims


def outcome(held: Held) -> Recorded:
    """What the worker writes of a hand-off."""
    assert held.result is not None
    learnt = LEARNS[held.result]
    return Recorded(
        held.claim.reminder_id,
        held.claim.fence,
        learnt,
        provider_ref=f"ref-{held.claim.reminder_id}-{held.claim.fence}" if learnt == "accepted" else None,
        retry_in=timedelta(minutes=1),
        receipt_within=timedelta(hours=6) if learnt == "accepted" and held.claim.channel == "email" else None,
    )
