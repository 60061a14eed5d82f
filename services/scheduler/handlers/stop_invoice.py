"""What people say stops reminders: holds, promises, disputes, void.

What must stay true: whoever gets an answer from here may rely on it. It is given after the commit, and after every
hand-off that had already begun is over (the barrier). A stop of everything does not wait for slow ones: its answer says
how many there are, and for how long.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import Any

import asyncpg

from services.scheduler.store import views
from services.scheduler.store.views import InvoiceRow
from shared.db.engine import Database
from shared.kernel.errors import Conflict, NotFound
from shared.ledger.money import (
    InFlight,
    Stop,
    barrier,
    close_invoice,
    in_flight,
    place_hold,
    place_promise,
    release_holds,
)
from shared.ledger.plan import lock_invoices
from shared.ledger.promise import Promised
from shared.states import ClosedAs
from shared.web import idempotency
from shared.web.idempotency import Once, Stored

Answering = Callable[[asyncpg.Connection, int], Awaitable[dict[str, Any]]]
PATIENCE, LOOK_AGAIN = 0.5, 0.05  # seconds


async def place(
    db: Database,
    stop: Stop | Promised,
    window: timedelta,
    answering: Answering,
    once: Once | None,
) -> Stored:
    """The hold's answer. Again with the same kind and scope moves it."""
    answer, wait = await _committed(db, stop, window, answering, once)
    await asyncio.sleep(wait)
    return answer


async def stop_everything(
    db: Database, stop: Stop, window: timedelta, answering: Answering, once: Once | None
) -> tuple[Stored, InFlight]:
    """As `place`, within a second; and what was claimed before, unless it has all gone by then."""
    answer, _ = await _committed(db, stop, window, answering, once)
    until = monotonic() + PATIENCE
    while True:
        async with db.connection() as connection:
            left = await in_flight(connection, window)
        if not left.attempts or monotonic() > until:
            return answer, left
        await asyncio.sleep(LOOK_AGAIN)


async def _committed(
    db: Database, stop: Stop | Promised, window: timedelta, answering: Answering, once: Once | None
) -> tuple[Stored, float]:
    async with db.transaction() as tx:
        if (stored := await idempotency.claim(tx, once)) is not None:
            return stored, window.total_seconds()  # its first asker may still be waiting
        hold_id, wait = await _placed(tx, stop, window)
        answer = Stored(200, await answering(tx, hold_id))
        await idempotency.store(tx, once, answer.status, answer.response)
    return answer, wait


async def _placed(tx: asyncpg.Connection, stop: Stop | Promised, window: timedelta) -> tuple[int, float]:
    match stop:
        case Stop():
            return await place_hold(tx, stop, window=window)
        case Promised():
            return await place_promise(tx, stop, window=window)


async def close(db: Database, ref: str, closed_as: ClosedAs, window: timedelta) -> None:
    """Again is a no-op with the same barrier. A paid invoice is not closed: its payment would hang in the air."""
    async with db.transaction() as tx:
        invoice = await locked(tx, ref)
        if invoice.closed_as not in (None, closed_as) or (invoice.settled_at and not invoice.closed_as):
            raise Conflict(f"invoice {ref!r} is {invoice.status}, so it cannot become {closed_as}")
        await close_invoice(tx, invoice.id, closed_as, window=window)
        wait = await barrier(tx, [invoice.id], window)
    await asyncio.sleep(wait)


async def locked(tx: asyncpg.Connection, ref: str) -> InvoiceRow:
    """The invoice as it is under its lock."""
    found = await views.invoice_by_ref(tx, ref)
    if found is not None:
        await lock_invoices(tx, [found.id])
        found = await views.invoice_by_ref(tx, ref)
    if found is None:
        raise NotFound(f"there is no invoice {ref[:128]!r}")
    return found


async def release(db: Database, holds: list[int]) -> int:
    """How many ended. Nothing has to be waited for: what comes free is judged by its claim."""
    async with db.connection() as connection:
        return await release_holds(connection, holds) if holds else 0
