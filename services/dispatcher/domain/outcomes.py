"""What became of one hand-off. Exactly one of these comes out of every send, and each says what may follow.

Accepted: the provider has it. Unknown: nobody can tell, so it is never sent again by itself. Rejected: this
address or message, definitely not taken: next channel. NotSent: definitely not taken, same channel again later.
Missed: taken, but the person was not reached this time (busy, handset off): same channel again, with spacing.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class SuppressReason(StrEnum):
    INVALID = "invalid"
    BOUNCED = "bounced"
    OPTED_OUT = "opted_out"
    COMPLAINED = "complained"


class Engagement(StrEnum):
    """What a person did with a message: kept apart from whether it arrived, and never taken for it."""

    OPENED = "opened"
    CLICKED = "clicked"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Accepted:
    """`receipt_within`: how soon the provider tells its end, where nothing may follow before that (a call)."""

    provider_ref: str
    detail: str = ""
    receipt_within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    detail: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """`suppress` says that the address must not be used on this channel again."""

    detail: str
    code: str = ""
    suppress: SuppressReason | None = None


@dataclass(frozen=True, slots=True)
class NotSent:
    """`retry_in` is the provider's wish; `misconfigured` means that no other recipient would fare better."""

    detail: str
    retry_in: timedelta | None = None
    misconfigured: bool = False


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not taken: the customer's own server says later. Counted, so that one that says so for ever is given up."""

    detail: str
    retry_in: timedelta


@dataclass(frozen=True, slots=True)
class Missed:
    """`retry_in`, `limit`, `per_day`: when again, how often at all, how often in 24 hours; None: as everywhere.
    `units`: how much it was of what was reckoned as one (minutes of a call); None: one."""

    detail: str
    retry_in: timedelta | None = None
    limit: int | None = None
    per_day: int | None = None
    units: int | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """Only receipts say this: the provider handed it over. `unheard`: what it is instead if nobody is known to have
    listened (a call that ended without ever reaching a person)."""

    provider_ref: str
    detail: str = ""
    units: int | None = None
    unheard: Missed | None = None


@dataclass(frozen=True, slots=True)
class Engaged:
    """Only receipts say this, too."""

    kind: Engagement
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Only receipts say this, too: it arrived, and none may follow."""

    detail: str
    suppress: SuppressReason


Outcome = Accepted | Unknown | Rejected | NotSent | Deferred | Missed
Receipt = Accepted | Delivered | Rejected | Missed | Engaged | Unwanted
