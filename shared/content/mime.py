"""A mail as bytes, without asking the standard library for each one.

The library builds the structure once per shape; per mail only bodies and checked headers are filled in.
What must stay true: the result is 7-bit, CRLF, has no line over 998 bytes and none that starts with a dot,
and parses back to exactly what was given. No value can start a header or a part of its own: header values with
line breaks are refused, a body with the boundary's `=_` in it is encoded, and encoded bodies never contain it.
"""

import binascii
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import cache, lru_cache
from typing import Protocol

from shared.content.facts import Rendered
from shared.content.pictures import Picture

_TEXT, _HTML, _BOUNDARY = "TEXT-GOES-HERE", "HTML-GOES-HERE", "=_dunnock_{}_="
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,200}@[A-Za-z0-9.-]{1,253}>")
_MARK = re.compile(r"X-[A-Za-z-]{1,40}: [\x21-\x7e][\x20-\x7e]{0,200}", re.ASCII)
_LINK = re.compile(r"https?://[!-;=?-~]{1,900}")
_PLAIN_WORDS = re.compile(r"[ !#-\[\]-~]{1,60}")
_SAFE_FILENAME = re.compile(r"[A-Za-z0-9_()+,-][A-Za-z0-9 ._()+,-]{0,80}")
_MEDIA_TYPE = re.compile(r"(?!multipart/|message/)[A-Za-z0-9][A-Za-z0-9.+-]{0,60}/[A-Za-z0-9][A-Za-z0-9.+-]{0,100}")
_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_PRINTABLE = bytes(range(0x20, 0x7F)) + b"\t\n"
_LONGEST_LINE = 998
_WORD_BYTES = 45  # of UTF-8 in one encoded word: 60 characters of base64 + 12 of frame < 75


class HeaderRefused(ValueError):
    """A header value that could break out of its line or is not what its header needs."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file; `digest` is its content hash, under which the encoded form is kept for the next mail."""

    filename: str
    media_type: str
    content: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class MailHeaders:
    """`message_id` with its angle brackets, the same for a mail that is sent again; `opt_out_url` for one click; `mark`: one
    more header, whole, for the service that carries the mail."""

    message_id: str
    date: datetime
    from_name: str
    from_address: str
    to_name: str
    to_address: str
    reply_to: str | None = None
    opt_out_url: str | None = None
    mark: str = ""


def build_mail(headers: MailHeaders, rendered: Rendered, attachment: Attachment | None = None) -> bytes:
    """The whole mail, ready for DATA without the final dot."""
    text, text_encoding = _body(rendered.text)
    html, html_encoding = (b"", None) if rendered.html is None else _body(rendered.html)
    before, between, after = _skeleton(text_encoding, html_encoding, bool(rendered.pictures), attachment is not None)
    parts = [_header_block(headers, rendered.subject), before, text, between, html, after]
    if rendered.pictures:
        parts[5:5] = [part for picture in rendered.pictures for part in _inline(picture)]
    if attachment is not None:
        parts += (_part_headers(attachment.filename, attachment.media_type), _ENCODED.of(attachment), _END)
    return b"".join(parts)


def _header_block(headers: MailHeaders, subject: str) -> bytes:
    lines = [
        "Date: " + _date(headers.date.replace(microsecond=0)),
        "Message-ID: " + _checked(_MESSAGE_ID, headers.message_id, "Message-ID"),
        "From: " + _mailbox(headers.from_name, headers.from_address),
        "To: " + _mailbox(headers.to_name, headers.to_address),
    ]
    if headers.reply_to:
        lines.append("Reply-To: " + _checked(_ADDRESS, headers.reply_to, "Reply-To"))
    lines.append("Subject: " + _unstructured(subject, "Subject"))
    if headers.opt_out_url:
        lines.append("List-Unsubscribe: <" + _checked(_LINK, headers.opt_out_url, "List-Unsubscribe") + ">")
        lines.append("List-Unsubscribe-Post: List-Unsubscribe=One-Click")
    if headers.mark:
        lines.append(_checked(_MARK, headers.mark, "a mark"))
    lines.append("Auto-Submitted: auto-generated\r\n")
    return "\r\n".join(lines).encode("ascii")


def _checked(pattern: re.Pattern[str], value: str, header: str) -> str:
    if pattern.fullmatch(value) is None:
        raise HeaderRefused(f"{header} cannot be {value[:80]!r}")
    return value


def _no_control(value: str, header: str) -> None:
    if _CONTROL.search(value):
        raise HeaderRefused(f"{header} may not contain line breaks or control characters: {value[:80]!r}")


@lru_cache(maxsize=64)
def _date(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC))


@lru_cache(maxsize=4096)
def _mailbox(name: str, address: str) -> str:
    _checked(_ADDRESS, address, "an address")
    _no_control(name, "a display name")
    name = " ".join(name.split())
    if not name:
        return address
    return f"{_phrase(name)}\r\n <{address}>"


def _phrase(name: str) -> str:
    if _PLAIN_WORDS.fullmatch(name) and "=?" not in name:
        return f'"{name}"'
    return _encoded_words(name, "a display name")


def _unstructured(value: str, header: str) -> str:
    if len(value) <= 200 and value.isascii() and value.isprintable() and "=?" not in value and value == value.strip():
        return value
    return _encoded_words(value, header)


