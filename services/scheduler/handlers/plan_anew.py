"""Plans invoices anew: after a reversal, a changed date, amount or flow, or a failure learnt late.

What must stay true: the caller holds the invoices' locks; what may have gone out is never planned a second time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import asyncpg

from services.scheduler.domain.batch_planning import plan_summary, row_tail
from services.scheduler.domain.planned import MAIN_LEG, THEN_LEG, Installment, InvoiceFacts, Plan, RowKey
from services.scheduler.domain.planning import plan
from services.scheduler.store import accepting, replanning
from services.scheduler.store.flows import FlowVersions
from services.scheduler.store.replanning import Facts, Kept, Part
from shared.db.engine import Database
from shared.flow import Flow, NeverOpens
from shared.ledger.plan import NewReminder, insert_reminders, open_generation
from shared.states import ReminderState

WENT = (ReminderState.ACCEPTED, ReminderState.DELIVERED)
ENDED_WITHOUT = (ReminderState.FAILED, ReminderState.CANCELLED, ReminderState.SKIPPED)


async def plan_waiting(db: Database, flows: FlowVersions, limit: int) -> int:
    """One batch of those that `replan_at` calls for; how many there were."""
    async with db.transaction() as tx:
        ids = await replanning.choose(tx, limit)
        if ids:
            await plan_anew(tx, ids, flows)
        return len(ids)


async def plan_anew(tx: asyncpg.Connection, ids: Sequence[int], flows: FlowVersions) -> None:
    """Closes the plan of these locked invoices and makes the next one."""
    now: datetime = await tx.fetchval("SELECT business_now()")
    for invoice in ids:
        await open_generation(tx, invoice, now)
    found = [one for one in await replanning.facts(tx, ids) if one.closed_as is None]
    parts, kept = await replanning.parts(tx, ids), await replanning.kept(tx, ids)
    loaded = await flows.load(tx, {one.flow_version_id for one in found})
    rows: list[NewReminder] = []
    events: list[tuple[int, object]] = []
    for one in found:
        mine = [part for part in parts if part.invoice_id == one.id]
        flow = loaded[one.flow_version_id]
        made = _plan(one, mine, [row for row in kept if row.invoice_id == one.id], flow, now)
        rows.extend(_rows(one, mine, flow, made))
        events.append((one.id, {"generation": one.generation, **plan_summary(made.reminders, made.nothing)}))
    await insert_reminders(tx, rows)
    await accepting.log_events(tx, now, "invoice.planned", events)


def _plan(one: Facts, parts: Sequence[Part], kept: Sequence[Kept], flow: Flow, now: datetime) -> Plan:
    known = {step.id for step in flow.steps}
    mine = [row for row in kept if row.step in known]  # of a flow that the invoice has left, nothing bars this one
    facts = InvoiceFacts(
        issue_date=one.issue_date,
        zone=ZoneInfo(one.timezone),
        country=one.country,
        installments=tuple(Installment(part.no, part.due_date, part.open_amount) for part in parts),
        settled_n=one.settled_n,
        paid=one.settled_at is not None,
        settled_by_credit_alone=one.settled_at is not None and not any(part.allocated for part in parts),
        kept=frozenset(key for row in mine for key in _barred(row)),
        ended=frozenset(_key(row) for row in mine if row.state in WENT),
        accepted_at=one.accepted_at,
        broken_n=one.broken_n,
        broken_at=one.broken_at,
        stopped=frozenset(row.installment_no for row in kept if row.installment_no and row.reason == "stopped"),
    )
    try:
        return plan(flow, facts, now)
    except NeverOpens as error:
        return Plan((), nothing=str(error))


def _key(row: Kept) -> RowKey:
    return (row.installment_no, row.step, row.occurrence, row.leg)


def _barred(row: Kept) -> list[RowKey]:
    """The row itself, and the `then` of a parent that ended without having gone: it would wait for ever."""
    keys = [_key(row)]
    if row.leg == MAIN_LEG and row.state in ENDED_WITHOUT:
        keys.append((row.installment_no, row.step, row.occurrence, THEN_LEG))
    return keys


def _rows(one: Facts, parts: Sequence[Part], flow: Flow, made: Plan) -> Iterable[NewReminder]:
    ids = {part.no: part.id for part in parts}
    for row in made.reminders:
        installment = None if row.installment_no is None else ids[row.installment_no]
        yield NewReminder(one.id, installment, one.flow_version_id, one.generation, *row_tail(flow, row))
