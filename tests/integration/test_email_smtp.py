"""Email against a real SMTP server: each stage of a failure, connections, TLS."""

import asyncio
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from time import monotonic
from typing import Any, cast

import pytest
from pydantic import SecretStr

from services.dispatcher.adapters.email_smtp import EmailSmtp, SmtpConfig
from services.dispatcher.adapters.smtp_relay import Relay
from services.dispatcher.domain.outcomes import Accepted, Deferred, NotSent, Outcome, Rejected, SuppressReason, Unknown
from services.dispatcher.domain.ports import Gate
from shared.content import Attachment
from tests.doubles.outgoing import facts, open_gate, outgoing
from tests.doubles.smtp_sink import DROP, HANG, SmtpSink, smtp_sink

TO = "ana@customer.test"
SIGNED = (
    *("from", "reply-to", "to", "subject", "date", "message-id", "mime-version", "content-type"),
    *("list-unsubscribe", "list-unsubscribe-post"),
)


def channel_to(port: int, query: str = "", **changes: Any) -> EmailSmtp:
    settings: dict[str, Any] = {"timeout": 1.0, "helo": "me.test", "connect_timeout": 0.5} | changes
    return EmailSmtp(SmtpConfig(url=SecretStr(f"smtp://127.0.0.1:{port}{query}"), **settings))


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    async with smtp_sink() as made:
        yield made


@pytest.fixture
async def email(sink: SmtpSink) -> AsyncIterator[EmailSmtp]:
    channel = channel_to(sink.port)
    yield channel
    await channel.close()


async def test_the_mail_arrives_as_it_was_composed(email: EmailSmtp, sink: SmtpSink) -> None:
    file = Attachment("factura.pdf", "application/pdf", b"%PDF-1.7 ...", "digest-1")

    outcome = await email.send(outgoing(TO, attachment=file), open_gate())

    assert Accepted("2.0.0 queued as 4711") == outcome
    [envelope] = sink.mails
    mail = message_from_bytes(cast(bytes, envelope.content), policy=default)
    assert ["ana@customer.test"] == envelope.rcpt_tos
    assert "b+12.1.abcdefghijklmnop@bounce.test" == envelope.mail_from
    assert "<r12.5@dunnock.test>" == mail["Message-ID"]
    assert "Ferretería Ñandú S.A." == mail["From"].addresses[0].display_name
    assert "Hola\r\n.punto\r\n" == cast(EmailMessage, mail.get_body(("plain",))).get_content()
    assert [b"%PDF-1.7 ..."] == [part.get_content() for part in mail.iter_attachments()]


async def test_a_mail_comes_to_the_relay_as_a_signature_needs_it(email: EmailSmtp, sink: SmtpSink) -> None:
    """DKIM: each header that is signed stands there once, the pair of RFC 8058 among them, and nothing makes a server
    on the way encode it anew."""
    file = Attachment("factura.pdf", "application/pdf", b"%PDF-1.7 " + bytes(range(256)), "digest-2")
    await email.send(outgoing(TO, attachment=file), open_gate())

    raw = cast(bytes, sink.mails[0].content)
    names = [name.lower() for name in re.findall(rb"(?m)^([A-Za-z-]+):", raw.partition(b"\r\n\r\n")[0])]
    assert dict.fromkeys(SIGNED, 1) == {name: names.count(name.encode()) for name in SIGNED}
    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("stage", "answer", "expected"),
    [
        ("MAIL", "451 4.3.0 later", NotSent("mail: 451 4.3.0 later")),
        ("MAIL", "550 5.7.1 sender refused", NotSent("mail: 550 5.7.1 sender refused", misconfigured=True)),
        ("MAIL", "552 5.3.4 too big", Rejected("mail: 552 5.3.4 too big", "5.3.4")),
        ("RCPT", "450 4.7.1 greylisted", Deferred("rcpt: 450 4.7.1 greylisted", timedelta(minutes=5))),
        ("RCPT", "550 5.1.1 no such user", Rejected("rcpt: 550 5.1.1 no such user", "5.1.1", SuppressReason.BOUNCED)),
        ("RCPT", "550 5.1.2 bad domain", Rejected("rcpt: 550 5.1.2 bad domain", "5.1.2", SuppressReason.INVALID)),
        ("RCPT", "550 User unknown", Rejected("rcpt: 550 User unknown", "550", SuppressReason.BOUNCED)),
        ("RCPT", "552 5.2.2 mailbox full", Rejected("rcpt: 552 5.2.2 mailbox full", "5.2.2")),
        ("RCPT", "554 5.7.1 blocked for spam", Rejected("rcpt: 554 5.7.1 blocked for spam", "5.7.1")),
        ("RCPT", "550 5.7.1 Relaying denied", NotSent("rcpt: 550 5.7.1 Relaying denied", misconfigured=True)),
        ("DATA", "451 4.3.0 later", NotSent("data: 451 4.3.0 later")),
        ("DATA", "554 5.5.1 no", Rejected("data: 554 5.5.1 no", "5.5.1")),
        ("DOT", "451 4.3.0 later", NotSent("sent_body: 451 4.3.0 later")),
        ("DOT", "554 5.6.0 content", Rejected("sent_body: 554 5.6.0 content", "5.6.0")),
    ],
)
async def test_a_refusal_is_classed_by_its_stage_and_code(
    email: EmailSmtp, sink: SmtpSink, stage: str, answer: str, expected: Outcome
) -> None:
    sink.script[stage] = answer

    assert expected == await email.send(outgoing(TO), open_gate())

    sink.script.clear()
    assert isinstance(await email.send(outgoing(TO), open_gate()), Accepted)


