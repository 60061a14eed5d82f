"""What the dispatcher asks of a channel.

A channel never decides whether a message may go: it checks the gate right before the hand-off and reports one
outcome. It raises nothing but CancelledError, and it never sends twice by itself once a provider may have taken it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from time import monotonic
from typing import ClassVar, Protocol, runtime_checkable

from services.dispatcher.domain.outcomes import Outcome, Receipt
from shared.content import Attachment, MessageFacts, Rendered
from shared.routing import ContactKind, Traits, traits_of

TOO_LATE = "hand-off window over"
LONGEST = 600.0  # seconds for a client whose hand-offs have limits of their own (`Gate.within`)


class GateClosed(Exception):
    """The hand-off window of this claim is over; nothing was handed over."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Open until `window - margin` seconds after the claim began (D and C of the protocol).

    `claimed_at` is monotonic() taken before the claim's transaction: a payment's answer waits one window,
    so nothing may leave after it. `timeout`: seconds for the hand-off as a whole, where the deployment says so.
    """

    claimed_at: float
    window: float
    margin: float
    timeout: float | None = None

    def within(self, own: float) -> float:
        """Seconds that a hand-off may last; `own`: of the channel's settings. Only the channel can tell what a hand-off
        that took too long had come to."""
        return own if self.timeout is None else self.timeout

    def check(self) -> None:
        late = monotonic() - self.claimed_at - (self.window - self.margin)
        if late > 0:
            raise GateClosed(f"{TOO_LATE} by {late:.3f} s, not sent")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One attempt, complete: the channel looks nothing up.

    `attempt_id` is "reminder.fence"; `message_id` (with angle brackets) stays the same when a mail is sent again;
    `return_path` is where bounces of this attempt go; `callback_url` is where receipts go, to which a
    channel adds `/<provider>?attempt=<attempt_id>`. `message` is the text's name; `followed` says that another message
    comes after this one, which the customer may ask for at once (key 1 in a call). `answered_at`: when the customer last
    wrote on this channel, before the claim, for a channel that heeds it.
    """

    attempt_id: str
    message_id: str
    to_address: str
    facts: MessageFacts
    rendered: Rendered
    return_path: str
    callback_url: str
    sent_at: datetime
    attachment: Attachment | None = None
    message: str = ""
    followed: bool = False
    answered_at: datetime | None = None


class NotSigned(Exception):
    """A report that its provider has not signed: nothing of it is believed."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider posted: `url` as the provider called it, header names in lower case, `body` as it came; `form`
    is empty where the body is none."""

    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    form: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reported:
    """A word about one attempt, "reminder.fence" as it was sent with."""

    attempt_id: str
    word: Receipt


@dataclass(frozen=True, slots=True)
class Replied:
    """A customer's own words. `stopped`: the provider itself took them for STOP (True) or START (False)."""

    channel: str
    provider_ref: str
    address: str
    text: str
    stopped: bool | None = None


@runtime_checkable
class Reporting(Protocol):
    """A provider that tells later what became of a message, and what customers answered."""

    provider: ClassVar[str]

    def read_report(self, report: Report) -> Sequence[Reported | Replied]:
        """Raises NotSigned."""


@runtime_checkable
class Preparing(Protocol):
    """A provider whose reports need something fetched before they can be judged."""

    async def prepare(self, report: Report) -> None:
        """Raises NotSigned, or Unavailable where the provider shall come again."""


@runtime_checkable
class Answering(Protocol):
    """A provider that hands the customer a text in its answer to a reply."""

    def answer(self, text: str) -> tuple[str, str]:
        """(media type, body)."""


class Key(StrEnum):
    """What a key of the telephone asks for."""

    PAY_LINK = "pay_link"
    REPEAT = "repeat"
    PERSON = "person"
    OPT_OUT = "opt_out"


@dataclass(frozen=True, slots=True)
class Turn:
    """The provider asks what to do next in a call. `word`: what this tells about the attempt; `document`: the answer, to
    be given only after what `key` asks for is done."""

    attempt_id: str
    word: Receipt | None
    key: Key | None
    document: str


@runtime_checkable
class Conversing(Protocol):
    """A channel that talks: the provider asks for each next thing to say."""

    provider: ClassVar[str]

    def read_turn(self, report: Report) -> Turn:
        """Raises NotSigned."""


class Channel(Protocol):
    """One provider of one channel. `concurrency` is how many sends it takes at once. A channel may have several: each has
    a `provider` name of its own, and where their number is a matter of settings `all_from_settings` makes them."""

    name: ClassVar[str]

    @property
    def provider(self) -> str: ...

    @classmethod
    def from_settings(cls) -> "Channel | None":
        """From DUNNOCK_* of the environment; None where it is not configured, ValueError where wrongly."""

    @property
    def concurrency(self) -> int: ...

    def price(self, to_address: str) -> Decimal:
        """Of one message (one segment) to this address."""

    def cost(self, outgoing: Outgoing) -> Decimal:
        """Of this very message."""

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome: ...

    async def probe(self) -> bool:
        """Whether the provider answers right now; never raises."""

    async def close(self) -> None: ...


def traits(channel: Channel) -> Traits:
    """What the channel is to the rest of the house: a name that is known, or what the adapter itself says (`reaches`, and
    `only_where_named`, `discreet` where they hold)."""
    reaches: ContactKind | None = getattr(channel, "reaches", None)
    if reaches is None:
        try:
            return traits_of(channel.name)
        except KeyError:
            raise TypeError(f"{type(channel).__name__}.reaches is missing: say which ContactKind it reaches") from None
    return Traits(reaches, getattr(channel, "only_where_named", False), getattr(channel, "discreet", False))


def takes_browsers(channel: Channel) -> bool:
    """Whether a customer's browser can subscribe to it: it has a key to subscribe with."""
    return getattr(channel, "public_key", None) is not None


def heeds_answers(channel: Channel) -> bool:
    """Whether what it may send depends on when the customer last wrote (`Outgoing.answered_at`)."""
    return bool(getattr(channel, "heeds_answers", False))


def promises_receipts(channel: Channel) -> bool:
    """Whether the absence of a receipt says something. The adapter may know better (`receipts`) than that it reads some."""
    return bool(getattr(channel, "receipts", isinstance(channel, Reporting)))
