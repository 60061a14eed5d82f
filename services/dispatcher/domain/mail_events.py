"""What mail services report about a mail, in one vocabulary, and what each word means for the attempt. Pure.

True here: an open or a click is noted and moves nothing; a complaint or an unsubscription says that the mail arrived and
that none may follow; only evidence that the address is dead bars it as bounced.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.dispatcher.domain.bounces import BounceKind, judge
from services.dispatcher.domain.outcomes import (
    Delivered,
    Engaged,
    Engagement,
    Missed,
    Receipt,
    Rejected,
    SuppressReason,
    Unwanted,
)
from services.dispatcher.domain.ports import Reported


class MailEvent(StrEnum):
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    REJECTED = "rejected"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    OPENED = "opened"
    CLICKED = "clicked"


@dataclass(frozen=True, slots=True)
class Happened:
    """`code` and `detail`: of a bounce, what the server said; `permanent`: the service's own judgement, where it has
    one; `barred`: why the service itself refuses the address."""

    attempt_id: str
    kind: MailEvent
    detail: str = ""
    code: str = ""
    permanent: bool | None = None
    barred: SuppressReason | None = None


def reported(happened: Happened) -> Reported | None:
    """None: it says only that the mail is still on its way."""
    word = meaning(happened)
    return None if word is None else Reported(happened.attempt_id, word)


def meaning(happened: Happened) -> Receipt | None:
    detail = " ".join(filter(None, (happened.code, happened.detail)))[:300]
    match happened.kind:
        case MailEvent.DELIVERED:
            return Delivered("", detail)
        case MailEvent.DEFERRED:
            return None
        case MailEvent.BOUNCED:
            hard = is_hard(happened)
            return Rejected(detail, suppress=SuppressReason.BOUNCED) if hard else Missed(detail)
        case MailEvent.REJECTED:
            return Rejected(detail, suppress=happened.barred)
        case MailEvent.COMPLAINED:
            return Unwanted(detail, SuppressReason.COMPLAINED)
        case MailEvent.UNSUBSCRIBED:
            return Unwanted(detail, SuppressReason.OPTED_OUT)
        case MailEvent.OPENED:
            return Engaged(Engagement.OPENED)
        case MailEvent.CLICKED:
            return Engaged(Engagement.CLICKED)


def is_hard(happened: Happened) -> bool:
    """The server's own words count, where there are any; a service calls more permanent than is."""
    if happened.permanent is False:
        return False
    if happened.code:
        return judge(happened.code, happened.detail) is BounceKind.HARD
    return happened.permanent is True


def text(value: Any) -> str:
    """Of a field that should be text, bounded."""
    return " ".join(value.split())[:300] if isinstance(value, str) else ""