@pytest.mark.parametrize(
    ("stage", "expected"), [("MAIL", NotSent), ("RCPT", NotSent), ("DATA", NotSent), ("DOT", Unknown)]
)
@pytest.mark.parametrize("fault", [DROP, HANG])
async def test_silence_before_the_final_dot_is_not_sent_and_after_it_unknown(
    email: EmailSmtp, sink: SmtpSink, stage: str, fault: str, expected: type[Outcome]
) -> None:
    sink.script[stage] = fault

    outcome = await email.send(outgoing(TO), open_gate())

    assert expected is type(outcome)
    sink.script.clear()
    assert isinstance(await email.send(outgoing(TO), open_gate()), Accepted)


async def test_a_gate_that_closes_while_the_server_hesitates_before_354_keeps_the_mail_back(
    email: EmailSmtp, sink: SmtpSink
) -> None:
    sink.script["DATA"] = HANG
    sending = asyncio.create_task(email.send(outgoing(TO), Gate(monotonic(), window=0.2, margin=0.0)))
    while "DATA" not in sink.commands:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.25)
    sink.script["DATA"] = "354"
    sink.release.set()

    outcome = await sending

    assert isinstance(outcome, NotSent)
    assert [] == sink.mails


async def test_connections_are_reused_and_their_number_is_bounded(sink: SmtpSink) -> None:
    email = channel_to(sink.port, pool_size=3)

    outcomes = await asyncio.gather(*(email.send(outgoing(TO), open_gate()) for _ in range(30)))

    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert sink.connections <= 3
    await email.close()


async def test_a_connection_carries_no_more_mails_than_allowed(sink: SmtpSink) -> None:
    email = channel_to(sink.port, max_mails=2)

    for _ in range(5):
        assert isinstance(await email.send(outgoing(TO), open_gate()), Accepted)

    assert 3 == sink.connections
    await email.close()


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced_without_a_trace(
    email: EmailSmtp, sink: SmtpSink
) -> None:
    await email.send(outgoing(TO), open_gate())
    sink.script["MAIL"] = "421 4.4.2 idle too long"
    answering = asyncio.create_task(email.send(outgoing(TO), open_gate()))
    while sink.commands.count("MAIL") < 2:
        await asyncio.sleep(0.001)
    sink.script.clear()

    assert isinstance(await answering, Accepted)
    sink.disconnect_all()
    assert isinstance(await email.send(outgoing(TO), open_gate()), Accepted)
    assert 3 == len(sink.mails)


async def test_an_impossible_address_is_rejected_without_a_connection(email: EmailSmtp, sink: SmtpSink) -> None:
    for address in ("nobody", "a b@x.test", "a@x.test\r\nDATA", "josé@x.test", "a@x.test> SIZE=1"):
        outcome = await email.send(outgoing(address), open_gate())

        assert isinstance(outcome, Rejected)
        assert SuppressReason.INVALID is outcome.suppress
    assert 0 == sink.connections


async def test_an_international_domain_goes_out_in_its_ascii_form(email: EmailSmtp, sink: SmtpSink) -> None:
    await email.send(outgoing("ana@bücher.test"), open_gate())

    assert ["ana@xn--bcher-kva.test"] == sink.mails[0].rcpt_tos


