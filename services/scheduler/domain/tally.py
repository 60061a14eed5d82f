"""The dry run's count: customers who would be treated alike are counted, and treated once.

What must stay true:
- customers share a course only when nothing that it depends on differs; where neither a message nor a cap joins a
  customer's invoices, each invoice stands for itself;
- memory does not grow with the number of invoices: what is remembered is bounded, what is counted is days and reasons.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from services.scheduler.domain.alike import MOST_REMEMBERED, Alike, Alikes, Counted, Likeness, Reach, Used, make_room
from services.scheduler.domain.contacted import Contacted
from services.scheduler.domain.course import Course
from services.scheduler.domain.debts import Debt, Fate
from services.scheduler.domain.forecast import forecast
from services.scheduler.domain.planned import MAIN_LEG, THEN_LEG, Installment, InvoiceFacts, PlannedReminder
from shared.flow import Anchor, Flow
from shared.kernel.caps import NO_CAPS, Caps
from shared.routing import Candidate, Offer, route

MOST_OF_ONE = 5_000  # invoices of a customer that are looked at together; what a further one owes is as if another's


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
    _alike: Counter[Alikes] = field(default_factory=Counter)
    _waiting: int = 0
    _customer: int = 0
    _used: Used | None = None
    _owes: list[Alike] = field(default_factory=list)
    _plans: dict[tuple[Any, ...], tuple[PlannedReminder, ...]] = field(default_factory=dict)
    _routes: dict[tuple[Any, ...], tuple[Candidate | None, str]] = field(default_factory=dict)
    _likeness: Likeness = field(init=False)

    def __post_init__(self) -> None:
        self.caps = self.caps.within(self.flow.caps)
        self._likeness = Likeness(self.flow, self.caps, self.now)

    def add(self, invoices: Iterable[Counted]) -> None:
        for invoice in invoices:
            self.invoices += 1
            alone = not self._likeness.joined or invoice.customer != self._customer or len(self._owes) >= MOST_OF_ONE
            if alone:
                self._next_customer()
            self._customer, self._used = invoice.customer, invoice.used
            self._owes.append(self._likeness.of(invoice))

    def close(self) -> None:
        self._next_customer()
        self._count_all()

    def _next_customer(self) -> None:
        if self._owes:
            self._alike[self._likeness.customer(self._owes, self._used)] += 1
            self._waiting += len(self._owes) if self._likeness.joined else 0
            self._owes.clear()
        if self._waiting > MOST_REMEMBERED or len(self._alike) > MOST_REMEMBERED:
            self._count_all()

    def _count_all(self) -> None:
        for customer, times in self._alike.items():
            self._count(customer, times)
        self._alike.clear()
        self._waiting = 0

    def _count(self, customer: Alikes, times: int) -> None:
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

    def _debt(self, alike: Alike) -> Debt:
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
            make_room(self._routes)
            channels = self.flow.step(row.step).channels_of(row.leg)
            ways = route(channels, reach.points, self.offers, suppressed=dict(reach.suppressed),
                         preferred_channel=reach.preferred)  # fmt: skip
            provided = any(channel in self.offers for channel in channels)
            reason = "no_usable_contact" if provided else "no_provider"
            found = self._routes[key] = (ways.candidates[0] if ways.candidates else None, reason)
        return found

    def _refused(self, alike: Alike, row: PlannedReminder, at: datetime, sent: int) -> str | None:
        step = self.flow.step(row.step)
        if step.only_if is None or row.leg == THEN_LEG:
            return None
        due = row.anchor_date if row.anchor is Anchor.DUE else None
        days = (at.astimezone(ZoneInfo(alike.plan[2])).date() - (due or alike.plan[4][0][1])).days
        return "condition" if self._likeness.refuses(step.only_if, alike, days, sent) else None

    def _forecast(self, alike: Alike) -> tuple[PlannedReminder, ...]:
        found = self._plans.get(alike.plan)
        if found is None:
            make_room(self._plans)
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
