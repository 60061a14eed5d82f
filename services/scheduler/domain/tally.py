"""The dry run's count: customers who would be treated alike are counted, and treated once.

What must stay true:
- customers share a course only when nothing that it depends on differs; where neither a message nor a cap joins a
  customer's invoices, each invoice stands for itself;
- memory does not grow with the number of invoices: what is remembered is bounded, what is counted is days and reasons.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from services.scheduler.domain.contacted import Contacted
from services.scheduler.domain.course import Course, Debt, Fate, Held
from services.scheduler.domain.forecast import forecast
from services.scheduler.domain.planned import MAIN_LEG, THEN_LEG, Installment, InvoiceFacts, PlannedReminder, RowKey
from shared.flow import Anchor, ConditionInputs, Flow, Start, judge
from shared.flow.conditions import reads
from shared.kernel.caps import NO_CAPS, Caps
from shared.routing import Candidate, ContactPoint, Offer, route

LONG_AGO = date(1971, 1, 4)
MOST_REMEMBERED = 20_000
MOST_OF_ONE = 5_000  # invoices of a customer that are looked at together; what a further one owes is as if another's
MARGIN = 40  # days by which closed days may move a step


class Reach(NamedTuple):
    """How a customer can be reached; addresses are not kept, only what they begin with."""

    points: tuple[ContactPoint, ...]
    suppressed: tuple[tuple[tuple[int, str], str], ...] = ()
    preferred: str | None = None


class Used(NamedTuple):
    """What a customer's counter says: the last contact, how many on a local day and in the week of a Monday."""

    last_at: datetime
    day: date
    day_n: int
    week: date
    week_n: int


class Counted(NamedTuple):
    """An open invoice, as the dry run reads it. `inputs`: what conditions may ask, without days and history. `used`: of its
    customer, where there was a contact."""

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
    customer: int = 0
    creditor: int = 0
    used: Used | None = None


class _Alike(NamedTuple):
    """What decides about an invoice; `asked` is kept only where a condition looks at more than the invoice itself."""

    plan: tuple[Any, ...]
    held: Held | None
    reach: Reach
    verdicts: tuple[bool, ...]
    asked: "_Asked | None"
    creditor: int


