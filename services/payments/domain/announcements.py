"""What the ERP is told of what happened: which entries of the timeline become which outgoing events.

True here: an entry always becomes the same events, so deriving it again adds nothing; an event carries refs, codes and
amounts, never a name, an address or a provider's words. `EVENTS` is the whole list; its texts are the API's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "invoice.delivered": "the invoice reached the customer; `proof` is a receipt, or that the channel's provider took it",
        "invoice.paid": "nothing is owed any more",
        "invoice.reopened": "something is owed again",
        "invoice.void": "the invoice was declared void",
        "invoice.uncollectible": "the invoice was given up",
        "invoice.escalated": "the flow hands the invoice to a person",
        "reminder.delivered": "a reminder reached the customer; `proof` as above",
        "reminder.failed": "no channel is left for a reminder, or for the invoice itself",
        "payment.received": "money came in",
        "payment.pending": "money is on its way",
        "payment.failed": "money that was on its way does not come",
        "payment.reversed": "money was taken back",
        "fees.written_off": "what a bank kept of the money was written off; `amount` is all that is written off of the invoice now",
        "fees.taken_back": "nothing is written off any more: `amount` was",
        "payment.claimed": "the customer says that it is paid",
        "promise.made": "the customer promised to pay",
        "promise.kept": "a promised day ended and enough had come",
        "promise.broken": "a promised day passed without the payment",
        "dispute.raised": "the customer disputes the invoice",
        "contact.invalid": "an address does not work; `reason` says why",
        "contact.opted_out": "the customer does not want messages on these channels",
        "contact.restored": "an address may be used again",
        "customer.replied": "the customer answered",
        "customer.preferences": "the customer chose a language or a channel",
        "endpoint.test": "asked for by `POST /v1/webhook-endpoints/{id}/test`",
    }
)
TEST = "endpoint.test"
_SAME_NAME = (
    "invoice.paid", "invoice.reopened", "invoice.void", "invoice.uncollectible", "invoice.escalated", "payment.pending",
    "payment.failed", "payment.reversed", "promise.kept", "promise.broken", "contact.opted_out", "contact.restored",
    "customer.preferences", "fees.written_off", "fees.taken_back",
)  # fmt: skip
_RENAMED = {"payment.confirmed": "payment.received", "reply.received": "customer.replied"}
_HOLDS = {"promise": "promise.made", "dispute": "dispute.raised", "said_paid": "payment.claimed"}
_FAILURES = ("attempt.rejected", "attempt.undelivered", "attempt.notsent", "reminder.failed")
_OPTED_OUT = "opted_out"
_KEPT_BACK = ("detail", "fence", "suppressed", "hold")


@dataclass(frozen=True, slots=True)
class Happened:
    """An entry of the timeline with what it speaks of. `fence`: the reminder's current attempt; `final`: the
    provider took this attempt, and its channel promises no receipt."""

    id: int
    kind: str
    at: datetime
    data: Mapping[str, Any]
    lane: int | None
    invoice_ref: str | None
    customer_ref: str | None
    installment_no: int | None
    step: str | None
    leg: str | None
    occurrence: int | None
    anchor: str | None
    state: str | None
    fence: int | None
    final: bool


@dataclass(frozen=True, slots=True)
class Announcement:
    event_id: int
    type: str
    at: datetime
    lane: int | None
    data: dict[str, Any]


def announce(entry: Happened) -> Iterator[Announcement]:
    """None, one, or two: a bounce may tell of an address and of a reminder."""
    for kind, more in KINDS[entry.kind](entry):
        yield Announcement(entry.id, kind, entry.at, entry.lane, _data(entry) | more)


Told = Iterator[tuple[str, dict[str, Any]]]


def _same(entry: Happened) -> Told:
    yield _RENAMED.get(entry.kind, entry.kind), {}


def _hold(entry: Happened) -> Told:
    if kind := _HOLDS.get(str(entry.data.get("hold"))):
        yield kind, {}


def _accepted(entry: Happened) -> Told:
    if entry.final:
        yield _arrived(entry), {"proof": "accepted"}


def _delivered(entry: Happened) -> Told:
    yield _arrived(entry), {"proof": "receipt"}


def _failed(entry: Happened) -> Told:
    if reason := entry.data.get("suppressed"):
        yield "contact.opted_out" if reason == _OPTED_OUT else "contact.invalid", {"reason": reason}
    mine = entry.data.get("fence", entry.fence) == entry.fence
    if entry.state == "failed" and mine:
        yield "reminder.failed", {}


def _arrived(entry: Happened) -> str:
    return "invoice.delivered" if entry.anchor == "issue" else "reminder.delivered"


def _data(entry: Happened) -> dict[str, Any]:
    said = {name: value for name, value in entry.data.items() if name not in _KEPT_BACK and value is not None}
    facts = {
        "invoice_id": entry.invoice_ref,
        "customer_id": entry.customer_ref,
        "installment": entry.installment_no,
        "step": f"{entry.step}.{entry.leg}" if entry.leg == "then" else entry.step,
        "occurrence": entry.occurrence,
    }
    return said | {name: value for name, value in facts.items() if value is not None}


KINDS: Mapping[str, Callable[[Happened], Told]] = MappingProxyType(
    {
        **dict.fromkeys((*_SAME_NAME, *_RENAMED), _same),
        **dict.fromkeys(_FAILURES, _failed),
        "attempt.accepted": _accepted,
        "attempt.delivered": _delivered,
        "hold.placed": _hold,
    }
)
"""The entries that may be announced, and how."""
