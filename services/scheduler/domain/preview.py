"""The dated, costed plan of an example: what each row would be sent over, in which order, at what price, with what else.

What must stay true: nothing is decided here; the forecast, the course, the route and the condition are those of real
invoices.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from services.scheduler.domain.contacted import Contacted
from services.scheduler.domain.course import Course
from services.scheduler.domain.debts import Debt, Fate
from services.scheduler.domain.forecast import Forecast
from services.scheduler.domain.planned import THEN_LEG, InvoiceFacts, PlannedReminder
from shared.flow import Anchor, ConditionInputs, Flow, Verdict, judge
from shared.kernel.caps import Caps
from shared.routing import Candidate, ContactPoint, Offer, Route, route

MOST_ROWS = 200
PARENT_DID_NOT_GO = "parent_did_not_go"


@dataclass(frozen=True, slots=True)
class Previewed:
    """A row of the `debt`th invoice. `at`: when it goes, in the customer's zone when read there; None: it waits for its
    event. `reason`: why it does not go. `days_past_due`: on that day. `carrier`: (debt, row) of whose message it rides
    on. `moved`: why it goes on a later day than the flow says."""

    debt: int
    row: PlannedReminder
    at: datetime | None
    reason: str | None
    route: Route
    verdict: Verdict | None
    days_past_due: int
    carrier: tuple[int, PlannedReminder] | None = None
    moved: str | None = None

    @property
    def cost(self) -> Decimal:
        """If the first way works."""
        goes = self.route.candidates and self.reason is None and self.carrier is None
        return self.route.candidates[0].cost if goes else Decimal(0)


@dataclass(frozen=True, slots=True)
class Example:
    """An invoice and its customer, of whom nothing is stored, with what was foreseen of it."""

    facts: InvoiceFacts
    inputs: ConditionInputs
    points: Sequence[ContactPoint]
    preferred: str | None
    creditor: str
    foreseen: Forecast


@dataclass(frozen=True, slots=True)
class _Asked:
    """An example as the course asks it; what it answered about conditions is kept to be shown."""

    flow: Flow
    example: Example
    offers: Mapping[str, Offer]
    verdicts: dict[PlannedReminder, Verdict] = field(default_factory=dict)

    def debt(self) -> Debt:
        facts = self.example.facts
        return Debt(
            rows=self.example.foreseen.rows,
            issue_date=facts.issue_date,
            zone=facts.zone,
            country=facts.country,
            creditor=self.example.creditor,
            held=None,
            way=self.way,
            refused=self.refused,
        )

    def route(self, row: PlannedReminder) -> Route:
        channels, known = self.flow.step(row.step).channels_of(row.leg), self.example
        return route(channels, known.points, self.offers, suppressed={}, preferred_channel=known.preferred)

    def way(self, row: PlannedReminder) -> tuple[Candidate | None, str]:
        ways = self.route(row).candidates
        offered = any(channel in self.offers for channel in self.flow.step(row.step).channels_of(row.leg))
        return (ways[0] if ways else None), "no_usable_contact" if offered else "no_provider"

    def refused(self, row: PlannedReminder, at: datetime, sent: int) -> str | None:
        condition = self.flow.step(row.step).only_if
        if condition is None or row.leg == THEN_LEG:
            return None
        verdict = judge(condition, self.example.inputs.on_day(self.days_past_due(row, at), sent))
        self.verdicts[row] = verdict
        return None if verdict.holds else "condition"

    def days_past_due(self, row: PlannedReminder, at: datetime) -> int:
        due = row.anchor_date if row.anchor is Anchor.DUE else None
        first = due or min(part.due_date for part in self.example.facts.installments)
        return (at.astimezone(self.example.facts.zone).date() - first).days


def preview(
    flow: Flow, examples: Sequence[Example], offers: Mapping[str, Offer], caps: Caps, now: datetime, until: datetime
) -> list[Previewed]:
    """Of one customer, who got nothing yet. `caps`: those that hold for all flows."""
    asked = [_Asked(flow, example, offers) for example in examples]
    contacted = Contacted(caps.within(flow.caps))
    course = Course(flow, [one.debt() for one in asked], contacted, now=now, until=until)
    rows = [row for fate in course.run() for row in _shown(asked[fate.debt], fate)]
    for debt, one in enumerate(asked):
        rows += [_row(one, Fate(debt, row, now), None) for row in one.example.foreseen.waiting]
    return rows[:MOST_ROWS]


def _shown(asked: _Asked, fate: Fate) -> Iterator[Previewed]:
    """Its row, and the `then` of one that does not go."""
    yield _row(asked, fate, fate.at)
    planned = fate.row.reason is None and asked.flow.step(fate.row.step).then is not None
    if planned and fate.reason is not None and fate.row.leg != THEN_LEG:
        silent = fate.row._replace(leg=THEN_LEG)
        yield _row(asked, Fate(fate.debt, silent, fate.at, PARENT_DID_NOT_GO), fate.at)


def _row(asked: _Asked, fate: Fate, at: datetime | None) -> Previewed:
    return Previewed(
        debt=fate.debt,
        row=fate.row,
        at=at,
        reason=fate.reason,
        route=asked.route(fate.row),
        verdict=asked.verdicts.get(fate.row),
        days_past_due=asked.days_past_due(fate.row, fate.at),
        carrier=fate.carrier,
        moved=fate.moved,
    )