class _Customer(NamedTuple):
    """One who is treated like others who owe the same. `last_at` and the rest: as in `Contacted`."""

    owes: tuple[_Alike, ...]
    contacted: tuple[datetime | None, int, int, int, int]


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
    """`add` invoices, those of one customer one after the other, then `close`. `sends`: messages by (day, channel);
    `skipped`: reminders by (step, reason); `moved`: those that go on a later day than planned, by (step, reason);
    `rode_along`: those that go in the message of another one, by step."""

    flow: Flow
    offers: Mapping[str, Offer]
    now: datetime
    until: datetime
    caps: Caps = NO_CAPS
    invoices: int = 0
    escalations: int = 0
    sends: Counter[tuple[date, str]] = field(default_factory=Counter)
    costs: dict[tuple[date, str], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    skipped: Counter[tuple[str, str]] = field(default_factory=Counter)
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    rode_along: Counter[str] = field(default_factory=Counter)
    _alike: Counter[_Customer] = field(default_factory=Counter)
    _waiting: int = 0
    _customer: int = 0
    _used: Used | None = None
    _owes: list[_Alike] = field(default_factory=list)
    _plans: dict[tuple[Any, ...], tuple[PlannedReminder, ...]] = field(default_factory=dict)
    _routes: dict[tuple[Any, ...], tuple[Candidate | None, str]] = field(default_factory=dict)
    _verdicts: dict[tuple[Any, ...], bool] = field(default_factory=dict)
    _fixed: tuple[str, ...] = field(init=False)
    _moving: bool = field(init=False)
    _from_issue: bool = field(init=False)
    _earliest: int = field(init=False)
    _joined: bool = field(init=False)

    def __post_init__(self) -> None:
        conditions = dict.fromkeys(step.only_if for step in self.flow.steps if step.only_if is not None)
        self._fixed = tuple(text for text in conditions if not _moves(text))
        self._moving = len(self._fixed) < len(conditions)
        after_issue = any(step.when.after == "issue" for step in self.flow.steps)
        self._from_issue = after_issue or self.flow.start is Start.ISSUED_TODAY
        self.caps = self.caps.within(self.flow.caps)
        self._joined = bool(self.caps or self.flow.grouped)
        self._earliest = 2 * min((step.offset for step in self.flow.timetable.steps), default=0) - MARGIN

    def add(self, invoices: Iterable[Counted]) -> None:
        for invoice in invoices:
            self.invoices += 1
            alone = not self._joined or invoice.customer != self._customer or len(self._owes) >= MOST_OF_ONE
            if alone:
                self._next_customer()
            self._customer, self._used = invoice.customer, invoice.used
            self._owes.append(self._key(invoice))

    def close(self) -> None:
        self._next_customer()
        self._count_all()

    def _next_customer(self) -> None:
        if self._owes:
            self._alike[_Customer(tuple(self._owes), self._contacted())] += 1
            self._waiting += len(self._owes) if self._joined else 0
            self._owes.clear()
        if self._waiting > MOST_REMEMBERED or len(self._alike) > MOST_REMEMBERED:
            self._count_all()

    def _count_all(self) -> None:
        for customer, times in self._alike.items():
            self._count(customer, times)
        self._alike.clear()
        self._waiting = 0

    def _contacted(self) -> tuple[datetime | None, int, int, int, int]:
        """Only what a cap can still look at: what is long past makes no two customers differ."""
        used, today = self._used, self.now.date()
        if used is None or not self.caps:
            return (None, 0, 0, 0, 0)
        last_at = used.last_at if self.caps.gap and used.last_at > self.now - self.caps.gap else None
        day = (used.day.toordinal(), used.day_n) if used.day >= today - timedelta(days=1) else (0, 0)
        week = (used.week.toordinal(), used.week_n) if used.week > today - timedelta(days=9) else (0, 0)
        return (last_at, *day, *week)

    # --- what makes invoices alike

    def _key(self, invoice: Counted) -> _Alike:
        parts = tuple((part.no, part.due_date) for part in invoice.parts)
        accepted = invoice.accepted_at if self.flow.start is Start.ISSUED_TODAY else None
        plan = (self._issue(invoice), accepted, invoice.zone, invoice.country, parts, invoice.kept, invoice.stopped,
                invoice.broken_n, invoice.broken_at)  # fmt: skip
        verdicts = tuple(self._judged(text, invoice.inputs) for text in self._fixed)
        asked = _Asked(invoice.inputs) if self._moving else None
        return _Alike(plan, invoice.held, invoice.reach, verdicts, asked, invoice.creditor if self._joined else 0)

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

    def _count(self, customer: _Customer, times: int) -> None:
        debts = [self._debt(alike) for alike in customer.owes]
        contacted = Contacted(self.caps, *customer.contacted)
        for fate in Course(self.flow, debts, contacted, now=self.now, until=self.until).run():
            if fate.reason is not None:
                self.skipped[fate.row.step, str(fate.reason)] += times
            elif fate.way is None:
                self.escalations += times if self.flow.step(fate.row.step).escalate else 0
            else:
                self._send(fate, fate.way, times, debts[fate.debt].zone)

    def _send(self, fate: Fate, way: Candidate, times: int, zone: ZoneInfo) -> None:
        if fate.moved:
            self.moved[fate.row.step, fate.moved] += times
        if fate.carrier is not None:
            self.rode_along[fate.row.step] += times
            return
        key = (fate.at.astimezone(zone).date(), way.channel)
        self.sends[key] += times
        self.costs[key] += way.cost * times

    def _debt(self, alike: _Alike) -> Debt:
        issue, _, zone, country, *_ = alike.plan
        return Debt(
            self._forecast(alike),
            issue,
            ZoneInfo(zone),
            country,
            alike.creditor,
            alike.held,
            partial(self._way, alike.reach),
            partial(self._refused, alike),
        )

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

    def _refused(self, alike: _Alike, row: PlannedReminder, at: datetime, sent: int) -> str | None:
        step = self.flow.step(row.step)
        if step.only_if is None or row.leg == THEN_LEG:
            return None
        if not _moves(step.only_if):
            return None if alike.verdicts[self._fixed.index(step.only_if)] else "condition"
        assert alike.asked is not None
        due = row.anchor_date if row.anchor is Anchor.DUE else None
        days = (at.astimezone(ZoneInfo(alike.plan[2])).date() - (due or alike.plan[4][0][1])).days
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
