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


@dataclass(frozen=True, slots=True)
class Accepted:
    provider_ref: str
    detail: str = ""


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
    detail: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """Only receipts say this: the provider handed it over."""

    provider_ref: str
    detail: str = ""


Outcome = Accepted | Unknown | Rejected | NotSent | Deferred | Missed
Receipt = Accepted | Delivered | Rejected | Missed
