"""The dated, costed plan of one example: what each row would be sent over, in which order, at what price.

What must stay true: nothing is decided here; the forecast, the route and the condition are those of real invoices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from services.scheduler.domain.forecast import Forecast
from services.scheduler.domain.planned import THEN_LEG, InvoiceFacts, PlannedReminder
from shared.flow import FOREVER, Anchor, ConditionInputs, Flow, Verdict, judge, may_interrupt
from shared.routing import ContactPoint, Offer, Route, route
from shared.routing.channels import traits_of

MOST_ROWS = 200
PARENT_DID_NOT_GO = "parent_did_not_go"


@dataclass(frozen=True, slots=True)
class Previewed:
    """`at`: when it goes, in the customer's zone when read there; None: it waits for its event. `reason`: why it does
    not go. `days_past_due`: on that day."""

    row: PlannedReminder
    at: datetime | None
    reason: str | None
    route: Route
    verdict: Verdict | None
    days_past_due: int

    @property
    def cost(self) -> Decimal:
        """If the first way works."""
        return self.route.candidates[0].cost if self.route.candidates and self.reason is None else Decimal(0)


@dataclass(frozen=True, slots=True)
class Example:
    """An invoice and customer of which nothing is stored."""

    facts: InvoiceFacts
    inputs: ConditionInputs
    points: Sequence[ContactPoint]
    preferred: str | None


def preview(
    flow: Flow, foreseen: Forecast, example: Example, offers: Mapping[str, Offer], now: datetime
) -> list[Previewed]:
    ended: set[int | None] = set()
    silent: set[tuple[int | None, str, int]] = set()
    rows: list[Previewed] = []
    for sent, row in enumerate((*foreseen.rows, *foreseen.waiting)[:MOST_ROWS]):
        found = _previewed(flow, row, example, offers, now, sent)
        if row.installment_no is not None and row.installment_no in ended:
            continue
        if flow.step(row.step).stop and found.reason is None:
            ended.add(row.installment_no)
        occurrence = (row.installment_no, row.step, row.occurrence)
        if found.reason is not None:
            silent.add(occurrence)
        elif row.leg == THEN_LEG and occurrence in silent:
            found = replace(found, reason=PARENT_DID_NOT_GO)
        rows.append(found)
    return rows


def _previewed(
    flow: Flow, row: PlannedReminder, example: Example, offers: Mapping[str, Offer], now: datetime, sent: int
) -> Previewed:
    step = flow.step(row.step)
    ways = route(step.channels_of(row.leg), example.points, offers, suppressed={}, preferred_channel=example.preferred)
    due = row.anchor_date if row.anchor is Anchor.DUE else None
    first = due or min(part.due_date for part in example.facts.installments)
    days = ((row.due_at or now).astimezone(example.facts.zone).date() - first).days
    conditional = step.only_if is not None and row.leg != THEN_LEG
    verdict = judge(step.only_if or "true", example.inputs.on_day(days, sent)) if conditional else None
    reason: str | None = row.reason
    if reason is None and verdict is not None and not verdict.holds:
        reason = "condition"
    if reason is None and step.speaks and not ways.candidates:
        offered = any(channel in offers for channel in step.channels_of(row.leg))
        reason = "no_usable_contact" if offered else "no_provider"
    return Previewed(row, _moment(flow, row, ways, example), reason, ways, verdict, days)


def _moment(flow: Flow, row: PlannedReminder, ways: Route, example: Example) -> datetime | None:
    """What goes at any hour waits for the contact window where its first way interrupts."""
    if row.due_at is None or row.send_until not in (FOREVER, None) or not ways.candidates:
        return row.due_at
    if traits_of(ways.candidates[0].channel).discreet:
        return row.due_at
    return may_interrupt(row.due_at, flow.window, example.facts.zone, example.facts.country) or row.due_at
