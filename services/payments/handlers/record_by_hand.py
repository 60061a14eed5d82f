"""A payment that a person or the ERP records: as a webhook's, with an Idempotency-Key.

True here: the key, its answer and the payment are one transaction; whoever repeats the call waits at the barrier like
the first one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import asyncpg

from services.payments.domain.outcome import Kind, kept_for_later
from services.payments.handlers.record_payment import DEADLINE, PaymentRecorder
from services.payments.store.payments import PaymentRow, barrier_of_payment, confirmed_otherwise, find_payment
from shared.crash import crash_point
from shared.kernel.errors import Conflict
from shared.ledger.money import PaymentSaid
from shared.web.idempotency import Once, Stored, claim, store

Present = Callable[[PaymentRow], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Done:
    answer: Stored
    wait: float
    look_again: bool = False


async def record_by_hand(recorder: PaymentRecorder, said: PaymentSaid, once: Once | None, present: Present) -> Stored:
    """The answer: 201 recorded, 202 kept for later, 200 known already. `Conflict` if it is known with other content."""

    async def work(connection: asyncpg.Connection) -> _Done:
        async with connection.transaction():
            return await _once(connection, recorder, said, once, present)

    async with asyncio.timeout(DEADLINE):
        crash_point("before_payment_commit")
        done = await recorder.db.retrying(work)
        crash_point("after_payment_commit")
        if done.look_again and await recorder.look_again(said):
            done = await _answer_anew(recorder, done.answer.response["id"], once, present)
    await asyncio.sleep(done.wait)
    return done.answer


async def _once(
    tx: asyncpg.Connection, recorder: PaymentRecorder, said: PaymentSaid, once: Once | None, present: Present
) -> _Done:
    if stored := await claim(tx, once):
        return _Done(stored, await barrier_of_payment(tx, stored.response["id"], recorder.window))
    if said.kind == Kind.CONFIRMED and await confirmed_otherwise(tx, said.source_id, said.payment_ref, said.event_ref):
        raise Conflict(
            f"payment {said.payment_ref!r} was recorded with other content; reverse that one, or use another payment_id"
        )
    recorded = await recorder.store(tx, said)
    row = await find_payment(tx, recorded.payment_id)
    assert row is not None
    kept = kept_for_later(recorded.invoice_id is not None, recorded.unmatched_reason)
    answer = Stored(200 if not recorded.fresh else 202 if kept else 201, present(row))
    await store(tx, once, answer.status, answer.response)
    return _Done(answer, recorded.wait, recorded.invoice_id is None)


async def _answer_anew(recorder: PaymentRecorder, payment_id: int, once: Once | None, present: Present) -> _Done:
    async with recorder.db.transaction() as tx:
        row = await find_payment(tx, payment_id)
        assert row is not None
        answer = Stored(201, present(row))
        await store(tx, once, answer.status, answer.response)
        return _Done(answer, await barrier_of_payment(tx, payment_id, recorder.window))
