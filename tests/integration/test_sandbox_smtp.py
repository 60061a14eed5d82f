"""The SMTP double, by real clients: what is accepted is listed, what bounces comes back by a real DSN."""

import asyncio
import base64
import smtplib
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage, Message
from pathlib import Path

import aiosmtplib
import httpx
import pytest

from tests.doubles.pictures import png
from tests.servers.sandbox import Running, running_sandbox

RETURN_PATH = "b+r41.7.signed@bounces.dunnock.example"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_sandbox(tmp_path, slow_seconds=0.4) as running:
        yield running


def mail(to: str, reminder: int = 41) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Müller & Söhne <billing@creditor.example>"
    message["To"] = to
    message["Subject"] = "Rechnung Nº 7 über 1.250,00 € für Straßenbau und Grünflächenpflege im Monat November"
    message["Message-ID"] = f"<r{reminder}.7@dunnock.example>"
    message.set_content("Bitte zahlen Sie 1.250,00 €.\n")
    message.add_alternative("<p>Bitte zahlen Sie <b>1.250,00 €</b>.</p>\n", subtype="html")
    message.add_attachment(
        b"%PDF-1.7" + bytes(range(256)), maintype="application", subtype="pdf", filename="Rechnüng.pdf"
    )
    return message


async def send(running: Running, to: str, return_path: str = RETURN_PATH) -> None:
    port = int(running.sandbox.smtp_url.rpartition(":")[2])
    await aiosmtplib.send(mail(to), sender=return_path, hostname="127.0.0.1", port=port, start_tls=False, timeout=5)


