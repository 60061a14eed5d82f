"""What a flow that is well written can still get wrong: one function per kind of fault, each named with its place.

A further kind is a further function in `KINDS`, with its own test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.flow.spec import Flow


@dataclass(frozen=True, slots=True)
class Fault:
    place: tuple[str | int, ...]
    detail: str
    input: Any


def faults_of(flow: Flow) -> list[Fault]:
    return [fault for kind in KINDS for fault in kind(flow)]


def _named_twice(flow: Flow) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for index, step in enumerate(flow.steps):
        if first.setdefault(step.id, index) != index:
            detail = f"step '{step.id}' is already steps[{first[step.id]}]; give each step its own id"
            yield Fault(("steps", index, "id"), detail, step.id)


def _repeats_without_a_date(flow: Flow) -> Iterator[Fault]:
    for index, step in enumerate(flow.steps):
        if step.repeat and step.when.anchor != "due":
            detail = f"step '{step.id}' is on {step.when.on}, which comes once; only steps around the due date repeat"
            yield Fault(("steps", index, "repeat"), detail, step.repeat)


def _repeats_after_payment(flow: Flow) -> Iterator[Fault]:
    for index, step in enumerate(flow.steps):
        if step.repeat and not step.requires_open:
            detail = f"step '{step.id}' repeats until paid, so it requires an open invoice; remove requires_open: false"
            yield Fault(("steps", index, "requires_open"), detail, step.requires_open)


def _thanks_that_never_go(flow: Flow) -> Iterator[Fault]:
    for index, step in enumerate(flow.steps):
        if step.when.anchor == "payment" and step.requires_open:
            detail = f"step '{step.id}' is on payment, when nothing is open any more; say requires_open: false"
            yield Fault(("steps", index, "requires_open"), detail, step.requires_open)


def _fallback_at_once(flow: Flow) -> Iterator[Fault]:
    for index, step in enumerate(flow.steps):
        if step.fallback_after is not None and not step.fallback_after:
            detail = f"step '{step.id}' would fall back before a receipt can come; give fallback_after some time"
            yield Fault(("steps", index, "fallback_after"), detail, step.fallback_after)


KINDS: tuple[Callable[[Flow], Iterator[Fault]], ...] = (
    _named_twice,
    _repeats_without_a_date,
    _repeats_after_payment,
    _thanks_that_never_go,
    _fallback_at_once,
)