async def test_line_breaks_in_names_start_no_header(email: EmailSmtp, sink: SmtpSink) -> None:
    evil = facts(customer_name="Ana\r\nBcc: all@x.test", creditor_name="Acme\nX-Evil: 1")

    await email.send(outgoing(TO, facts=evil), open_gate())

    mail = message_from_bytes(cast(bytes, sink.mails[0].content), policy=default)
    assert "Bcc" not in mail
    assert "X-Evil" not in mail
    assert "Ana Bcc: all@x.test" == mail["To"].addresses[0].display_name


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("smtp://relay.example", "tls=none to send in clear"),
        ("smtp://user:secret@relay.example?tls=none", "may not be sent in clear"),
        ("http://relay.example", "must look like"),
        ("smtps://", "must look like"),
        ("smtp://relay.example?tls=maybe", "only"),
        ("smtp://relay.example:port", "must look like"),
    ],
)
def test_a_relay_is_never_reached_in_clear_by_accident_and_no_secret_is_shown(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        Relay.parse(url)

    assert "secret" not in str(refused.value)


def test_a_relay_url_says_how_the_connection_is_protected() -> None:
    assert Relay("r.test", 587, False, True, "me@x", "p/w") == Relay.parse("smtp://me%40x:p%2Fw@r.test?starttls")
    assert Relay("r.test", 465, True, False) == Relay.parse("smtps://r.test")
    assert Relay("r.test", 25, False, False) == Relay.parse("smtp://r.test?tls=none")
    assert "p/w" not in repr(Relay.parse("smtp://me:p%2Fw@r.test?starttls"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "2", "-subj", "/CN=sink"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(["openssl", *made, *names], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


def _server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_starttls_is_used_when_asked_for_and_a_password_then_travels_inside(certificate: Path) -> None:
    async with smtp_sink(_server_tls(certificate)) as sink:
        url = SecretStr(f"smtp://me:right@127.0.0.1:{sink.port}?starttls")
        email = EmailSmtp(SmtpConfig(url=url, ca_file=str(certificate), helo="me.test", timeout=3))

        assert isinstance(await email.send(outgoing(TO), open_gate()), Accepted)
        await email.close()


async def test_a_wrong_password_is_our_fault_not_the_recipients(certificate: Path) -> None:
    async with smtp_sink(_server_tls(certificate)) as sink:
        url = SecretStr(f"smtp://me:wrong@127.0.0.1:{sink.port}?starttls")
        email = EmailSmtp(SmtpConfig(url=url, ca_file=str(certificate), helo="me.test", timeout=3))

        outcome = await email.send(outgoing(TO), open_gate())

        assert isinstance(outcome, NotSent)
        assert outcome.misconfigured
        assert not await email.probe()


async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    async with smtp_sink(_server_tls(certificate), implicit=True) as sink:
        url = SecretStr(f"smtps://127.0.0.1:{sink.port}")
        email = EmailSmtp(SmtpConfig(url=url, helo="me.test", timeout=3))

        outcome = await email.send(outgoing(TO), open_gate())

        assert isinstance(outcome, NotSent)
        assert outcome.misconfigured


async def test_a_relay_without_starttls_gets_no_mail_in_clear(sink: SmtpSink) -> None:
    email = channel_to(sink.port, "?starttls")

    outcome = await email.send(outgoing(TO), open_gate())

    assert isinstance(outcome, NotSent)
    assert outcome.misconfigured
    assert [] == sink.mails


@pytest.mark.parametrize(
    ("to", "named"),
    [
        (TO, "rfc822;ana@customer.test"),
        ("ana+pay=now@customer.test", "rfc822;ana+2Bpay+3Dnow@customer.test"),
        ("ana@bücher.test", "rfc822;ana@xn--bcher-kva.test"),
    ],
)
async def test_a_server_that_offers_it_is_asked_to_report_failures_and_delays_by_our_names(
    email: EmailSmtp, sink: SmtpSink, to: str, named: str
) -> None:
    assert isinstance(await email.send(outgoing(to), open_gate()), Accepted)

    [session] = sink.sessions
    assert {"RET": "HDRS", "ENVID": "12.1"} == session.mail_wishes
    assert {"NOTIFY": "FAILURE,DELAY", "ORCPT": named} == session.rcpt_wishes


async def test_a_server_that_does_not_offer_reports_is_asked_for_none(email: EmailSmtp, sink: SmtpSink) -> None:
    sink.offers_dsn = False

    assert isinstance(await email.send(outgoing(TO), open_gate()), Accepted)

    [session] = sink.sessions
    assert ({}, {}) == (session.mail_wishes, session.rcpt_wishes)
