"""Many invoices, committed by the thousand while they still come in.

What must stay true: there is one answer for each line, in their order, and what it says is so: `created` and
`unchanged` are committed. A line that cannot be stored stops no other; sending the same lines again changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import structlog

from services.scheduler.domain.new_invoice import NewInvoice
from services.scheduler.handlers.accept_invoices import accept_batch
from services.scheduler.handlers.intake import Accepted, Outcome
from services.scheduler.store.flows import FlowVersions
from shared.db.engine import Database
from shared.kernel.errors import Problem, Unavailable
from shared.web.outages import unavailable

LINES_A_BATCH = 1000
log = structlog.get_logger("scheduler.import")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the import: what it says, or why it cannot be read. `ref`: its invoice's id, where that could be
    read."""

    number: int
    ref: str | None
    content: NewInvoice | Problem


@dataclass(frozen=True, slots=True)
class LineResult:
    line: Line
    outcome: Outcome


async def import_invoices(
    db: Database, flows: FlowVersions, source: AsyncIterator[Sequence[Line]], committed: Callable[[], None]
) -> AsyncIterator[list[LineResult]]:
    """While one batch is being stored the next one is read. `committed` is called after each commit."""
    storing: asyncio.Task[list[LineResult]] | None = None
    try:
        async for batch in _batches(source):
            if storing is not None:
                yield await storing
            storing = asyncio.create_task(_store(db, flows, batch, committed))
        if storing is not None:
            yield await storing
    finally:
        if storing is not None and not storing.done():  # the client went away: what is on its way is not cut in two
            await asyncio.gather(storing, return_exceptions=True)


async def _batches(source: AsyncIterator[Sequence[Line]]) -> AsyncIterator[list[Line]]:
    batch: list[Line] = []
    async for some in source:
        batch.extend(some)
        while len(batch) >= LINES_A_BATCH:
            yield batch[:LINES_A_BATCH]
            batch = batch[LINES_A_BATCH:]
    if batch:
        yield batch


async def _store(
    db: Database, flows: FlowVersions, batch: Sequence[Line], committed: Callable[[], None]
) -> list[LineResult]:
    readable = [line.content for line in batch if isinstance(line.content, NewInvoice)]
    outcomes = iter(await _accept(db, flows, readable) if readable else ())
    committed()
    return [LineResult(line, line.content if isinstance(line.content, Problem) else next(outcomes)) for line in batch]


async def _accept(db: Database, flows: FlowVersions, batch: Sequence[NewInvoice]) -> list[Outcome]:
    """A line that breaks its batch for an unforeseen reason is found by halving, so that it is the only one to fail."""
    try:
        return await accept_batch(db, batch, flows)
    except Exception as error:
        if unavailable(error):
            log.warning("import_unavailable", lines=len(batch), error=type(error).__name__)
            return [Unavailable("the database did not answer; send this line again") for _ in batch]
        if len(batch) == 1:
            log.exception("import_line_failed")
            return [Problem("this line could not be stored; nothing of it was kept")]
    middle = len(batch) // 2
    return [*await _accept(db, flows, batch[:middle]), *await _accept(db, flows, batch[middle:])]


def status_of(outcome: Outcome) -> str:
    if isinstance(outcome, Accepted):
        return "created" if outcome.created else "unchanged"
    return "error"
