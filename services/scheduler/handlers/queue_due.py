"""DUE: what is due becomes queued, in one transaction with the next occurrences of what repeats; then its ids are
published.

What must stay true:
- nothing is published before its commit, and a failed publish changes nothing: the sweeper publishes again;
- a step's condition is judged here, on what is stored when the reminder becomes due, and its verdict is on the
  timeline;
- reminders that ride on one message are queued in one transaction, however far apart they stand in the queue;
- a step that escalates or stops does so here, in the transaction that took it out of pending, and is never published.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from services.scheduler.domain.planned import THEN_LEG
from services.scheduler.handlers.next_occurrences import insert_next
from services.scheduler.store.flows import FlowVersions
from services.scheduler.store.ledger_rows import Alike, DueRow, alike, due_rows, no_longer_queued
from shared.bus.port import Bus, PublishFailed
from shared.crash import crash_point
from shared.db.engine import Database
from shared.flow import ConditionInputs, Flow, Step, judge
from shared.ledger.due import Queued, act, queue_due, queue_together, skip_queued
from shared.messages import BULK, URGENT, RemindersDue

IDS_A_MESSAGE = 100  # of 50 each mail costs a tenth more CPU; of 200 a relay of 400 mails a second has too many at once
MOST_TOGETHER = 5000  # rows that join a batch because they ride on its messages
log = structlog.get_logger("scheduler.due")


@dataclass(frozen=True, slots=True)
class Taken:
    """`moved`: rows that left pending or were moved; `to_publish`: (id, urgent) of those that are queued now."""

    moved: int
    to_publish: list[tuple[int, bool]]


async def take_due(db: Database, flows: FlowVersions, *, limit: int, max_queued: int) -> Taken:
    """One batch, committed. Publish `to_publish` next."""
    async with db.transaction() as tx:
        moved = await queue_due(tx, limit=limit, max_queued=max_queued)
        if not moved:
            return Taken(0, [])
        groups = await alike(tx, [row.id for row in moved])
        loaded = await flows.load(tx, {group.flow_version_id for group in groups})
        if together := [
            key for group in groups if group.step in loaded[group.flow_version_id].grouped for key in group.ids
        ]:
            more = await queue_together(tx, together, limit=MOST_TOGETHER)
            moved, groups = moved + more, groups + await alike(tx, [row.id for row in more])
            loaded = await flows.load(tx, {group.flow_version_id for group in groups})
        skipped = await _decide(tx, moved, groups, loaded)
        crash_point("before_queue_commit")
    crash_point("after_queue_commit")
    return Taken(len(moved), [(row.id, row.urgent) for row in moved if row.state == "queued" and row.id not in skipped])


async def _decide(
    tx: asyncpg.Connection, moved: Sequence[Queued], groups: Sequence[Alike], loaded: Mapping[int, Flow]
) -> set[int]:
    """Next occurrences, conditions, and what happens instead of a message; answers the rows that send nothing."""
    repeating = {row.id for row in moved if row.repeats}
    queued = {row.id for row in moved if row.state == "queued"}
    acting: dict[int, Step] = {}
    conditional: set[int] = set()
    for group in groups:
        step = _step(group, loaded)
        deciding = set(group.ids) if step.stop and not step.speaks else queued.intersection(group.ids)
        if not step.speaks:
            acting |= dict.fromkeys(deciding, step)
        if _condition(group, loaded):
            conditional |= deciding
    rows = await due_rows(tx, list(repeating | conditional)) if repeating or conditional else []
    await insert_next(tx, [row for row in rows if row.id in repeating], loaded)
    verdicts = [(row, judge(_condition(row, loaded) or "true", _inputs(row))) for row in rows if row.id in conditional]
    refused = {row.id: verdict.detail for row, verdict in verdicts if not verdict.holds}
    if refused:
        await skip_queued(tx, refused, "condition")
    deeds = [(key, *_deed(step)) for key, step in acting.items() if key not in refused]
    await act(tx, deeds)
    ended = await no_longer_queued(tx, list(queued)) if any(kind == "stopped" for _, kind, _ in deeds) else set()
    return refused.keys() | acting.keys() | ended


def _deed(step: Step) -> tuple[str, dict[str, str]]:
    """What the ledger notes of a step that sends nothing."""
    if step.escalate is None:
        return "stopped", {}
    return "escalated", step.escalate.model_dump(exclude_none=True)


def _step(row: Alike | DueRow, flows: Mapping[int, Flow]) -> Step:
    return flows[row.flow_version_id].step(row.step)


def _condition(row: Alike | DueRow, flows: Mapping[int, Flow]) -> str | None:
    """Of the step itself: what follows it goes because it went."""
    return _step(row, flows).only_if if row.leg != THEN_LEG else None


def _inputs(row: DueRow) -> ConditionInputs:
    return ConditionInputs(
        open_amount=row.open_amount,
        amount=row.amount,
        currency=row.currency,
        days_past_due=(row.local_day - row.reference_date).days,
        invoice_attributes=row.invoice_attributes,
        customer_attributes=row.customer_attributes,
        customer_id=row.customer_ref,
        locale=row.locale,
        timezone=row.timezone,
        country=row.country or "",
        sent=row.sent,
        last_outcome=row.last_outcome,
        promises_broken=row.promises_broken,
    )


async def publish(bus: Bus, rows: Sequence[tuple[int, bool]]) -> int:
    """Ids of queued reminders, in messages of 100; answers how many were taken by the bus. Never raises
    `PublishFailed`."""
    if not rows:
        return 0
    urgent = [row for row, is_urgent in rows if is_urgent]
    bulk = [row for row, is_urgent in rows if not is_urgent]
    messages = [(queue, ids[at : at + IDS_A_MESSAGE]) for queue, ids in ((URGENT, urgent), (BULK, bulk))
                for at in range(0, len(ids), IDS_A_MESSAGE)]  # fmt: skip
    taken = await asyncio.gather(*(_publish(bus, queue, ids) for queue, ids in messages))
    crash_point("after_publish")
    return sum(taken)


async def _publish(bus: Bus, queue: str, ids: list[int]) -> int:
    try:
        await bus.publish(queue, RemindersDue(ids).encode())
    except PublishFailed as error:
        log.warning("publish_failed", queue=queue, ids=len(ids), error=str(error))
        return 0
    crash_point("amid_publish")
    return len(ids)
