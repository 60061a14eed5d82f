"""RECEIPT: a provider's later word about an attempt, and what it means for the address.

True here: what is heard of a message is heard of every reminder that it carried; a receipt is acknowledged only after
it is in the database; said twice, or late, or out of order, it changes nothing more. What a person did with a message is
noted beside it and moves nothing.
"""

from datetime import timedelta

from services.dispatcher.domain.bounces import BounceKind, sent_on
from services.dispatcher.domain.outcomes import Accepted, Delivered, Engaged, Missed, Rejected, SuppressReason, Unwanted
from services.dispatcher.domain.outcomes import Receipt as ProviderWord
from services.dispatcher.store import bounce_mails
from shared.crash import crash_point
from shared.db.engine import Database
from shared.ledger.send import Receipt, receive, request_replan, riders

RETRY_MISSED = timedelta(minutes=30)
MISSED_LIMIT = 3
MOST_NOTES = 20  # of one kind about one reminder: somebody's automatic answers may come without end
NOTE = """
INSERT INTO event (at, invoice_id, reminder_id, kind, data)
SELECT business_now(), r.invoice_id, r.id, $2, $3 FROM reminder r
 WHERE r.id = $1 AND (SELECT count(*) FROM event e
                       WHERE e.invoice_id = r.invoice_id AND e.reminder_id = r.id AND e.kind = $2) < $4
"""
ENGAGED = """
WITH fresh AS (
  INSERT INTO receipt (reminder_id, fence, kind, detail)
  SELECT a.reminder_id, a.fence, $3::text, $4 FROM attempt a WHERE a.reminder_id = $1 AND a.fence = $2
  ON CONFLICT DO NOTHING RETURNING kind
)
INSERT INTO event (at, invoice_id, reminder_id, kind, data)
SELECT business_now(), a.invoice_id, a.reminder_id, 'attempt.' || f.kind,
       jsonb_build_object('channel', a.channel, 'fence', a.fence)
  FROM fresh f JOIN attempt a ON a.reminder_id = $1 AND a.fence = $2
"""
HEARD = "SELECT EXISTS (SELECT FROM receipt WHERE reminder_id = $1 AND fence = $2 AND kind = 'answered')"


class TakeReceipt:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def __call__(self, reminder_id: int, fence: int, word: ProviderWord) -> None:
        async with self._db.connection() as connection:
            carried = [(reminder_id, fence), *await riders(connection, reminder_id, fence)]
            if isinstance(word, Engaged):
                await connection.executemany(ENGAGED, [(*key, word.kind, word.detail) for key in carried])
                return
            if (
                isinstance(word, Delivered)
                and word.unheard
                and not await connection.fetchval(HEARD, reminder_id, fence)
            ):
                word = word.unheard
            receipts = [receipt for key in carried if (receipt := as_receipt(*key, word)) is not None]
            if not receipts:
                return
            late = await receive(connection, receipts, retry_missed=RETRY_MISSED, missed_limit=MISSED_LIMIT)
            if late:
                crash_point("before_replan")
                await request_replan(connection, late)

    async def knows(self, reminder_id: int, fence: int) -> bool:
        async with self._db.connection() as connection:
            found: bool = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM attempt WHERE reminder_id = $1 AND fence = $2)", reminder_id, fence
            )
        return found


def as_receipt(
    reminder_id: int, fence: int, word: Accepted | Delivered | Missed | Rejected | Unwanted
) -> Receipt | None:
    """None: the provider says only that it still has the message."""
    match word:
        case Accepted():
            return None
        case Delivered(detail=detail, units=units):
            return Receipt(reminder_id, fence, "delivered", detail or None, units=units)
        case Missed(detail=detail, retry_in=retry_in, limit=limit, per_day=per_day, units=units):
            return Receipt(reminder_id, fence, "missed", detail, None, retry_in, limit, per_day, units)
        case Rejected(detail=detail, suppress=suppress):
            return Receipt(reminder_id, fence, "undelivered", detail, suppress)
        case Unwanted(detail=detail, suppress=suppress):
            return Receipt(reminder_id, fence, "delivered", detail, suppress)


class TakeBounce:
    """What the bounce receiver hears. A hard bounce bars the address, unless it is about another one that the mailbox sends
    its mails on to; an automatic reply or a delay changes nothing. False: too many such mails came today, nothing was
    stored."""

    def __init__(self, take: TakeReceipt, db: Database, unsigned_per_day: int) -> None:
        self._take = take
        self._db = db
        self._unsigned_per_day = unsigned_per_day

    async def __call__(
        self, reminder_id: int, fence: int, kind: BounceKind, detail: str, mail: bytes, failed: str
    ) -> bool:
        match kind:
            case BounceKind.HARD:
                await self._take(reminder_id, fence, await self._gone(reminder_id, fence, detail, failed))
            case BounceKind.SOFT:
                await self._take(reminder_id, fence, Missed(detail))
            case BounceKind.COMPLAINT:
                await self._take(reminder_id, fence, Unwanted(detail, SuppressReason.COMPLAINED))
            case BounceKind.DELAYED | BounceKind.OUT_OF_OFFICE:
                await self._note(reminder_id, fence, kind, detail)
            case BounceKind.CHALLENGE | BounceKind.UNKNOWN:
                if not await self._keep(f"{reminder_id}.{fence}", detail, mail):
                    return False
                await self._note(reminder_id, fence, kind, detail)
        return True

    async def unsigned(
        self, recipient: str, kind: BounceKind, detail: str, mail: bytes, failed: str, about: tuple[int, int] | None
    ) -> bool:
        """To an address that names no attempt. `about`: reminder and contact point of our own mail that it returns."""
        async with self._db.connection() as connection:
            fence = await bounce_mails.newest_fence(connection, *about) if about else None
            if not about or fence is None:
                said = f"{kind} {detail}".strip()
                return await bounce_mails.keep_unsigned(connection, recipient, said, mail, self._unsigned_per_day)
        return await self(about[0], fence, kind, detail, mail, failed)

    async def _gone(self, reminder_id: int, fence: int, detail: str, failed: str) -> Rejected:
        async with self._db.connection() as connection:
            mailed = await bounce_mails.mailed_address(connection, reminder_id, fence)
        if mailed is not None and sent_on(mailed, failed):
            return Rejected(f"sent on by the mailbox to another address: {detail}")
        return Rejected(detail, suppress=SuppressReason.BOUNCED)

    async def _keep(self, attempt_id: str, detail: str, mail: bytes) -> bool:
        """For a person to look at; nobody is answered."""
        async with self._db.connection() as connection:
            return await bounce_mails.keep(connection, attempt_id, detail, mail)

    async def _note(self, reminder_id: int, fence: int, kind: BounceKind, detail: str) -> None:
        async with self._db.connection() as connection:
            carried = [reminder_id, *(rider for rider, _ in await riders(connection, reminder_id, fence))]
            await connection.executemany(
                NOTE, [(each, f"mail.{kind}", {"detail": detail}, MOST_NOTES) for each in carried]
            )
