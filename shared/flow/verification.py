"""Whether a flow may be activated: everything that is wrong with it or odd about it, at once, each with its place.

What must stay true: pure; a finding says which step, what is wrong and what to do; errors refuse the flow, warnings do
not; the flows that are shipped have neither. What a flow cannot even be read with stands in `faults`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from shared.flow import faults
from shared.flow.checks_of_habits import HABITS
from shared.flow.checks_of_pace import PACE, PACE_HABITS
from shared.flow.checks_of_reach import REACH, REACH_HABITS
from shared.flow.checks_of_time import TIME
from shared.flow.ground import Ground
from shared.flow.pace import WorstCase, worst_case
from shared.flow.spec import Flow

Place = tuple[str | int, ...]
Check = Callable[[Flow, Ground], Iterator[tuple[Place, str]]]


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """`kind` is a name for programs, `detail` a sentence for people."""

    kind: str
    place: Place
    detail: str


@dataclass(frozen=True, slots=True)
class Verified:
    errors: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    worst: WorstCase


def verify(flow: Flow, ground: Ground) -> Verified:
    unread = tuple(Finding(kind_of(kind), one.place, one.detail) for kind in faults.KINDS for one in kind(flow))
    return Verified(unread + _found(ERRORS, flow, ground), _found(WARNINGS, flow, ground), worst_case(flow, ground))


def _found(checks: tuple[Check, ...], flow: Flow, ground: Ground) -> tuple[Finding, ...]:
    return tuple(Finding(kind_of(check), *found) for check in checks for found in check(flow, ground))


def kind_of(check: Callable[..., object]) -> str:
    """'wrong_order' is called 'wrong-order'."""
    return check.__name__.strip("_").replace("_", "-")


def kinds() -> list[tuple[str, Severity, str]]:
    """(kind, severity, what it means) of all that is looked for, those that no flow can be read with first."""
    known: list[tuple[Severity, tuple[Callable[..., object], ...]]] = [
        (Severity.ERROR, faults.KINDS),
        (Severity.ERROR, ERRORS),
        (Severity.WARNING, WARNINGS),
    ]
    return [(kind_of(check), severity, (check.__doc__ or "").strip()) for severity, checks in known for check in checks]


ERRORS: tuple[Check, ...] = (*TIME, *PACE, *REACH)
WARNINGS: tuple[Check, ...] = (*REACH_HABITS, *PACE_HABITS, *HABITS)
