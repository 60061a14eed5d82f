"""Intake: invoices come in, one or a thousand, through this one path.

What must stay true:
- an invoice, its installments, its whole plan and its customer are stored in one transaction, or nothing of it is;
- the same invoice again changes nothing but its inline customer; the same id with other content changes nothing at all;
- after the commit, payments that came first are looked for (`find_payments`): of the two sides that write at the same
  time one sees the other.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

import asyncpg

from services.scheduler.domain.new_invoice import NewInvoice
from services.scheduler.handlers.intake import Accepted, Intake, Outcome, Overtaken
from services.scheduler.metrics import ACCEPTED
from services.scheduler.store.flows import FlowVersions
from shared.db.engine import RETRIED, Database
from shared.ledger.money import match_waiting

T = TypeVar("T")


async def in_transaction(db: Database, work: Callable[[asyncpg.Connection], Awaitable[T]], *, times: int = 5) -> T:
    """`work` in a transaction, again when another one got in between."""
    for left in range(times - 1, -1, -1):
        try:
            async with db.transaction() as tx:
                return await work(tx)
        except (Overtaken, *RETRIED):
            if not left:
                raise
    raise AssertionError("unreachable")


async def accept_batch(db: Database, batch: Sequence[NewInvoice], flows: FlowVersions) -> list[Outcome]:
    """A batch of its own: committed, and its payments found, when this returns."""
    outcomes = await in_transaction(db, lambda tx: accept_invoices(tx, batch, flows))
    await find_payments(db, [found.invoice_id for found in outcomes if isinstance(found, Accepted) and found.created])
    return outcomes


async def find_payments(db: Database, created: Sequence[int]) -> list[int]:
    """After the commit. Answers the invoices that got money."""
    if not created:
        return []
    ACCEPTED.inc(len(created))

    async def match(connection: asyncpg.Connection) -> list[int]:
        return await match_waiting(connection, created)

    return await db.retrying(match)


async def accept_invoices(tx: asyncpg.Connection, batch: Sequence[NewInvoice], flows: FlowVersions) -> list[Outcome]:
    """One outcome for each invoice, in their order. Raises `Overtaken`: roll back and call again."""
    intake = Intake(batch)
    await intake.leave_out_known(tx)
    versions = await intake.resolve(tx)
    now: datetime = await tx.fetchval("SELECT business_now()")
    await intake.save_customers(tx, now)
    plans = intake.plan(await flows.load(tx, set(versions.values())), now)
    await intake.insert(tx, plans, now)
    return intake.outcomes()
