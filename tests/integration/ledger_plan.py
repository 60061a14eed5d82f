"""A small planner for the ledger's tests: the rules of 'keep what may have gone out, plan the rest', without flow or calendar.

Everything is due at once, so that a test decides the order of things and not the calendar.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import asyncpg

from shared.ledger.plan import NewReminder, insert_reminders, lock_invoices, open_generation

FOREVER = datetime(2999, 1, 1, tzinfo=UTC)
SOON = timedelta(hours=48)
RESTS_UNSENT = ("failed", "cancelled", "skipped")


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    anchor: str
    requires_open: bool = True
    on_uncertain: str = "assume_sent"
    times: int = 1
    then: bool = False


STEPS = {
    step.name: step
    for step in (
        Step("delivery", "issue", requires_open=False, on_uncertain="resend"),
        Step("notice", "due", on_uncertain="next_channel", then=True),
        Step("overdue", "due", times=3),
        Step("thanks", "payment", requires_open=False),
    )
}
Key = tuple[str, int, str, int | None]  # step, occurrence, leg, installment


@dataclass(frozen=True, slots=True)
class Facts:
    invoice_id: int
    flow_version_id: int
    issue_date: date
    generation: int
    settled_n: int
    paid: bool
    by_money: bool
    owing: dict[int, date]
    kept: dict[Key, str]
    now: datetime


async def plan(db: asyncpg.Connection, invoice_id: int, now: datetime) -> None:
    """PLAN, in one transaction, for the first time or again."""
    async with db.transaction():
        await lock_invoices(db, [invoice_id])
        await open_generation(db, invoice_id, now)
        if (facts := await _facts(db, invoice_id, now)) is not None:
            await insert_reminders(db, list(_rows(facts)))


async def plan_next(db: asyncpg.Connection, reminders: list[int], now: datetime) -> None:
    """Occurrence n + 1 of repeating rows, in the transaction that takes n out of pending."""
    rows = await db.fetch(
        "SELECT invoice_id, flow_version_id, generation, installment_id, anchor_date, step, occurrence FROM reminder"
        " WHERE id = ANY($1::bigint[]) AND repeats AND leg = ''",
        reminders,
    )
    await insert_reminders(db, [_after(row, now) for row in rows])


def _after(row: asyncpg.Record, now: datetime) -> NewReminder:
    invoice, flow, generation, installment, due, step, occurrence = row
    return _due_row(STEPS[step], invoice, flow, generation, installment, due, occurrence + 1, now)


async def _facts(db: asyncpg.Connection, invoice_id: int, now: datetime) -> Facts | None:
    row = await db.fetchrow("SELECT * FROM invoice WHERE id = $1", invoice_id)
    if row["closed_as"]:
        return None
    parts = await db.fetch(
        "SELECT id, due_date, open_amount, allocated FROM installment WHERE invoice_id = $1", invoice_id
    )
    kept = await db.fetch(
        "SELECT step, occurrence, leg, installment_id, state FROM reminder WHERE invoice_id = $1 AND generation = $2",
        invoice_id,
        row["generation"],
    )
    return Facts(
        invoice_id,
        row["flow_version_id"],
        row["issue_date"],
        row["generation"],
        row["settled_n"],
        row["settled_at"] is not None,
        any(part["allocated"] for part in parts),
        {part["id"]: part["due_date"] for part in parts if part["open_amount"] > 0},
        {tuple(r)[:4]: r["state"] for r in kept},
        now,
    )


def _rows(facts: Facts) -> Iterator[NewReminder]:
    head = (facts.invoice_id, facts.flow_version_id, facts.generation)
    for step in STEPS.values():
        if step.anchor == "payment":
            yield from _thanks(step, facts)
        elif step.anchor == "issue":
            if (step.name, 1, "", None) not in facts.kept and (facts.owing or not step.requires_open):
                yield _row(head, None, step, 1, "issue", facts.issue_date, "pending", facts.now, FOREVER)
        else:
            for installment, due in facts.owing.items():
                yield from _around_due(step, facts, installment, due)


def _around_due(step: Step, facts: Facts, installment: int, due: date) -> Iterator[NewReminder]:
    had = [
        occurrence for name, occurrence, leg, part in facts.kept if (name, leg, part) == (step.name, "", installment)
    ]
    until = min(max(had, default=0) + 1, step.times)
    for occurrence in range(1, until + 1):
        if occurrence not in had:
            ids = (facts.invoice_id, facts.flow_version_id, facts.generation, installment, due)
            yield _due_row(step, *ids, occurrence, facts.now)
        parent = facts.kept.get((step.name, occurrence, "", installment), "pending")
        if step.then and (step.name, occurrence, "then", installment) not in facts.kept and parent not in RESTS_UNSENT:
            ended = parent in ("accepted", "delivered")
            state, due_at = ("pending", facts.now) if ended else ("waiting", None)
            head = (facts.invoice_id, facts.flow_version_id, facts.generation)
            yield _row(head, installment, step, occurrence, "parent", due, state, due_at, None)


def _thanks(step: Step, facts: Facts) -> Iterator[NewReminder]:
    occurrence = facts.settled_n if facts.paid else facts.settled_n + 1
    if (step.name, occurrence, "", None) in facts.kept or (facts.paid and not facts.by_money):
        return
    head = (facts.invoice_id, facts.flow_version_id, facts.generation)
    state, due_at = ("pending", facts.now) if facts.paid else ("waiting", None)
    yield _row(head, None, step, occurrence, "payment", None, state, due_at, None)


def _due_row(
    step: Step, invoice: int, flow: int, generation: int, installment: int, due: date, occurrence: int, now: datetime
) -> NewReminder:
    return _row((invoice, flow, generation), installment, step, occurrence, "due", due, "pending", now, now + SOON)


def _row(
    head: tuple[int, int, int],
    installment: int | None,
    step: Step,
    occurrence: int,
    anchor: str,
    anchor_date: date | None,
    state: str,
    due_at: datetime | None,
    send_until: datetime | None,
) -> NewReminder:
    invoice, flow, generation = head
    return NewReminder(
        invoice_id=invoice,
        installment_id=installment,
        flow_version_id=flow,
        generation=generation,
        step=step.name,
        occurrence=occurrence,
        leg="then" if anchor == "parent" else "",
        anchor=anchor,
        anchor_date=anchor_date,
        requires_open=step.requires_open,
        urgent=anchor == "payment",
        repeats=anchor == "due" and occurrence < step.times,
        followed=anchor == "due" and step.then,
        state=state,
        reason=None,
        due_at=due_at,
        send_until=send_until,
    )
