"""One entry of a flow: a message, or what happens instead of one.

What must stay true: `channels` are tried one after the other until one takes the message, `broadcast` goes over all of
them at once; a step has one of the two and never both.
"""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, model_validator

from shared.flow import conditions
from shared.flow.notation import Duration
from shared.flow.when import Anchor, Part, Repeat, When
from shared.routing.channels import ChannelName

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$")]
MAIN_LEG, THEN_LEG = "", "then"
MOST_TOGETHER = 100  # reminders on one message; more of a customer go in a second one: a claim locks them all
ONLY_MESSAGES = ("channels", "broadcast", "then", "attach", "fallback_after", "on_uncertain", "repeat", "group")


def _some_distinct(channels: tuple[ChannelName, ...]) -> tuple[ChannelName, ...]:
    if not channels:
        raise ValueError("name at least one channel")
    if len(set(channels)) < len(channels):
        raise ValueError("a channel is named twice; each is tried once, so name it once")
    return channels


# Counted after reading and not by Field(min_length): pydantic would also count the faulty ones as missing.
Channels = Annotated[tuple[ChannelName, ...], AfterValidator(_some_distinct), Field(json_schema_extra={"minItems": 1})]
Condition = Annotated[str, AfterValidator(conditions.check), Field(json_schema_extra={"maxLength": conditions.LONGEST})]
Sentence = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class OnUncertain(StrEnum):
    ASSUME_SENT = "assume_sent"
    RESEND = "resend"
    NEXT_CHANNEL = "next_channel"


class OnUnknown(StrEnum):
    """What happens to a reminder while nobody can say whether it is paid. Without it the payment source says."""

    HOLD = "hold"
    SEND = "send"


class Group(StrEnum):
    """Whether one message speaks of all that a customer owes a creditor, or each of one invoice."""

    CUSTOMER = "customer"
    NONE = "none"


class Then(Part):
    """Follows the step once it ended, once per occurrence."""

    message: Name
    channels: Channels


class Escalate(Part):
    """Hands the invoice to a person: a task on its timeline, `invoice.escalated`, told to whoever listens."""

    to: Sentence
    note: Sentence | None = None


class Step(Part):
    id: Name
    when: When
    repeat: Repeat | None = None
    only_if: Condition | None = None
    message: Name | None = None
    attach: Literal["document"] | None = None
    channels: Channels | None = None
    broadcast: Channels | None = None
    then: Then | None = None
    requires_open: StrictBool = True
    fallback_after: Duration | None = None
    on_uncertain: OnUncertain | None = None
    on_unknown: OnUnknown | None = None
    group: Group | None = None
    escalate: Escalate | None = None
    stop: Literal[True] | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        done = [name for name in ("message", "escalate", "stop") if getattr(self, name) is not None]
        if len(done) != 1:
            raise ValueError(f"say exactly one of message, escalate, stop; found {', '.join(done) or 'none'}")
        if self.message is not None and (self.channels is None) == (self.broadcast is None):
            found = "both" if self.channels else "none"
            raise ValueError(f"say channels (one after the other) or broadcast (all at once); found {found}")
        odd = [name for name in ONLY_MESSAGES if self.message is None and getattr(self, name) is not None]
        if odd:
            raise ValueError(f"'{done[0]}' sends nothing and takes no {', '.join(odd)}; remove it")
        return self

    @property
    def speaks(self) -> bool:
        """Whether it sends something, rather than calling a person or ending the follow-up."""
        return self.message is not None

    @property
    def legs(self) -> tuple[str, ...]:
        """The rows that one occurrence of it is: one, or one for each channel of a broadcast."""
        return tuple(self.broadcast) if self.broadcast else (MAIN_LEG,)

    def channels_of(self, leg: str) -> tuple[ChannelName, ...]:
        """What is tried for this leg, one after the other."""
        if leg == THEN_LEG and self.then is not None:
            return self.then.channels
        if self.broadcast:
            return (leg,)
        return self.channels or ()

    def message_of(self, leg: str) -> str:
        return self.then.message if leg == THEN_LEG and self.then is not None else self.message or ""

    @property
    def when_uncertain(self) -> OnUncertain:
        """The delivery goes again under the same Message-ID; a reminder is rather taken as sent than doubled."""
        if self.on_uncertain is not None:
            return self.on_uncertain
        return OnUncertain.RESEND if self.when.on == "issue" else OnUncertain.ASSUME_SENT

    @property
    def may_group(self) -> bool:
        """A delivery, a thank-you and the answer to a broken promise are about one invoice, whatever else is owed."""
        return self.speaks and self.requires_open and self.when.anchor is Anchor.DUE

    @property
    def urgent(self) -> bool:
        """The due-day step and the thank-you; a `then` is urgent too."""
        return self.when.on in ("due", "payment")
