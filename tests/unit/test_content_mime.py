"""A fast mail reads back as what was put in, and nothing put in can become more than a value."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.content import Attachment, HeaderRefused, MailHeaders, Rendered, build_mail

HEADERS = MailHeaders(
    message_id="<r1.2@dunnock.test>",
    date=datetime(2026, 12, 4, 14, 0, 1, 5, tzinfo=UTC),
    from_name="Ñandú S.A.",
    from_address="billing@nandu.test",
    to_name="Ana",
    to_address="ana@customer.test",
    reply_to="help@nandu.test",
    opt_out_url="https://pay.test/u/abc?x=1&y=2",
)
# Text as the renderer leaves it: no control characters but line ends and tabs, ended by a newline.
LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t.=_ -é€"))
ONE_LINE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=300)


def parsed(mail: bytes) -> EmailMessage:
    return message_from_bytes(mail, policy=default)


def content(part: object) -> str:
    return str(cast(EmailMessage, part).get_content()).replace("\r\n", "\n")


def on_the_wire(mail: bytes) -> None:
    lines = mail.split(b"\r\n")
    assert mail.isascii()
    assert max(map(len, lines)) <= 998
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert not any(line.startswith(b".") for line in lines)
    assert mail.endswith(b"\r\n")


@given(text=LINES, html=st.none() | LINES, file=st.none() | st.binary(max_size=500), name=ONE_LINE.filter(str.strip))
def test_bodies_and_files_read_back_exactly(text: str, html: str | None, file: bytes | None, name: str) -> None:
    text, html = text + "\n", None if html is None else html + "\n"
    attachment = None if file is None else Attachment(name, "application/pdf", file, str(hash(file)))

    mail = build_mail(HEADERS, Rendered("s", text, html), attachment)

    on_the_wire(mail)
    message = parsed(mail)
    assert text == content(message.get_body(("plain",)))
    if html is not None:
        assert html == content(message.get_body(("html",)))
    files = [(part.get_content_type(), part.get_content()) for part in message.iter_attachments()]
    assert ([] if file is None else [("application/pdf", file)]) == files
    assert [] == message.defects


@given(subject=ONE_LINE, sender=ONE_LINE, to=ONE_LINE)
def test_headers_read_back_exactly(subject: str, sender: str, to: str) -> None:
    mail = build_mail(replace(HEADERS, from_name=sender, to_name=to), Rendered(subject, "x\n"))

    on_the_wire(mail)
    message = parsed(mail)
    assert subject == message["Subject"]
    assert (" ".join(sender.split()), "billing@nandu.test") == mailbox(mail, "From")
    assert (" ".join(to.split()), "ana@customer.test") == mailbox(mail, "To")


def mailbox(mail: bytes, header: str) -> tuple[str, str]:
    """By the library's older reader: the newer one puts a space between two encoded words of a name (RFC 2047, 6.2)."""
    name, address = parseaddr(str(message_from_bytes(mail)[header]))
    return str(make_header(decode_header(name))), address


def test_a_mail_says_who_why_and_how_to_stop_it() -> None:
    message = parsed(build_mail(HEADERS, Rendered("s", "x\n")))

    assert "Fri, 04 Dec 2026 14:00:01 +0000" == message["Date"]
    assert "<r1.2@dunnock.test>" == message["Message-ID"]
    assert "help@nandu.test" == message["Reply-To"]
    assert "<https://pay.test/u/abc?x=1&y=2>" == message["List-Unsubscribe"]
    assert "List-Unsubscribe=One-Click" == message["List-Unsubscribe-Post"]
    assert "auto-generated" == message["Auto-Submitted"]
    assert "1.0" == message["MIME-Version"]


@pytest.mark.parametrize(
    "change",
    [
        {"from_name": "a\r\nBcc: b@x.test"},
        {"to_name": "a\nX: y"},
        {"to_address": "a@x.test\r\nBcc: b@x.test"},
        {"to_address": "a@x.test, b@x.test"},
        {"from_address": ""},
        {"reply_to": "a@x.test>"},
        {"message_id": "<a@b>\r\nX: y"},
        {"opt_out_url": "https://x.test/>\r\nX: y"},
        {"opt_out_url": "javascript:alert(1)"},
    ],
)
def test_a_value_that_could_start_a_header_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(HeaderRefused):
        build_mail(replace(HEADERS, **change), Rendered("s", "x\n"))


def test_a_subject_with_a_line_break_is_refused() -> None:
    with pytest.raises(HeaderRefused, match="Subject"):
        build_mail(HEADERS, Rendered("a\r\nBcc: b@x.test", "x\n"))


def test_a_body_cannot_end_its_part() -> None:
    forged = "--=_dunnock_alternative_=\nContent-Type: text/html\n\n<b>forged</b>\n--=_dunnock_alternative_=--\n"

    message = parsed(build_mail(HEADERS, Rendered("s", forged, "<p>x</p>\n")))

    assert forged == content(message.get_body(("plain",)))
    assert "<p>x</p>\n" == content(message.get_body(("html",)))


@pytest.mark.parametrize(
    "name", ["factura.pdf", "Factura 1 (ñ).pdf", 'a"b\\c;d.pdf', "日本語" * 40 + ".pdf", "..", "a" * 300]
)
def test_file_names_read_back_whatever_they_contain(name: str) -> None:
    mail = build_mail(HEADERS, Rendered("s", "x\n"), Attachment(name, "application/pdf", b"x", name))

    on_the_wire(mail)
    assert [name] == [part.get_filename() for part in parsed(mail).iter_attachments()]


def test_a_file_name_or_type_that_could_start_a_header_does_not() -> None:
    with pytest.raises(HeaderRefused, match="file name"):
        build_mail(HEADERS, Rendered("s", "x\n"), Attachment("a\r\nX: y", "application/pdf", b"x", "n1"))
    odd = build_mail(HEADERS, Rendered("s", "x\n"), Attachment("a", "text/html\r\nX: y", b"x", "n2"))
    assert ["application/octet-stream"] == [part.get_content_type() for part in parsed(odd).iter_attachments()]


def test_a_bare_carriage_return_in_a_body_becomes_a_line_end() -> None:
    assert "a\nb\nc\n" == content(parsed(build_mail(HEADERS, Rendered("s", "a\rb\r\nc"))).get_body(("plain",)))