def parts(message: Message) -> list[Message]:
    payload = message.get_payload()
    assert isinstance(payload, list)
    return [part for part in payload if isinstance(part, Message)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_mail_sent_by_smtplib_is_listed_decoded(running: Running) -> None:
    def deliver() -> None:
        with smtplib.SMTP("127.0.0.1", int(running.sandbox.smtp_url.rpartition(":")[2]), timeout=5) as client:
            client.send_message(mail("Anna@Customer.example"), RETURN_PATH, ["Anna@Customer.example"])

    await asyncio.to_thread(deliver)
    (message,) = await running.sandbox.store.messages("email", "anna@customer.example")
    assert message.message_id == "r41.7@dunnock.example"
    assert message.reminder_id == 41
    assert message.subject == "Rechnung Nº 7 über 1.250,00 € für Straßenbau und Grünflächenpflege im Monat November"
    assert message.text == "Bitte zahlen Sie 1.250,00 €.\n"
    assert message.html == "<p>Bitte zahlen Sie <b>1.250,00 €</b>.</p>\n"
    assert [(a.filename, a.media_type, a.size) for a in message.attachments] == [
        ("Rechnüng.pdf", "application/pdf", 264)
    ]
    assert running.sandbox.owes() == 0


@pytest.mark.parametrize(("local", "status"), [("bounce", "5.1.1"), ("softbounce", "4.2.2"), ("bounce+anna", "5.1.1")])
async def test_a_bouncing_mail_is_accepted_and_comes_back_as_a_dsn(running: Running, local: str, status: str) -> None:
    await send(running, f"{local}@shop.sandbox.test")
    await until(lambda: bool(running.bounces.got) and running.sandbox.owes() == 0)
    ((sender, recipients, report),) = running.bounces.got
    assert ("<>", [RETURN_PATH]) == (sender, recipients)
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    _, delivery, quoted = parts(report)
    fields = parts(delivery)[1]
    assert fields["Status"] == status
    assert fields["Final-Recipient"] == f"rfc822; {local}@shop.sandbox.test"
    assert "<r41.7@dunnock.example>" in str(quoted.get_payload())
    assert len(await running.sandbox.store.messages("email")) == 1


async def test_a_complaint_comes_back_as_a_feedback_report(running: Running) -> None:
    await send(running, "complaint@shop.sandbox.test")
    await until(lambda: bool(running.bounces.got))
    _, recipients, report = running.bounces.got[0]
    assert recipients == [RETURN_PATH]
    assert report.get_param("report-type") == "feedback-report"
    assert parts(report)[1].get_content_type() == "message/feedback-report"


async def test_an_out_of_office_reply_says_that_it_is_automatic(running: Running) -> None:
    await send(running, "ooo@shop.sandbox.test")
    await until(lambda: bool(running.bounces.got))
    sender, _, reply = running.bounces.got[0]
    assert (sender, reply["Auto-Submitted"]) == ("<>", "auto-replied")
    assert reply["In-Reply-To"] == "<r41.7@dunnock.example>"


@pytest.mark.parametrize(("local", "code"), [("reject", 550), ("tempfail", 451)])
async def test_a_recipient_refused_at_rcpt_is_not_listed(running: Running, local: str, code: int) -> None:
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refused:
        await send(running, f"{local}@shop.sandbox.test")
    assert refused.value.recipients[0].code == code
    assert await running.sandbox.store.messages("email") == []


async def test_slow_answers_late(running: Running) -> None:
    start = asyncio.get_running_loop().time()
    await send(running, "slow@shop.sandbox.test")
    assert asyncio.get_running_loop().time() - start >= 0.4
    assert len(await running.sandbox.store.messages("email")) == 1


async def test_a_connection_dropped_after_the_dot_leaves_the_mail_accepted(running: Running) -> None:
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await send(running, "droppeddot@shop.sandbox.test")
    assert len(await running.sandbox.store.messages("email", "droppeddot@shop.sandbox.test")) == 1


async def test_special_names_outside_the_sandbox_domain_are_delivered(running: Running) -> None:
    await send(running, "bounce@customer.example")
    await send(running, "reject@notsandbox.test")
    assert len(await running.sandbox.store.messages("email")) == 2
    assert running.sandbox.owes() == 0


async def test_a_mail_from_nobody_never_bounces(running: Running) -> None:
    await send(running, "bounce@shop.sandbox.test", return_path="")
    assert len(await running.sandbox.store.messages("email")) == 1
    assert running.sandbox.owes() == 0


async def test_an_ordered_fault_meets_the_next_mail_only(running: Running) -> None:
    faults = running.sandbox.faults["smtp"]
    faults.order(faults.known["tempfail"])
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await send(running, "anna@customer.example")
    await send(running, "anna@customer.example")
    assert len(await running.sandbox.store.messages("email")) == 1


async def test_a_bounce_is_tried_again_until_the_listener_is_there(running: Running) -> None:
    await running.bounces.stop()
    await send(running, "bounce@shop.sandbox.test")
    assert running.sandbox.owes() == 1
    await running.bounces.start(running.bounces.address[1])
    await until(lambda: running.sandbox.owes() == 0)
    assert len(running.bounces.got) == 1


async def test_a_mail_with_pictures_is_shown_with_them_and_nothing_is_fetched(running: Running) -> None:
    shown, plain = mail("anna@customer.example"), png()
    page = shown.get_body(("html",))
    assert page is not None
    page.set_content('<p><img src="cid:sale.1@x" alt="Sale"> <img src="https://evil.test/a.png"></p>\n', subtype="html")
    page.add_related(plain, "image", "png", cid="<sale.1@x>", filename="sale.png", disposition="inline")
    port = int(running.sandbox.smtp_url.rpartition(":")[2])
    for _ in range(2):
        await aiosmtplib.send(shown, sender=RETURN_PATH, hostname="127.0.0.1", port=port, start_tls=False, timeout=5)

    async with httpx.AsyncClient(base_url=running.url) as client:
        listed = (await client.get("/sandbox/messages")).json()["items"][0]
        answer = await client.get(f"/sandbox/messages/{listed['message_id']}/html")
    assert listed["pictures"] == [
        {"content_id": "sale.1@x", "filename": "sale.png", "media_type": "image/png", "size": len(plain)}
    ]
    assert [one["filename"] for one in listed["attachments"]] == ["Rechnüng.pdf"]
    assert f'src="data:image/png;base64,{base64.b64encode(plain).decode()}"' in answer.text
    assert "img-src data:;" in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
