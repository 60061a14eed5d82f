"""What makes invoices and customers alike for the dry run: all that decides what happens to them, and nothing else."""

from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from services.scheduler.domain.debts import Held
from services.scheduler.domain.planned import Installment, RowKey
from shared.flow import ConditionInputs, Flow, Start, judge
from shared.flow.conditions import reads
from shared.kernel.caps import Caps
from shared.routing import ContactPoint

LONG_AGO = date(1971, 1, 4)
MOST_REMEMBERED = 20_000
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


class Alike(NamedTuple):
    """What decides about an invoice; `asked` is kept only where a condition looks at more than the invoice itself."""

    plan: tuple[Any, ...]
    held: Held | None
    reach: Reach
    verdicts: tuple[bool, ...]
    asked: "Asked | None"
    creditor: int


class Alikes(NamedTuple):
    """Customers who are treated alike: what each owes, and how often each was contacted so far, as in `Contacted`."""

    owes: tuple[Alike, ...]
    contacted: tuple[datetime | None, int, int, int, int]


class Asked:
    """Inputs as part of a key: compared by what they say. Attributes have no hash of their own."""

    __slots__ = ("_said", "inputs")

    def __init__(self, inputs: ConditionInputs) -> None:
        self.inputs = inputs
        self._said = repr(inputs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asked) and self._said == other._said

    def __hash__(self) -> int:
        return hash(self._said)


class Likeness:
    """Under one flow and these caps, from `now` on. `joined`: what a customer owes goes together; else each invoice stands
    for itself."""

    def __init__(self, flow: Flow, caps: Caps, now: datetime) -> None:
        conditions = dict.fromkeys(step.only_if for step in flow.steps if step.only_if is not None)
        self.joined = bool(caps or flow.grouped)
        self._flow = flow
        self._caps = caps
        self._now = now
        self._fixed = tuple(text for text in conditions if not _moves(text))
        self._moving = len(self._fixed) < len(conditions)
        after_issue = any(step.when.after == "issue" for step in flow.steps)
        self._from_issue = after_issue or flow.start is Start.ISSUED_TODAY
        self._earliest = 2 * min((step.offset for step in flow.timetable.steps), default=0) - MARGIN
        self._verdicts: dict[tuple[Any, ...], bool] = {}

    def of(self, invoice: Counted) -> Alike:
        parts = tuple((part.no, part.due_date) for part in invoice.parts)
        accepted = invoice.accepted_at if self._flow.start is Start.ISSUED_TODAY else None
        plan = (self._issue(invoice), accepted, invoice.zone, invoice.country, parts, invoice.kept, invoice.stopped,
                invoice.broken_n, invoice.broken_at)  # fmt: skip
        verdicts = tuple(self.holds(text, invoice.inputs) for text in self._fixed)
        asked = Asked(invoice.inputs) if self._moving else None
        return Alike(plan, invoice.held, invoice.reach, verdicts, asked, invoice.creditor if self.joined else 0)

    def customer(self, owes: list[Alike], used: Used | None) -> Alikes:
        return Alikes(tuple(owes), self._contacted(used))

    def refuses(self, condition: str, alike: Alike, days_past_due: int, sent: int) -> bool:
        """On that day, after so many messages."""
        if not _moves(condition):
            return not alike.verdicts[self._fixed.index(condition)]
        assert alike.asked is not None
        return not self.holds(condition, alike.asked.inputs.on_day(days_past_due, sent))

    def _contacted(self, used: Used | None) -> tuple[datetime | None, int, int, int, int]:
        """Only what a cap can still look at: what is long past makes no two customers differ."""
        today = self._now.date()
        if used is None or not self._caps:
            return (None, 0, 0, 0, 0)
        last_at = used.last_at if self._caps.gap and used.last_at > self._now - self._caps.gap else None
        day = (used.day.toordinal(), used.day_n) if used.day >= today - timedelta(days=1) else (0, 0)
        week = (used.week.toordinal(), used.week_n) if used.week > today - timedelta(days=9) else (0, 0)
        return (last_at, *day, *week)

    def _issue(self, invoice: Counted) -> date:
        """Long ago, where the plan cannot depend on it: an old issue date before all that is around the due dates."""
        first = min(part.due_date for part in invoice.parts) + timedelta(days=min(self._earliest, 0))
        old = invoice.issue_date < self._now.date() - timedelta(days=1) and invoice.issue_date <= first
        return LONG_AGO if old and not self._from_issue else invoice.issue_date

    def holds(self, expression: str, inputs: ConditionInputs) -> bool:
        key = (expression, inputs.open_amount, inputs.amount, inputs.currency, inputs.days_past_due, inputs.sent,
               inputs.locale, inputs.country, str(inputs.invoice_attributes), str(inputs.customer_attributes),
               inputs.customer_id if "customer.id" in expression else "", inputs.promises_broken)  # fmt: skip
        found = self._verdicts.get(key)
        if found is None:
            make_room(self._verdicts)
            found = self._verdicts[key] = judge(expression, inputs).holds
        return found


@lru_cache(maxsize=256)
def _moves(expression: str) -> bool:
    """Whether its verdict may change while the invoice stays as it is."""
    return bool(reads(expression) & {"days_past_due", "history"})


def make_room(kept: dict[Any, Any]) -> None:
    if len(kept) >= MOST_REMEMBERED:
        kept.clear()
