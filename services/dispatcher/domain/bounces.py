"""What a mail to the bounce address says about the mail that caused it.

Hard only on evidence that the address itself is dead: the enhanced code (RFC 3463) and the server's words
(bounce_words.py). Anything else that failed is soft. An automatic reply is never a bounce, nor is a challenge (a filter
that asks the sender to prove that it is a person: nobody answers, a clerk may), and "still trying" changes nothing.
Which attempt is meant comes from the signed return path, else from our own signed Message-ID that a report repeats.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from email import message_from_bytes, message_from_string
from email.header import decode_header, make_header
from email.message import Message
from enum import StrEnum
from itertools import islice

from flufl.bounce import all_failures

from services.dispatcher.domain.bounce_words import (
    ASKS_WHO_WE_ARE,
    AWAY,
    FAILED,
    GONE,
    OTHERWISE,
    STILL_TRYING,
    plain,
    reason,
    says,
)

_READ_BYTES = 512 * 1024
_READ_PARTS = 40
_READ_TEXT = 20_000
_READ_SENDER = 1000
_READ_LINES = 2000  # for words that no standard orders: read line by line, by many readers

# RFC 3463: the address or its domain is dead; full, too large, content; all others say too little without words.
# (5.7.17 and 5.7.18: RFC 7293, another owner now; 5.4.310: Exchange, no such domain).
_HARD_CODES = frozenset(
    {"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "5.4.1", "5.4.4", "5.4.310", "5.7.17", "5.7.18"}
)
_SOFT_CODES = frozenset({"5.2.2", "5.2.3", "5.2.4", "5.3.4", "5.6.0"})
_VAGUE_CODES = frozenset({"", "5.0.0", "5.5.0", "5.3.0", "5.7.1", "5.7.0"})
_ENHANCED = re.compile(r"(?<![\d.])([45]\.\d{1,2}\.\d{1,3})(?![\d.])")
_REPLY_CODE = re.compile(r"(?<![\d.-])(4[25][0-9]|55[0-4])(?=[ \-#:])")
_CHALLENGERS = (
    "X-Boxbe-Message-ID",
    "X-Spamarrest-Noauth",
    "X-TMDA-Challenge",
    "X-Qurb-Challenge",
    "X-ChoiceMail-Registration-Request",
)
_QUOTED = re.compile(
    r"(?im)^[^\w\n]*(?:this is a copy|here is a copy|below this line|enclosed is a copy|attachment is a copy|the header of the"
    r"|(?:start of )?(?:original|returned|unsent) (?:message|mail)|message (?:header|text|body)|header of the source mail"
    r"|received: |return-path: |mime-version: )"
)
_QUOTED_LINE = re.compile(r"(?im)^[^\w\n]*(?:subject|asunto|assunto|betreff|objet): .*")
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
    """`code` is an enhanced or a reply code, `address` the one that failed where the report names it, `final` the same where
    a standard report names it, `original` the Message-ID of the mail that came back, as the report repeats it."""

    kind: BounceKind
    detail: str
    code: str = ""
    address: str = ""
    final: str = ""
    original: str = ""


def classify(raw: bytes) -> Bounce:
    """Never raises: a mail that cannot be read is UNKNOWN."""
    try:
        parts = list(islice(message_from_bytes(raw[:_READ_BYTES]).walk(), _READ_PARTS))
        return replace(_classify(raw, parts), original=_original(parts))
    except Exception as error:  # noqa: BLE001
        # Hostile or broken mail reaches this from anywhere; a crash here would make its sender retry for days.
        return Bounce(BounceKind.UNKNOWN, f"unreadable: {type(error).__name__}")


def sent_on(mailed: str, failed: str) -> bool:
    """Whether a report is about another mailbox than the one that was written to, which only sends its mails on to it. A
    host of the same domain is no other one, nor is the address without the label behind its plus."""
    own, own_domain = _mailbox(mailed)
    other, domain = _mailbox(failed)
    if not other:
        return False
    related = domain == own_domain or domain.endswith(f".{own_domain}") or own_domain.endswith(f".{domain}")
    return other != own or not related


def _mailbox(address: str) -> tuple[str, str]:
    """Local part and domain as they are compared; both empty where there are none."""
    local, _, domain = address.partition("(")[0].strip(" <>").lower().rpartition("@")
    local, domain = local.strip('"'), domain.rstrip(".")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return (local.partition("+")[0], domain) if local and domain else ("", "")


def judge(enhanced: str, text: str) -> BounceKind:
    """HARD or SOFT for a definite failure with this code and these words; where they differ, the code decides."""
    if enhanced.startswith("4") or enhanced in _SOFT_CODES:
        return BounceKind.SOFT
    words = plain(text)
    gone, otherwise = reason(words, GONE), reason(words, OTHERWISE)
    if bool(gone) == bool(otherwise):
        return BounceKind.HARD if enhanced in _HARD_CODES else BounceKind.SOFT
    return BounceKind.HARD if gone else BounceKind.SOFT


def _original(parts: list[Message]) -> str:
    """Only of the headers that a report carries as a part of its own; what a text quotes may be anything."""
    for part in parts[1:]:
        kind, payload = part.get_content_type(), part.get_payload()
        inner = payload[0] if kind == "message/rfc822" and isinstance(payload, list) and payload else None
        if kind == "text/rfc822-headers":
            inner = message_from_string(str(payload))
        if isinstance(inner, Message) and inner.get("Message-ID"):
            return _clip(str(inner["Message-ID"]))
    return ""


def _classify(raw: bytes, parts: list[Message]) -> Bounce:
    mail = parts[0]
    subject = _subject(mail)
    if any(part.get_content_type() == "message/feedback-report" for part in parts):
        return Bounce(BounceKind.COMPLAINT, subject)
    said = _own_words(parts)
    if _is_challenge(mail, subject, said):
        return Bounce(BounceKind.CHALLENGE, subject)
    for report in _reports(parts, said):
        return report
    if _is_automatic_reply(mail, subject):
        return Bounce(BounceKind.OUT_OF_OFFICE, subject)
    return _from_words(raw, mail, subject, said)


def _reports(parts: list[Message], said: str) -> Iterator[Bounce]:
    """What each recipient block of a delivery status says; the first failure counts, else the first of any kind."""
    blocks = [
        block
        for part in parts
        if part.get_content_type() == "message/delivery-status" and part.is_multipart()
        for block in part.get_payload()
        if isinstance(block, Message) and block.get("Action")
    ]
    blocks.sort(key=lambda block: not _action(block).startswith(("fail", "error")))
    return (_from_block(block, said) for block in blocks)


def _action(block: Message) -> str:
    return str(block.get("Action", "")).strip().lower()


def _from_block(block: Message, said: str) -> Bounce:
    action, diagnostic = _action(block), str(block.get("Diagnostic-Code", ""))[:_READ_TEXT]
    status = str(block.get("Status", ""))[:_READ_TEXT]
    final = _recipient(block, "Final-Recipient")
    address = _recipient(block, "Original-Recipient") or final
    code = _first(_ENHANCED, status)
    # Gateways often write a vague status over the precise one that the last server gave.
    if code in _VAGUE_CODES:
        code = _first(_ENHANCED, diagnostic) or code
    detail = _clip(f"{action} {diagnostic}")
    if action.startswith(("fail", "error")):
        # A code that says enough is not overruled by its own explanation, nor by what the text for people quotes.
        reason_given = diagnostic if code in _HARD_CODES else _telling(diagnostic, _telling(status, said))
        return Bounce(judge(code, reason_given), detail, code, address, final)
    kind = BounceKind.DELAYED if action.startswith("delayed") else BounceKind.UNKNOWN
    return Bounce(kind, detail, code, address, final)


def _recipient(block: Message, field: str) -> str:
    return _clip(str(block.get(field) or "")).rpartition(";")[2].strip(" <>")


def _telling(first: str, then: str) -> str:
    """The first of two texts that gives a reason, such as what a report says for machines and then for people."""
    words = plain(first)
    return first if reason(words, GONE) or reason(words, OTHERWISE) else then


def _is_automatic_reply(mail: Message, subject: str) -> bool:
    submitted = str(mail.get("Auto-Submitted", "")).lower()
    precedence = str(mail.get("Precedence", "")).lower()
    marked = any(name in mail for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Response-Suppress-Reply"))
    away = says(plain(subject), AWAY)
    return (
        marked or away or precedence == "auto_reply" or (submitted.startswith("auto-replied") and not _by_server(mail))
    )


def _is_challenge(mail: Message, subject: str, said: str) -> bool:
    if any(name in mail for name in _CHALLENGERS) or "tmda" in str(mail.get("X-Delivery-Agent", "")).lower():
        return True
    return not _by_server(mail) and says(plain(f"{subject} {said}"), ASKS_WHO_WE_ARE)


def _by_server(mail: Message) -> bool:
    return _DAEMON.search(str(mail.get("From", ""))[:_READ_SENDER]) is not None


def _from_words(raw: bytes, mail: Message, subject: str, said: str) -> Bounce:
    """Servers without the standard report: only what they say themselves counts, not the mail they quote."""
    words, title = plain(said), plain(subject)
    temporary, permanent = all_failures(_beginning(raw)) if mail.get("From", "").strip() else (set(), set())
    address = _clip(next(iter(sorted(permanent | temporary)), b"").decode("ascii", "replace"))
    code = _first(_ENHANCED, said) or _first(_REPLY_CODE, said)
    if (temporary and not permanent) or says(words, STILL_TRYING):
        return Bounce(BounceKind.DELAYED, _clip(said), code, address)
    reported = says(words, FAILED) and (_by_server(mail) or reason(words, GONE) or reason(words, OTHERWISE))
    failed = address or says(title, FAILED) or reported or (code and _by_server(mail))
    if not failed:
        return Bounce(BounceKind.UNKNOWN, subject)
    enhanced = code if "." in code else ("4.0.0" if code.startswith("4") else "")
    # The subject often repeats that of the mail that came back: it counts only where the text tells nothing.
    return Bounce(judge(enhanced, _telling(said, subject)), _clip(said), code, address)


def _beginning(raw: bytes) -> Message:
    return message_from_bytes(b"\n".join(raw[:_READ_BYTES].split(b"\n", _READ_LINES)[:_READ_LINES]))


def _own_words(parts: list[Message]) -> str:
    for part in parts:
        if part.get_content_type() in ("text/plain", "text/html"):
            payload = part.get_payload(decode=True)
            text = _decoded(payload, part.get_content_charset("utf-8")) if isinstance(payload, bytes) else ""
            return _QUOTED_LINE.sub("", _QUOTED.split(text[:_READ_TEXT], maxsplit=1)[0])
    return ""


def _decoded(payload: bytes, charset: str) -> str:
    with suppress(LookupError, UnicodeDecodeError):
        return payload.decode(charset)
    return payload.decode("latin-1")


def _subject(mail: Message) -> str:
    """In plain words; as it stands where it cannot be decoded."""
    text = str(mail.get("Subject", ""))
    with suppress(LookupError, ValueError):
        text = str(make_header(decode_header(text)))
    return _clip(text)


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(1) if found else ""


def _clip(text: str) -> str:
    """One line that a database takes: no NUL, no half characters."""
    return " ".join(text.replace("\0", " ").encode("utf-8", "replace").decode().split())[:300]
