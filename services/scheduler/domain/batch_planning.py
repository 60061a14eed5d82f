"""Plans of a whole batch: invoices of the same dates, zone and flow get the same plan, which is made once.

What must stay true: a plan of new invoices depends on nothing but what is in its key (amounts only on being more than
zero, which a new invoice's are).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from services.scheduler.domain.planned import THEN_LEG, Installment, InvoiceFacts, PlannedReminder
from services.scheduler.domain.planning import plan
from shared.flow import Flow
from shared.states import ReminderState

PlanKey = tuple[int, str, str | None, date, tuple[date, ...]]
_SOME = Decimal(1)


def row_tail(flow: Flow, row: PlannedReminder) -> tuple[Any, ...]:
    """The columns of a reminder from `step` on, in the order of shared.ledger.plan.NewReminder."""
    step = flow.step(row.step)
    main = row.leg != THEN_LEG
    return (
        row.step,
        row.occurrence,
        row.leg,
        row.anchor,
        row.anchor_date,
        row.requires_open,
        row.urgent,
        main and step.repeat is not None,
        main and step.then is not None,
        row.state,
        row.reason,
        row.due_at,
        row.send_until,
        flow.on_unknown_of(step),
    )


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """`rows`: (installment number or None, the row's columns from `step` on, written). `event`: what the timeline says."""

    rows: tuple[tuple[int | None, bytes], ...]
    backlog: bool
    event: Mapping[str, Any]


class BatchPlanner:
    """For one moment. `write`: the form in which a row's columns are stored."""

    def __init__(self, now: datetime, write: Callable[[tuple[Any, ...]], bytes]) -> None:
        self._now = now
        self._write = write
        self._made: dict[PlanKey, BatchPlan] = {}

    def plan(
        self, version: int, flow: Flow, zone: str, country: str | None, issue_date: date, due_dates: tuple[date, ...]
    ) -> BatchPlan:
        """Installments are numbered from 1 in the order of `due_dates`. Raises `NeverOpens`."""
        key = (version, zone, country, issue_date, due_dates)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self._make(flow, zone, country, issue_date, due_dates)
        return made

    def _make(
        self, flow: Flow, zone: str, country: str | None, issue_date: date, due_dates: tuple[date, ...]
    ) -> BatchPlan:
        parts = tuple(Installment(no, due, _SOME) for no, due in enumerate(due_dates, start=1))
        planned = plan(flow, InvoiceFacts(issue_date, ZoneInfo(zone), country, parts), self._now)
        return BatchPlan(
            tuple((row.installment_no, self._write(row_tail(flow, row))) for row in planned.reminders),
            planned.backlog,
            plan_summary(planned.reminders, planned.nothing),
        )


def plan_summary(rows: tuple[PlannedReminder, ...], nothing: str | None) -> dict[str, Any]:
    """What the timeline keeps of a plan: how many reminders, and which steps were left out and why."""
    skipped = {row.step: row.reason for row in rows if row.state is ReminderState.SKIPPED}
    summary: dict[str, Any] = {"planned": sum(1 for row in rows if row.state is not ReminderState.SKIPPED)}
    if skipped:
        summary["skipped"] = skipped
    if nothing:
        summary["nothing"] = nothing
    return summary
