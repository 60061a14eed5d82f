"""Reads a mail as its recipient sees it: decoded subject, bodies, what is attached and what the html shows. Never raises on
odd mail."""

import re
from datetime import datetime
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message as Mime
from hashlib import sha256

from services.sandbox.store import Attachment, Message, Picture

SHOWN = ("image/png", "image/jpeg", "image/gif")
OURS = re.compile(r"r(?P<reminder>\d+)\.\d+(?:\.[0-9a-f]+)?@")


def read_mail(raw: bytes, to: str, sent_at: datetime) -> Message:
    mime = message_from_bytes(raw)
    message_id = str(mime.get("Message-ID", "")).strip().strip("<>")
    ours = OURS.match(message_id)
    leaves = [part for part in mime.walk() if not part.is_multipart()]
    bodies = [part for part in leaves if not _is_attachment(part)]
    return Message(
        message_id=message_id,
        channel="email",
        to=to,
        sent_at=sent_at,
        subject=_decoded(mime.get("Subject")),
        text=_body(bodies, "text/plain") or "",
        html=_body(bodies, "text/html"),
        attachments=tuple(_attachment(part) for part in leaves if _is_attachment(part) and not _is_picture(part)),
        pictures=tuple(_picture(part) for part in leaves if _is_picture(part)),
        reminder_id=int(ours["reminder"]) if ours else None,
    )


def headers_of(raw: bytes, limit: int = 8_192) -> str:
    """The header block, as reports quote it."""
    head = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0]
    return head[:limit].decode("utf-8", "replace").replace("\r\n", "\n") + "\n"


def _is_attachment(part: Mime) -> bool:
    return part.get_content_disposition() == "attachment" or part.get_content_maintype() != "text"


def _is_picture(part: Mime) -> bool:
    return part.get_content_type() in SHOWN and "Content-ID" in part and part.get_content_disposition() != "attachment"


def _body(parts: list[Mime], media_type: str) -> str | None:
    for part in parts:
        if part.get_content_type() == media_type:
            return _text(part)
    return None


def _bytes(part: Mime) -> bytes:
    data = part.get_payload(decode=True)
    return data if isinstance(data, bytes) else b""


def _text(part: Mime) -> str:
    raw = _bytes(part)
    try:
        text = raw.decode(part.get_content_charset("utf-8"), "replace")
    except LookupError:
        text = raw.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")


def _attachment(part: Mime) -> Attachment:
    return Attachment(_decoded(part.get_filename()) or "", part.get_content_type(), len(_bytes(part)))


def _picture(part: Mime) -> Picture:
    content_id, content = str(part["Content-ID"]).strip().strip("<>"), _bytes(part)
    name = _decoded(part.get_filename()) or ""
    return Picture(content_id, name, part.get_content_type(), len(content), sha256(content).hexdigest(), content)


def _decoded(value: object) -> str | None:
    if value is None:
        return None
    text = re.sub(r"\r?\n(?=[ \t])", "", str(value))
    try:
        return str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return text
