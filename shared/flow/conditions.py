"""Conditions of steps, in CEL: read, bounded and tried when a flow is read, judged when a reminder is due.

What must stay true:
- an expression reaches nothing but `invoice`, `customer`, `history` and `days_past_due`, and cannot loop;
- whatever it does, judging it gives a verdict: a condition that fails on some data (an attribute that this customer
  does not have) does not hold, and the verdict says why.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import cel

LONGEST = 500
FAILURES = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)  # all that judging can raise
NAMES = ("invoice", "customer", "history", "days_past_due")
_LOOPS = re.compile(r"\b(all|exists|exists_one|existsOne|map|filter|transform\w*|sortBy|bind)\s*\(")
_ATTRIBUTE = r"""attributes\s*(\.\s*|\[\s*["']){name}\b"""


@dataclass(frozen=True, slots=True)
class ConditionInputs:
    """What an expression may read. Amounts become CEL doubles; attributes are the caller's own JSON values.

    `sent`: how many of the invoice's messages went out before; `last_outcome`: what became of the latest of them, a
    state of an attempt such as 'delivered' or 'undelivered', '' before the first; `promises_broken`: how many.
    """

    open_amount: Decimal
    amount: Decimal
    currency: str
    days_past_due: int
    invoice_attributes: Mapping[str, Any] = field(default_factory=dict)
    customer_attributes: Mapping[str, Any] = field(default_factory=dict)
    customer_id: str = ""
    locale: str = ""
    timezone: str = ""
    country: str = ""
    sent: int = 0
    last_outcome: str = ""
    promises_broken: int = 0

    @classmethod
    def example(cls, days_past_due: int) -> "ConditionInputs":
        return cls(Decimal(100), Decimal(100), "EUR", days_past_due)

    def on_day(self, days_past_due: int, sent: int) -> "ConditionInputs":
        """The same invoice later, after so many messages that all arrived."""
        return replace(self, days_past_due=days_past_due, sent=sent, last_outcome="delivered" if sent else "")

    def as_variables(self) -> dict[str, Any]:
        return {
            "invoice": {
                "open_amount": float(self.open_amount),
                "amount": float(self.amount),
                "currency": self.currency,
                "attributes": dict(self.invoice_attributes),
            },
            "customer": {
                "id": self.customer_id,
                "locale": self.locale,
                "timezone": self.timezone,
                "country": self.country,
                "attributes": dict(self.customer_attributes),
            },
            "history": {
                "sent": self.sent,
                "last_outcome": self.last_outcome,
                "promises_broken": self.promises_broken,
            },
            "days_past_due": self.days_past_due,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """`detail` explains a condition that does not hold, for the decision on the timeline."""

    holds: bool
    detail: str


# Tried when a flow is activated: the right side of && and || is judged with some of them only.
_EXAMPLE = ConditionInputs.example(1)
_OTHERS = (
    ConditionInputs(Decimal(0), Decimal("0.01"), "EUR", -400, locale="es", country="ES"),
    ConditionInputs(
        Decimal(10**9), Decimal(10**9), "USD", 400, {}, {}, "c", "en-US", "UTC", "US", 99, "undelivered", 9
    ),
)


def judge(expression: str, inputs: ConditionInputs) -> Verdict:
    try:
        result = _compiled(expression).execute(inputs.as_variables())
    except FAILURES as error:
        return Verdict(False, f"{expression}: cannot be judged, {error!s:.200}")
    if result is True:
        return Verdict(True, f"{expression}: true")
    return Verdict(False, f"{expression}: {'false' if result is False else 'not true or false'}")


def check(expression: str) -> str:
    """The expression itself; ValueError says what is wrong with it."""
    if len(expression) > LONGEST:
        raise ValueError(f"a condition has at most {LONGEST} characters, this one has {len(expression)}")
    if _LOOPS.search(expression) or "//" in expression:
        raise ValueError("a condition cannot loop (all, exists, map, filter, ...) or hold comments")
    try:
        program = _compiled(expression)
    except ValueError as error:
        raise ValueError(f"not a CEL expression: {_first_fault(error)}") from None
    for name in program.variables():
        if name not in NAMES:
            raise ValueError(f"unknown name '{name}'; a condition knows {', '.join(NAMES)}")
    _try(expression, program, _EXAMPLE)
    return expression


def trouble(expression: str) -> str | None:
    """What an expression that `check` lets pass does on other data, if that cannot work."""
    try:
        for example in _OTHERS:
            _try(expression, _compiled(expression), example)
    except ValueError as error:
        return str(error)
    return None


def _try(expression: str, program: "cel.Program", example: ConditionInputs) -> None:
    try:
        result = program.execute(example.as_variables())
    except KeyError as missing:
        name = str(missing.args[0])
        if re.search(_ATTRIBUTE.format(name=re.escape(name)), expression):
            return  # attributes are the ERP's own: which ones there are is not known here
        raise ValueError(f"invoice, customer and history have no field '{name}'") from None
    except FAILURES as error:
        raise ValueError(f"cannot be judged: {error!s:.200}") from None
    if not isinstance(result, bool):
        raise ValueError(f"a condition is true or false, this one gives {result!r:.50}")


def reads(expression: str) -> frozenset[str]:
    """Which of invoice, customer, history and days_past_due decide."""
    return frozenset(_compiled(expression).variables())


def _first_fault(error: ValueError) -> str:
    found = re.search(r"Syntax error: ([^\n]{0,80})", str(error))
    return found.group(1) if found else "it cannot be read"


@lru_cache(maxsize=1024)
def _compiled(expression: str) -> "cel.Program":
    import cel  # lazy: it brings a command line along, and who plans no reminder judges no condition

    return cel.compile(expression)
