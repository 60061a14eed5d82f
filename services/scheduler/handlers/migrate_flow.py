"""Running invoices move to another version of their flow: first what that would change for whom, then for all of them.

What must stay true: the preview changes nothing; each batch is committed by itself and may be repeated; an invoice's
version and its wish for a new plan change together, under its lock, and the loop that plans is the only one that plans;
what may have gone out never goes again.
"""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import asyncpg

from services.scheduler.domain.moves import AHEAD, Move, moves
from services.scheduler.domain.planned import MAIN_LEG, Installment, InvoiceFacts, Plan
from services.scheduler.domain.planning import plan
from services.scheduler.store import migrating, replanning
from services.scheduler.store.flows import FlowVersions
from services.scheduler.store.migrating import Moving, Standing
from services.scheduler.store.replanning import Facts, Part
from shared.db.engine import Database
from shared.flow import Flow, NeverOpens

BATCH = 500


@dataclass(frozen=True, slots=True)
class Target:
    """`only`: invoices of this version; None: of every other one."""

    name: str
    version: int
    version_id: int
    only: int | None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """`by_version`: open invoices on each version. `invoices`: one page of them, each with what would change."""

    by_version: dict[int, int]
    invoices: list[tuple[Moving, list[Move]]]


async def foresee(db: Database, flows: FlowVersions, target: Target, after: int, limit: int) -> Foreseen:
    async with db.connection() as connection:
        counts = await migrating.by_version(connection, target.name, target.version, target.only)
        page = await migrating.page(connection, target.name, target.version, target.only, after, limit)
        flow = (await flows.load(connection, {target.version_id}))[target.version_id]
        return Foreseen(counts, await _changes(connection, page, flow))


async def migrate(db: Database, target: Target) -> int:
    """How many invoices were moved. Their plans follow within seconds, batch by batch."""
    moved, after = 0, 0
    while True:
        async with db.transaction() as tx:
            now: datetime = await tx.fetchval("SELECT business_now()")
            count, last = await migrating.move(
                tx, target.name, target.version, target.only, after, BATCH, target.version_id, now
            )
        if last is None:
            return moved
        moved, after = moved + count, last


async def _changes(connection: asyncpg.Connection, page: list[Moving], flow: Flow) -> list[tuple[Moving, list[Move]]]:
    ids = [one.id for one in page]
    facts = {one.id: one for one in await replanning.facts(connection, ids)}
    parts, standing = await replanning.parts(connection, ids), await migrating.standing(connection, ids)
    now: datetime = await connection.fetchval("SELECT business_now()")
    found = []
    for one in page:
        rows = [row for row in standing if row.invoice_id == one.id]
        made = _planned(facts[one.id], [part for part in parts if part.invoice_id == one.id], rows, flow, now)
        before = {_key(row): row.due_at for row in rows if row.state in AHEAD and not row.went}
        found.append((one, moves(before, made.reminders)))
    return found


def _planned(one: Facts, parts: list[Part], rows: list[Standing], flow: Flow, now: datetime) -> Plan:
    """As `plan_anew` would plan it, without opening a generation."""
    known = {step.id for step in flow.steps}
    due = {part.no: part.due_date for part in parts}
    kept = [row for row in rows if row.went and row.step in known and _same_date(row, due)]
    facts = InvoiceFacts(
        issue_date=one.issue_date,
        zone=ZoneInfo(one.timezone),
        country=one.country,
        installments=tuple(Installment(part.no, part.due_date, part.open_amount) for part in parts),
        settled_n=one.settled_n,
        kept=frozenset(_key(row) for row in kept),
        ended=frozenset(_key(row) for row in kept if row.leg == MAIN_LEG),
        accepted_at=one.accepted_at,
        broken_n=one.broken_n,
        broken_at=one.broken_at,
        stopped=frozenset(row.installment_no for row in rows if row.installment_no and row.reason == "stopped"),
    )
    try:
        return plan(flow, facts, now)
    except NeverOpens as error:
        return Plan((), nothing=str(error))


def _same_date(row: Standing, due: dict[int, date]) -> bool:
    return row.installment_no is None or row.anchor_date == due.get(row.installment_no)


def _key(row: Standing) -> tuple[int | None, str, int, str]:
    return (row.installment_no, row.step, row.occurrence, row.leg)
