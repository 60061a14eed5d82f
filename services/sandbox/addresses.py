"""The special addresses of the sandbox. Pure: the address alone decides; all other addresses are delivered.

Mail: any domain under `.sandbox.test`; the local part decides, a `+label` behind it is ignored (`bounce+anna@`).
Phones: Twilio's own magic numbers where they exist, and further ones of the same range for what they lack.
"""

from enum import StrEnum

SANDBOX_DOMAIN = "sandbox.test"


class Mailbox(StrEnum):
    DELIVERED = "delivered"
    BOUNCE = "bounce"  # accepted, then a DSN 5.1.1
    SOFT_BOUNCE = "softbounce"  # accepted, then a DSN 4.2.2
    REJECT = "reject"  # 550 at RCPT
    TEMPFAIL = "tempfail"  # 451 at RCPT
    SLOW = "slow"  # accepted, answered seconds later
    COMPLAINT = "complaint"  # accepted, then a feedback report (ARF)
    FORWARDED = "forwarded"  # accepted, then a DSN 5.1.1 of the address that it was sent on to
    OUT_OF_OFFICE = "ooo"  # accepted, then an automatic reply
    DROPPED_DOT = "droppeddot"  # accepted, but the connection breaks before the answer


class Fault(StrEnum):
    """What goes wrong with one request to an HTTP provider."""

    NONE = "none"
    TOO_MANY = "too_many"  # 429, not processed
    SERVER_ERROR = "server_error"  # 500, not processed
    ACCEPT_THEN_ERROR = "accept_then_error"  # processed, answered 500
    HANG = "hang"  # processed, never answered
    DELAY = "delay"  # processed, answered seconds later
    DOUBLE_CALLBACKS = "double_callbacks"
    REORDER_CALLBACKS = "reorder_callbacks"
    NO_CALLBACKS = "no_callbacks"


class CallOutcome(StrEnum):
    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    VOICEMAIL = "voicemail"
    FAILED = "failed"


REFUSED_RECIPIENTS = {"+15005550001": 21211, "+15005550002": 21612, "+15005550004": 21610, "+15005550009": 21614}
REFUSED_SENDERS = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}
UNDELIVERED = {"+15005550003": 30005, "+15005550027": 30003, "+15005550028": 30006}
# On one channel only: blocked by the user; nobody has WhatsApp there; the handset cannot receive RCS.
FAILED_ON = {
    ("whatsapp", "+15005550030"): 63014,
    ("rcs", "+15005550030"): 63014,
    ("whatsapp", "+15005550031"): 63024,
    ("rcs", "+15005550031"): 63106,
}
READS = "+15005550032"  # and tells so, where the channel does
REFUSED_CALLS = {"+15005550001": 21217, "+15005550002": 21214, "+15005550003": 21215, "+15005550004": 21216}
REFUSED_CALLERS = {"+15005550001": 21212, "+15005550007": 21210, "+15005550008": 21210}
FAULTS = {
    "+15005550020": Fault.TOO_MANY,
    "+15005550021": Fault.SERVER_ERROR,
    "+15005550022": Fault.HANG,
    "+15005550023": Fault.DOUBLE_CALLBACKS,
    "+15005550024": Fault.REORDER_CALLBACKS,
    "+15005550025": Fault.ACCEPT_THEN_ERROR,
    "+15005550026": Fault.DELAY,
    "+15005550029": Fault.NO_CALLBACKS,
}
CALLS = {
    "+15005550010": CallOutcome.NO_ANSWER,
    "+15005550011": CallOutcome.BUSY,
    "+15005550012": CallOutcome.VOICEMAIL,
    "+15005550018": CallOutcome.FAILED,
}
KEYS = {"+15005550013": "1", "+15005550015": "3", "+15005550016": "9", "+15005550017": "21"}

_MAILBOXES = {box.value: box for box in Mailbox}


def mailbox(address: str) -> Mailbox:
    local, _, domain = address.rpartition("@")
    domain = domain.lower().rstrip(".")
    if domain != SANDBOX_DOMAIN and not domain.endswith("." + SANDBOX_DOMAIN):
        return Mailbox.DELIVERED
    return _MAILBOXES.get(local.lower().partition("+")[0], Mailbox.DELIVERED)


def keys_of(number: str) -> list[str]:
    """Pressed one after the other, each when the call asks."""
    return list(KEYS.get(number, ""))


def call_outcome(number: str) -> CallOutcome:
    return CALLS.get(number, CallOutcome.ANSWERED)
