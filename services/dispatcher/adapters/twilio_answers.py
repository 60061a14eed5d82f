"""What Twilio's errors and callbacks mean. Pure.

What must stay true: only an answer of Twilio can say that nothing went; a fault of our own account never counts against
a recipient, and a fault of a recipient never stops the channel. Codes: https://www.twilio.com/docs/api/errors
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

import httpx
from twilio.base.exceptions import TwilioRestException, TwilioServiceException

from services.dispatcher.adapters.twilio_http import TooManyRequests
from services.dispatcher.domain.outcomes import (
    Accepted,
    Delivered,
    Engaged,
    Engagement,
    Missed,
    NotSent,
    Outcome,
    Receipt,
    Rejected,
    SuppressReason,
    Unknown,
)
from services.dispatcher.domain.ports import TOO_LATE, GateClosed, Replied, Report, Reported

# 63014: the recipient blocked the sender, or took back the consent.
_OPTED_OUT = frozenset({21610, 30004, 63014})
# 63003, 63024: nobody has WhatsApp (or what it is) at this number.
_BAD_NUMBER = frozenset({21211, 21217, 21401, 21421, 21614, 21635, 30005, 30006, 63003, 63024})
# 20001: a parameter that Twilio does not know.
_OURS = frozenset(
    {
        20001,
        20003,
        20005,
        20008,
        20404,
        21210,
        21212,
        21215,
        21219,
        21408,
        21603,
        21606,
        21607,
        21659,
        21660,
        30002,
        30032,
    }
    | {30034, 63001, 63002, 63007, 63020, 63022}
)
# 63010, 63012: the channel's own trouble; 63018: its rate limit.
_LATER = frozenset({30001, 30003, 63010, 63012, 63018})
_SENDER_QUEUE_FULL = 21611
_MEANING = {
    63016: "no approved content template was used outside the 24-hour window",
    63027: "the content template does not exist in this language",
    63028: "the content template takes other variables",
    63106: "the handset cannot receive RCS",
}


def classify(error: Exception, *, written: bool) -> Outcome:
    """Before the first byte of the request nothing was sent; after it only an answer can say so."""
    text = f"{type(error).__name__}: {error}"[:300]
    match error:
        case GateClosed():
            return NotSent(str(error))
        case httpx.PoolTimeout():
            return NotSent(f"{TOO_LATE}: no connection came free")
        case TooManyRequests():
            return NotSent(text, retry_in=error.retry_in)
        case TwilioRestException() if error.status < 500:
            return classify_code(error.code or 0, f"{error.status} {error.code}: {error.msg}"[:300], error.status)
        case TwilioServiceException() if error.status < 500:
            return classify_code(error.code, f"{error.status} {error.code}: {error.title}"[:300], error.status)
        case _:
            return Unknown(text) if written else NotSent(text)


def classify_code(code: int, detail: str, status: int = 400) -> Outcome:
    """Twilio's error code, from the answer to a request or from a callback."""
    if code in _OPTED_OUT:
        return Rejected(detail, str(code), SuppressReason.OPTED_OUT)
    if code in _BAD_NUMBER:
        return Rejected(detail, str(code), SuppressReason.INVALID)
    if code == _SENDER_QUEUE_FULL:
        return NotSent(detail, retry_in=timedelta(minutes=1))
    if code in _OURS or status < 400 or status in (401, 403, 404):
        return NotSent(detail, misconfigured=True)
    if code in _LATER:
        return Missed(detail)
    return Rejected(detail, str(code))


def read_messages(report: Report, channel: str) -> Sequence[Reported | Replied]:
    """What a callback about messages tells of this channel; nothing when it is another's."""
    params, attempt = report.form, report.query.get("attempt", "")
    if params.get("SmsStatus") == "received":
        return [reply] if (reply := read_reply(params)).channel == channel else []
    if "MessageStatus" not in params or channel_of(params.get("To", "")) != channel:
        return []
    return [Reported(attempt, word) for word in read_callback(params)]


def read_callback(params: Mapping[str, str]) -> list[Receipt]:
    """What a status callback tells; nothing for a status on the way (queued, sending). Read is more than delivered."""
    sid, status = params.get("MessageSid", ""), params.get("MessageStatus", "")
    number = params.get("ErrorCode", "")
    code = int(number) if number.isascii() and number.isdigit() else 0
    said = params.get("ErrorMessage") or _MEANING.get(code, "")
    detail = " ".join(filter(None, (status, number, said)))[:300]
    match status:
        case "read":
            return [Delivered(sid, detail), Engaged(Engagement.OPENED)]
        case "delivered":
            return [Delivered(sid, detail)]
        case "sent":
            return [Accepted(sid, detail)]
        case "undelivered" | "failed":
            outcome = classify_code(code, detail)
            return [outcome if isinstance(outcome, Missed | Rejected) else Rejected(detail, number)]
        case _:
            return []


def read_reply(params: Mapping[str, str]) -> Replied:
    """A customer's message to us. Twilio says itself what it took for STOP or START."""
    sender = params.get("From", "")
    stopped = {"STOP": True, "START": False}.get(params.get("OptOutType", ""))
    text = params.get("Body", "").replace("\0", "")  # no database keeps that one
    return Replied(channel_of(sender), params.get("MessageSid", ""), sender.rpartition(":")[2], text, stopped)


def channel_of(address: str) -> str:
    """`whatsapp:+49...` is WhatsApp's, a bare number is an SMS's."""
    return address.rpartition(":")[0] or "sms"
