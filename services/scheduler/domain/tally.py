"""The dry run's count: many invoices that would be treated alike are counted, and treated once.

What must stay true:
- invoices share a forecast only when nothing that it depends on differs;
- memory does not grow with the number of invoices: what is remembered is bounded, what is counted is days and reasons.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from services.scheduler.domain.forecast import forecast
from services.scheduler.domain.planned import MAIN_LEG, THEN_LEG, Installment, InvoiceFacts, PlannedReminder, RowKey
from shared.flow import FOREVER, Anchor, ConditionInputs, Flow, Start, Step, judge, may_interrupt
from shared.flow.conditions import reads
from shared.routing import Candidate, ContactPoint, Offer, route
from shared.routing.channels import traits_of

LONG_AGO = date(1971, 1, 4)
MOST_REMEMBERED = 20_000
MARGIN = 40  # days by which closed days may move a step


class Reach(NamedTuple):
    """How a customer can be reached; addresses are not kept, only what they begin with."""

    points: tuple[ContactPoint, ...]
    suppressed: tuple[tuple[tuple[int, str], str], ...] = ()
    preferred: str | None = None


class Held(NamedTuple):
    kind: str
    until: datetime


class Counted(NamedTuple):
    """An open invoice, as the dry run reads it. `inputs`: what conditions may ask, without days and history."""

    issue_date: date
    accepted_at: datetime
    zone: str
    country: str | None
    parts: tuple[Installment, ...]
    kept: frozenset[RowKey]
    stopped: frozenset[int]
    held: Held | None
    reach: Reach
    inputs: ConditionInputs
    broken_n: int = 0
    broken_at: datetime | None = None


class _Alike(NamedTuple):
    """What decides about an invoice; `asked` is kept only where a condition looks at more than the invoice itself."""

    plan: tuple[Any, ...]
    held: Held | None
    reach: Reach
    verdicts: tuple[bool, ...]
    asked: "_Asked | None"


class _Asked:
    """Inputs as part of a key: compared by what they say. Attributes have no hash of their own."""

    __slots__ = ("_said", "inputs")

    def __init__(self, inputs: ConditionInputs) -> None:
        self.inputs = inputs
        self._said = repr(inputs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._said == other._said

    def __hash__(self) -> int:
        return hash(self._said)


@dataclass(slots=True)
class Tally:
    """`add` invoices, then `close`. `sends`: messages by (day, channel); `skipped`: by (step, reason)."""

    flow: Flow
    offers: Mapping[str, Offer]
    now: datetime
    until: datetime
    invoices: int = 0
    escalations: int = 0
    sends: Counter[tuple[date, str]] = field(default_factory=Counter)
    costs: dict[tuple[date, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    _alike: Counter[_Alike] = field(default_factory=Counter)
    _plans: dict[tuple[Any, ...], tuple[PlannedReminder, ...]] = field(default_factory=dict)
    _routes: dict[tuple[Any, ...], tuple[Candidate | None, str]] = field(default_factory=dict)
    _verdicts: dict[tuple[Any, ...], bool] = field(default_factory=dict)
    _fixed: tuple[str, ...] = field(init=False)
    _moving: bool = field(init=False)
    _from_issue: bool = field(init=False)
    _earliest: int = field(init=False)

    def __post_init__(self) -> None:
        conditions = dict.fromkeys(step.only_if for step in self.flow.steps if step.only_if is not None)
        self._fixed = tuple(text for text in conditions if not _moves(text))
        self._moving = len(self._fixed) < len(conditions)
        after_issue = any(step.when.after == "issue" for step in self.flow.steps)
        self._from_issue = after_issue or self.flow.start is Start.ISSUED_TODAY
        self._earliest = 2 * min((step.offset for step in self.flow.timetable.steps), default=0) - MARGIN

    def add(self, invoices: Iterable[Counted]) -> None:
        for invoice in invoices:
            self.invoices += 1
            self._alike[self._key(invoice)] += 1
        if len(self._alike) > MOST_REMEMBERED:
            self.close()

    def close(self) -> None:
        for alike, times in self._alike.items():
            self._count(alike, times)
        self._alike.clear()

    # --- what makes invoices alike

    def _key(self, invoice: Counted) -> _Alike:
        parts = tuple((part.no, part.due_date) for part in invoice.parts)
        accepted = invoice.accepted_at if self.flow.start is Start.ISSUED_TODAY else None
        plan = (self._issue(invoice), accepted, invoice.zone, invoice.country, parts, invoice.kept, invoice.stopped,
                invoice.broken_n, invoice.broken_at)  # fmt: skip
        verdicts = tuple(self._judged(text, invoice.inputs) for text in self._fixed)
        return _Alike(plan, invoice.held, invoice.reach, verdicts, _Asked(invoice.inputs) if self._moving else None)

    def _issue(self, invoice: Counted) -> date:
        """Long ago, where the plan cannot depend on it: an old issue date before all that is around the due dates."""
        first = min(part.due_date for part in invoice.parts) + timedelta(days=min(self._earliest, 0))
        old = invoice.issue_date < self.now.date() - timedelta(days=1) and invoice.issue_date <= first
        return LONG_AGO if old and not self._from_issue else invoice.issue_date

    def _judged(self, expression: str, inputs: ConditionInputs) -> bool:
        key = (expression, inputs.open_amount, inputs.amount, inputs.currency, inputs.days_past_due, inputs.sent,
               inputs.locale, inputs.country, str(inputs.invoice_attributes), str(inputs.customer_attributes),
               inputs.customer_id if "customer.id" in expression else "", inputs.promises_broken)  # fmt: skip
        found = self._verdicts.get(key)
        if found is None:
            _make_room(self._verdicts)
            found = self._verdicts[key] = judge(expression, inputs).holds
        return found

    # --- what happens to them

    def _count(self, alike: _Alike, times: int) -> None:
        zone, country = alike.plan[2], alike.plan[3]
        ended: set[int | None] = set()
        silent: set[tuple[int | None, str, int]] = set()
        for sent, row in enumerate(self._forecast(alike)):
            step = self.flow.step(row.step)
            at = row.due_at or self.now
            if row.installment_no is not None and row.installment_no in ended:
                continue
            occurrence = (row.installment_no, row.step, row.occurrence)
            if row.leg == THEN_LEG and occurrence in silent:
                continue
            reason = row.reason or self._refused(alike, step, row, sent)
            if reason is None and alike.held and at < alike.held.until and not step.stop:
                reason, at = (alike.held.kind, at) if row.requires_open else (None, alike.held.until)
            if reason is None and step.stop:
                ended.add(row.installment_no)
            elif reason is None and step.escalate:
                self.escalations += times
            elif reason is None:
                reason = self._send(alike, row, at, times, ZoneInfo(zone), country)
            if reason is not None:
                silent.add(occurrence)
                self.skipped[row.step, str(reason)] += times

    def _send(
        self, alike: _Alike, row: PlannedReminder, at: datetime, times: int, zone: ZoneInfo, country: str | None
    ) -> str | None:
        """Counts it; or why nobody is reached."""
        way, reason = self._way(alike.reach, row)
        if way is None:
            return reason
        if row.send_until in (FOREVER, None) and not traits_of(way.channel).discreet:
            at = may_interrupt(at, self.flow.window, zone, country) or at
        if at <= self.until:
            key = (at.astimezone(zone).date(), way.channel)
            self.sends[key] += times
            self.costs[key] += way.cost * times
        return None

    def _way(self, reach: Reach, row: PlannedReminder) -> tuple[Candidate | None, str]:
        """The first way, or why there is none. A leg of a broadcast has its own."""
        key = (reach, row.step, row.leg)
        found = self._routes.get(key)
        if found is None:
            _make_room(self._routes)
            channels = self.flow.step(row.step).channels_of(row.leg)
            ways = route(channels, reach.points, self.offers, suppressed=dict(reach.suppressed),
                         preferred_channel=reach.preferred)  # fmt: skip
            provided = any(channel in self.offers for channel in channels)
            reason = "no_usable_contact" if provided else "no_provider"
            found = self._routes[key] = (ways.candidates[0] if ways.candidates else None, reason)
        return found

    def _refused(self, alike: _Alike, step: Step, row: PlannedReminder, sent: int) -> str | None:
        if step.only_if is None or row.leg == THEN_LEG:
            return None
        if not _moves(step.only_if):
            return None if alike.verdicts[self._fixed.index(step.only_if)] else "condition"
        assert alike.asked is not None
        due = row.anchor_date if row.anchor is Anchor.DUE else None
        at = (row.due_at or self.now).astimezone(ZoneInfo(alike.plan[2])).date()
        days = (at - (due or alike.plan[4][0][1])).days
        return None if self._judged(step.only_if, alike.asked.inputs.on_day(days, sent)) else "condition"

    def _forecast(self, alike: _Alike) -> tuple[PlannedReminder, ...]:
        found = self._plans.get(alike.plan)
        if found is None:
            _make_room(self._plans)
            found = self._plans[alike.plan] = self._foreseen(alike.plan)
        return found

    def _foreseen(self, plan: tuple[Any, ...]) -> tuple[PlannedReminder, ...]:
        issue, accepted, zone, country, parts, kept, stopped, broken_n, broken_at = plan
        facts = InvoiceFacts(
            issue_date=issue,
            zone=ZoneInfo(zone),
            country=country,
            installments=tuple(Installment(no, due, Decimal(1)) for no, due in parts),
            kept=kept,
            ended=frozenset(key for key in kept if key[3] == MAIN_LEG),
            accepted_at=accepted or self.now,
            broken_n=broken_n,
            broken_at=broken_at,
            stopped=stopped,
        )
        rows = forecast(self.flow, facts, self.now, self.until).rows
        return tuple(row for row in rows if row.reason is None or (row.due_at or self.now) >= self.now)


def _moves(expression: str) -> bool:
    """Whether its verdict may change while the invoice stays as it is."""
    return bool(reads(expression) & {"days_past_due", "history"})


def _make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= MOST_REMEMBERED:
        kept.clear()
