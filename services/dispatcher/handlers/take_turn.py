"""A call goes on: what it tells about its attempt, and what a pressed key asks for.

True here: what a key asks for is done, and committed, before the customer is told so. A key pressed twice, or a turn
asked for twice, does nothing more.
"""

from services.dispatcher.domain.ports import Key, Turn
from services.dispatcher.handlers.opt_out import OptOut
from services.dispatcher.handlers.take_receipt import TakeReceipt
from shared.db.engine import Database
from shared.ledger.send import hasten, riders

PRESSED = """
INSERT INTO event (at, invoice_id, reminder_id, kind, data)
SELECT business_now(), a.invoice_id, a.reminder_id, 'call.key', jsonb_build_object('channel', a.channel, 'key', $3::text)
  FROM attempt a WHERE a.reminder_id = $1 AND a.fence = $2
"""
CALLED = """
SELECT p.id, p.customer_id, a.channel FROM attempt a JOIN contact_point p ON p.id = a.contact_point_id
 WHERE a.reminder_id = $1 AND a.fence = $2
"""


class TakeTurn:
    def __init__(self, db: Database, take_receipt: TakeReceipt, opt_out: OptOut) -> None:
        self._db = db
        self._take_receipt = take_receipt
        self._opt_out = opt_out

    async def __call__(self, reminder_id: int, fence: int, turn: Turn) -> None:
        if turn.word is not None:
            await self._take_receipt(reminder_id, fence, turn.word)
        match turn.key:
            case Key.PAY_LINK:
                await self._hasten(reminder_id, fence)
            case Key.OPT_OUT:
                await self._stop(reminder_id, fence)
            case Key.PERSON:
                await self._note(reminder_id, fence, Key.PERSON)
            case Key.REPEAT | None:
                pass

    async def _hasten(self, reminder_id: int, fence: int) -> None:
        async with self._db.transaction() as tx:
            calls = dict([(reminder_id, fence), *await riders(tx, reminder_id, fence)])
            hastened = await hasten(tx, list(calls.items()))
            await tx.executemany(PRESSED, [(key, calls[key], Key.PAY_LINK) for key in hastened])

    async def _stop(self, reminder_id: int, fence: int) -> None:
        async with self._db.connection() as connection:
            called = await connection.fetchrow(CALLED, reminder_id, fence)
        if called is not None:
            await self._opt_out.stop(called["id"], called["customer_id"], [called["channel"]])

    async def _note(self, reminder_id: int, fence: int, key: Key) -> None:
        async with self._db.connection() as connection:
            await connection.execute(PRESSED, reminder_id, fence, key)