def _encoded_words(value: str, header: str) -> str:
    """RFC 2047 in base64, one word a line, never cutting a character in two."""
    _no_control(value, header)
    words, raw, start = [], value.encode(), 0
    while start < len(raw):
        end = min(start + _WORD_BYTES, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        words.append("=?utf-8?b?" + binascii.b2a_base64(raw[start:end], newline=False).decode() + "?=")
        start = end
    return "\r\n ".join(words)


def _body(text: str) -> tuple[bytes, str]:
    """The text as it may stand in a mail, and how it is encoded: as it is where every server takes it so."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    raw = text.encode(errors="replace")
    if not raw.endswith(b"\n"):
        raw += b"\n"
    if _goes_as_it_is(raw):
        return raw.replace(b"\n", b"\r\n"), "7bit"
    return _quoted_printable(raw), "quoted-printable"


def _goes_as_it_is(raw: bytes) -> bool:
    if raw.translate(None, _PRINTABLE) or b"=_" in raw or raw.startswith(b".") or b"\n." in raw:
        return False
    return max(map(len, raw.split(b"\n"))) <= _LONGEST_LINE


def _quoted_printable(raw: bytes) -> bytes:
    """Lines of at most 78 bytes; a dot at the start of one is written as =2E, so that SMTP need not double it."""
    encoded = binascii.b2a_qp(raw, istext=True)
    if encoded.startswith(b".") or b"\n." in encoded:
        encoded = (b"\n" + encoded).replace(b"\n.", b"\n=2E")[1:]
    return encoded.replace(b"\n", b"\r\n")


@cache
def _skeleton(
    text_encoding: str, html_encoding: str | None, illustrated: bool, attached: bool
) -> tuple[bytes, bytes, bytes]:
    """What stands before the text, between text and html, and after: as the standard library writes it. The pictures go
    before what stands after: it begins with the end of the part that html and pictures make."""
    mail = EmailMessage(policy=SMTP)
    mail.set_content(_TEXT, charset="utf-8", cte=text_encoding)
    if html_encoding:
        mail.add_alternative(_HTML, subtype="html", charset="utf-8", cte=html_encoding)
        mail.set_boundary(_BOUNDARY.format("alternative"))
        if illustrated:
            _make_related(mail)
    if attached:
        mail.make_mixed()
        mail.set_boundary(_BOUNDARY.format("mixed"))
    before, _, rest = mail.as_bytes().partition(_TEXT.encode() + b"\r\n")
    between, _, after = rest.partition(_HTML.encode() + b"\r\n") if html_encoding else (b"", b"", rest)
    return before, between, after.removesuffix(_END) + (_NEXT if attached else b"")


def _make_related(mail: EmailMessage) -> None:
    *_, page = mail.iter_parts()
    assert isinstance(page, EmailMessage)
    page.make_related()
    page.set_boundary(_BOUNDARY.format("related"))
    page.set_param("type", "text/html")  # RFC 2387: what the part is, when its pictures are left out


def _inline(picture: Picture) -> tuple[bytes, bytes]:
    """The part of one picture; the base64 of an operator's is made once."""
    return _picture_headers(picture), _ENCODED.of(picture) if picture.wording else _base64_lines(picture.content)


def _picture_headers(picture: Picture) -> bytes:
    return (
        f"\r\n--{_BOUNDARY.format('related')}\r\n"
        f"Content-Type: {_checked(_MEDIA_TYPE, picture.media_type, 'the type of a picture')}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-ID: <{picture.content_id}>\r\n"
        f"Content-Disposition: inline;{_filename(picture.filename)}\r\nMIME-Version: 1.0\r\n\r\n"
    ).encode("ascii")


_NEXT = b"\r\n--" + _BOUNDARY.format("mixed").encode() + b"\r\n"
_END = b"\r\n--" + _BOUNDARY.format("mixed").encode() + b"--\r\n"


def _part_headers(filename: str, media_type: str) -> bytes:
    kind = media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"
    return (
        f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;{_filename(filename)}\r\nMIME-Version: 1.0\r\n\r\n"
    ).encode("ascii")


def _filename(name: str) -> str:
    if _SAFE_FILENAME.fullmatch(name):
        return f' filename="{name}"'
    return _foreign_filename(name)


@lru_cache(maxsize=256)
def _foreign_filename(name: str) -> str:
    """RFC 2231, with continuations where the name is long: by the standard library."""
    _no_control(name, "a file name")
    part = EmailMessage(policy=SMTP)
    part.add_header("Content-Disposition", "attachment", filename=name)
    return part.as_bytes().decode("ascii").partition("attachment;")[2].split("\r\n\r\n")[0].rstrip()


class _File(Protocol):
    @property
    def content(self) -> bytes: ...
    @property
    def digest(self) -> str: ...


class _EncodedFiles:
    """base64 of the last files, at most `limit` bytes of it: a file shared by many mails is encoded once."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def of(self, file: _File) -> bytes:
        encoded = self._kept.get(file.digest)
        if encoded is not None:
            self._kept.move_to_end(file.digest)
            return encoded
        encoded = _base64_lines(file.content)
        self._keep(file.digest, encoded)
        return encoded

    def _keep(self, digest: str, encoded: bytes) -> None:
        if len(encoded) > self._limit // 4:
            return
        self._kept[digest] = encoded
        self._size += len(encoded)
        while self._size > self._limit:
            self._size -= len(self._kept.popitem(last=False)[1])


def _base64_lines(content: bytes) -> bytes:
    encoded = binascii.b2a_base64(content, newline=False)
    return b"\r\n".join(encoded[start : start + 76] for start in range(0, len(encoded), 76))


_ENCODED = _EncodedFiles(limit=64 * 1024 * 1024)
