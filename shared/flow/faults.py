"""What a flow that is well written can still get wrong: one function per kind of fault, each named with its place.

A further kind is a further function in `KINDS`, with its own test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.flow.spec import Flow
    from shared.flow.steps import Step


@dataclass(frozen=True, slots=True)
class Fault:
    place: tuple[str | int, ...]
    detail: str
    input: Any


def faults_of(flow: Flow) -> list[Fault]:
    return [fault for kind in KINDS for fault in kind(flow)]


def _moment(step: Step) -> str:
    return f"on {step.when.on}" if step.when.on else f"after {step.when.after}"


def _named_twice(flow: Flow) -> Iterator[Fault]:
    """two steps with one id"""
    first: dict[str, int] = {}
    for index, step in enumerate(flow.steps):
        if first.setdefault(step.id, index) != index:
            detail = f"step '{step.id}' is already steps[{first[step.id]}]; give each step its own id"
            yield Fault(("steps", index, "id"), detail, step.id)


def _repeats_without_a_date(flow: Flow) -> Iterator[Fault]:
    """a repeat of what comes once"""
    for index, step in enumerate(flow.steps):
        if step.repeat and step.when.anchor != "due":
            detail = f"step '{step.id}' is {_moment(step)}, which comes once; only steps around the due date repeat"
            yield Fault(("steps", index, "repeat"), detail, step.repeat)


def _repeats_after_payment(flow: Flow) -> Iterator[Fault]:
    """a repeat that goes on after the payment"""
    for index, step in enumerate(flow.steps):
        if step.repeat and not step.requires_open:
            detail = f"step '{step.id}' repeats until paid, so it requires an open invoice; remove requires_open: false"
            yield Fault(("steps", index, "requires_open"), detail, step.requires_open)


def _thanks_that_never_go(flow: Flow) -> Iterator[Fault]:
    """a step on payment that requires an open invoice"""
    for index, step in enumerate(flow.steps):
        if step.when.anchor == "payment" and step.requires_open:
            detail = f"step '{step.id}' is {_moment(step)}, when nothing is open any more; say requires_open: false"
            yield Fault(("steps", index, "requires_open"), detail, step.requires_open)


def _repeats_without_end(flow: Flow) -> Iterator[Fault]:
    """a repeat without end"""
    for index, step in enumerate(flow.steps):
        if step.repeat and step.repeat.times is None:
            detail = f"step '{step.id}' repeats without end; say how often in all, such as times: 12"
            yield Fault(("steps", index, "repeat", "times"), detail, None)


def _follows_a_broadcast(flow: Flow) -> Iterator[Fault]:
    """a `then` after a broadcast"""
    for index, step in enumerate(flow.steps):
        if step.then and step.broadcast:
            detail = f"step '{step.id}' is a broadcast, so 'then' would follow several messages; use channels instead"
            yield Fault(("steps", index, "then"), detail, step.then)


def _fallback_of_a_broadcast(flow: Flow) -> Iterator[Fault]:
    """a broadcast with a fallback"""
    for index, step in enumerate(flow.steps):
        if step.broadcast and (step.fallback_after is not None or step.on_uncertain == "next_channel"):
            word = "fallback_after" if step.fallback_after is not None else "on_uncertain"
            detail = (
                f"step '{step.id}' is a broadcast: each of its messages has one channel and no next one; remove {word}"
            )
            yield Fault(("steps", index, word), detail, getattr(step, word))


def _acts_without_a_date(flow: Flow) -> Iterator[Fault]:
    """escalate or stop elsewhere than around the due date"""
    for index, step in enumerate(flow.steps):
        if not step.speaks and step.when.anchor != "due":
            word = "stop" if step.stop else "escalate"
            detail = f"step '{step.id}' is not around the due date; only there a step may say {word}"
            yield Fault(("steps", index, "when"), detail, step.when)


def _acts_without_a_debt(flow: Flow) -> Iterator[Fault]:
    """escalate or stop for who owes nothing"""
    for index, step in enumerate(flow.steps):
        if not step.speaks and not step.requires_open:
            detail = f"step '{step.id}' is about an open invoice; remove requires_open: false"
            yield Fault(("steps", index, "requires_open"), detail, step.requires_open)


def _fallback_at_once(flow: Flow) -> Iterator[Fault]:
    """a fallback before any receipt can come"""
    for index, step in enumerate(flow.steps):
        if step.fallback_after is not None and not step.fallback_after:
            detail = f"step '{step.id}' would fall back before a receipt can come; give fallback_after some time"
            yield Fault(("steps", index, "fallback_after"), detail, step.fallback_after)


def _groups_what_is_alone(flow: Flow) -> Iterator[Fault]:
    """`group: customer` on a step about one invoice"""
    for index, step in enumerate(flow.steps):
        if step.group == "customer" and not step.may_group:
            detail = f"step '{step.id}' is about one invoice, whatever else the customer owes; remove group"
            yield Fault(("steps", index, "group"), detail, step.group)


def _checks_what_nobody_owes(flow: Flow) -> Iterator[Fault]:
    """`on_unknown` on a step that requires no open invoice"""
    for index, step in enumerate(flow.steps):
        if step.on_unknown and not step.requires_open:
            detail = f"step '{step.id}' goes whether or not the invoice is paid, so nobody is asked; remove on_unknown"
            yield Fault(("steps", index, "on_unknown"), detail, step.on_unknown)


def _hours_that_never_meet(flow: Flow) -> Iterator[Fault]:
    """a channel's hours outside the contact window"""
    for channel, own in (flow.channel_windows or {}).items():
        common, hours = flow.contact_window, own.as_window()
        window = common.as_window() if common else hours
        apart = max(window.opens, hours.opens) >= min(window.closes, hours.closes)
        if apart or not window.weekdays & hours.weekdays:
            detail = f"the hours of '{channel}' lie outside the contact window, so it never goes; let them overlap"
            yield Fault(("channel_windows", channel), detail, own)


KINDS: tuple[Callable[[Flow], Iterator[Fault]], ...] = (
    _named_twice,
    _repeats_without_a_date,
    _repeats_after_payment,
    _repeats_without_end,
    _thanks_that_never_go,
    _follows_a_broadcast,
    _fallback_of_a_broadcast,
    _acts_without_a_date,
    _acts_without_a_debt,
    _fallback_at_once,
    _groups_what_is_alone,
    _checks_what_nobody_owes,
    _hours_that_never_meet,
)
