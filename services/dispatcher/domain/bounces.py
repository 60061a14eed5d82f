"""What a mail to the bounce address says about the mail that caused it.

Hard only on evidence that the address itself is dead: the enhanced code (RFC 3463) first, then the server's words.
Anything else that failed is soft. An automatic reply is never a bounce, nor is a challenge (a filter that asks the sender
to prove that it is a person: nobody answers, a clerk may), and "still trying" changes nothing.
Which attempt is meant comes from the signed return path, never from the content.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from enum import StrEnum
from itertools import islice

from flufl.bounce import all_failures

_READ_BYTES = 512 * 1024
_READ_PARTS = 40
_READ_TEXT = 20_000

_HARD_CODES = frozenset({"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.1", "5.4.4"})
_VAGUE_CODES = frozenset({"", "5.0.0", "5.5.0", "5.3.0", "5.7.1", "5.7.0"})
_SOFT_WORDS = re.compile(
    r"quota|mailbox (is )?full|over ?(its )?limit|insufficient (disk|system|storage)|spam|blocked|"
    r"black ?list|blocklist|"
    r"reputation|policy|dmarc|spf|dkim|content|virus|too (large|big|many)|size (limit|exceed)|temporar|try again|"
    r"greylist|timed? ?out|rate limit|deferred|loop",
    re.IGNORECASE,
)
_HARD_WORDS = re.compile(
    r"(user|recipient|mailbox|address|account|alias|member) ?(name)? ?(is |was |has been |does )?"
    r"(unknown|not (found|exist|known|valid|listed|available|local)|invalid|unavailable|disabled|deactivated|"
    r"inactive|closed|"
    r"rejected|suspended|no longer)|"
    r"(no such|unknown|invalid|non-?existent|bad destination|not a valid) (local )?"
    r"(user|recipient|mailbox|address|account|email)|"
    r"(does not|doesn't|not) exist|no mailbox (here|by that)|not our customer|"
    r"host (or domain name )?(unknown|not found)|"
    r"domain (name )?not found|unrouteable address|nullmx|does not accept mail",
    re.IGNORECASE,
)
_ENHANCED = re.compile(r"(?<![\d.])([245]\.\d{1,2}\.\d{1,3})(?![\d.])")
_REPLY_CODE = re.compile(r"(?<![\d.-])(4[25][0-9]|55[0-4])(?=[ \-#:])")
_AWAY_SUBJECT = re.compile(
    r"out of (the )?office|automatic reply|auto[- ]?reply|auto[- ]?response|on vacation|away from|"
    r"fuera de (la )?oficina|"
    r"respuesta autom|resposta autom|ausente|aus[eê]ncia|abwesen|automatische antwort|absence|r[eé]ponse automatique",
    re.IGNORECASE,
)
_CHALLENGE_SUBJECT = re.compile(
    r"(confirm|verif\w*|validate|authenticate) (your |this |the )?(e-?mail|message|delivery|sender|identity|address)|"
    r"(sender|message) (verification|confirmation|authorization)|challenge|are you (a )?human|"
    r"waiting for (your )?(approval|verification)|to deliver your (e-?mail|message)|"
    r"confirme? (su|seu|sua|el) (correo|mensaje|e-?mail|mensagem)",
    re.IGNORECASE,
)
_CHALLENGERS = (
    "X-Boxbe-Message-ID",
    "X-Spamarrest-Noauth",
    "X-TMDA-Challenge",
    "X-Qurb-Challenge",
    "X-ChoiceMail-Registration-Request",
)
_QUOTED = re.compile(r"(?im)^-+ ?(?:this is a copy|original message|message header|returned message)")
_DAEMON = re.compile(r"mailer-daemon|postmaster|mail delivery|bounce|no-?reply@.*mail", re.IGNORECASE)


class BounceKind(StrEnum):
    """DELAYED, CHALLENGE and UNKNOWN change nothing about the attempt; the last two are kept for a person to look at."""

    HARD = "hard"
    SOFT = "soft"
    DELAYED = "delayed"
    OUT_OF_OFFICE = "out_of_office"
    COMPLAINT = "complaint"
    CHALLENGE = "challenge"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Bounce:
    """`code` is an enhanced or a reply code, `address` the one that failed where the report names it."""

    kind: BounceKind
    detail: str
    code: str = ""
    address: str = ""


def classify(raw: bytes) -> Bounce:
    """Never raises: a mail that cannot be read is UNKNOWN."""
    try:
        return _classify(message_from_bytes(raw[:_READ_BYTES]))
    except Exception as error:  # noqa: BLE001
        # Hostile or broken mail reaches this from anywhere; a crash here would make its sender retry for days.
        return Bounce(BounceKind.UNKNOWN, f"unreadable: {type(error).__name__}")


def judge(enhanced: str, text: str) -> BounceKind:
    """HARD or SOFT for a definite failure with this code and these words."""
    if enhanced.startswith("4"):
        return BounceKind.SOFT
    if enhanced in _HARD_CODES:
        return BounceKind.SOFT if enhanced in ("5.1.0", "5.4.1", "5.2.1") and _soft(text) else BounceKind.HARD
    if enhanced in _VAGUE_CODES and _HARD_WORDS.search(text) and not _soft(text):
        return BounceKind.HARD
    return BounceKind.SOFT


def _soft(text: str) -> bool:
    return _SOFT_WORDS.search(text) is not None


def _classify(mail: Message) -> Bounce:
    parts = list(islice(mail.walk(), _READ_PARTS))
    kinds = {part.get_content_type() for part in parts}
    if "message/feedback-report" in kinds:
        return Bounce(BounceKind.COMPLAINT, _clip(str(mail.get("Subject", "feedback report"))))
    for report in _reports(parts):
        return report
    if _is_challenge(mail):
        return Bounce(BounceKind.CHALLENGE, _clip(str(mail.get("Subject", ""))))
    if _is_automatic_reply(mail):
        return Bounce(BounceKind.OUT_OF_OFFICE, _clip(str(mail.get("Subject", ""))))
    return _from_words(mail, parts)


def _reports(parts: list[Message]) -> Iterator[Bounce]:
    """What each recipient block of a delivery status says; the first failure counts, else the first of any kind."""
    blocks = [
        block
        for part in parts
        if part.get_content_type() == "message/delivery-status" and part.is_multipart()
        for block in part.get_payload()
        if isinstance(block, Message) and block.get("Action")
    ]
    blocks.sort(key=lambda block: not _action(block).startswith(("fail", "error")))
    return map(_from_block, blocks)


def _action(block: Message) -> str:
    return str(block.get("Action", "")).strip().lower()


def _from_block(block: Message) -> Bounce:
    action, said = _action(block), _clip(str(block.get("Diagnostic-Code", "")))
    status = _first(_ENHANCED, str(block.get("Status", "")))
    address = str(block.get("Original-Recipient") or block.get("Final-Recipient") or "").rpartition(";")[2].strip(" <>")
    # Gateways often write a vague status over the precise one that the last server gave.
    code = _first(_ENHANCED, said) or status if status in _VAGUE_CODES else status
    if action.startswith(("fail", "error")):
        return Bounce(judge(code, said), _clip(f"{action} {said}"), code, address)
    if action.startswith("delayed"):
        return Bounce(BounceKind.DELAYED, _clip(f"{action} {said}"), code, address)
    return Bounce(BounceKind.UNKNOWN, _clip(f"{action} {said}"), code, address)


def _is_automatic_reply(mail: Message) -> bool:
    submitted = str(mail.get("Auto-Submitted", "")).lower()
    precedence = str(mail.get("Precedence", "")).lower()
    marked = any(name in mail for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Response-Suppress-Reply"))
    away = _AWAY_SUBJECT.search(str(mail.get("Subject", ""))) is not None
    by_person = _DAEMON.search(str(mail.get("From", ""))) is None
    return marked or away or precedence == "auto_reply" or (submitted.startswith("auto-replied") and by_person)


def _is_challenge(mail: Message) -> bool:
    by_person = _DAEMON.search(str(mail.get("From", ""))) is None
    asks = _CHALLENGE_SUBJECT.search(str(mail.get("Subject", ""))) is not None
    return (
        any(name in mail for name in _CHALLENGERS)
        or "tmda" in str(mail.get("X-Delivery-Agent", "")).lower()
        or (asks and by_person)
    )


def _from_words(mail: Message, parts: list[Message]) -> Bounce:
    """Servers without the standard report: only what they say themselves counts, not the mail they quote."""
    said = _own_words(parts)
    temporary, permanent = all_failures(mail)
    address = next(iter(sorted(permanent | temporary)), b"").decode("ascii", "replace")
    code = _first(_ENHANCED, said) or _first(_REPLY_CODE, said)
    if not address and not (code and _DAEMON.search(str(mail.get("From", "")))):
        return Bounce(BounceKind.UNKNOWN, _clip(str(mail.get("Subject", ""))))
    if temporary and not permanent:
        return Bounce(BounceKind.DELAYED, _clip(said), code, address)
    enhanced = code if "." in code else ("4.0.0" if code.startswith("4") else "")
    return Bounce(judge(enhanced, said), _clip(said), code, address)


def _own_words(parts: list[Message]) -> str:
    for part in parts:
        if part.get_content_type() in ("text/plain", "text/html"):
            payload = part.get_payload(decode=True)
            text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
            return _QUOTED.split(text[:_READ_TEXT], maxsplit=1)[0]
    return ""


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(1) if found else ""


def _clip(text: str) -> str:
    return " ".join(text.split())[:300]
