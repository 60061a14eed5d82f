"""The mails that come back: delivery status (RFC 3464), feedback report (RFC 5965), out-of-office reply (RFC 3834).

All go to the envelope's return path. Built once per bounce, so the standard library's builder is fast enough.
"""

from dataclasses import asdict, dataclass
from email.header import Header
from email.message import Message
from email.policy import compat32
from email.utils import formatdate, make_msgid
from typing import Any

WIRE = compat32.clone(linesep="\r\n")
RELAY = "relay.sandbox.test"
SENT_ON_TO = "old-account@elsewhere.test"


@dataclass(frozen=True, slots=True)
class Original:
    """What a report says about the mail that it answers; `named` and `envelope_id` as the client named recipient and mail
    (ORCPT, ENVID)."""

    return_path: str
    recipient: str
    subject: str
    message_id: str
    headers: str
    named: str = ""
    envelope_id: str = ""

    def payload(self, report: str) -> dict[str, Any]:
        return {"report": report, "original": asdict(self)}


def bounce(original: Original) -> bytes:
    text = f"<{original.recipient}>: host mx.sandbox.test said: 550 5.1.1 The email account does not exist"
    return _dsn(original, "failed", "5.1.1", "smtp; 550 5.1.1 The email account does not exist", text)


def soft_bounce(original: Original) -> bytes:
    text = f"<{original.recipient}>: host mx.sandbox.test said: 452 4.2.2 The mailbox is full"
    return _dsn(original, "failed", "4.2.2", "smtp; 452 4.2.2 The mailbox is full", text)


def forwarded(original: Original) -> bytes:
    """Of a server behind the recipient's, about the address that the mail was sent on to."""
    text = f"<{SENT_ON_TO}>: host mx.elsewhere.test said: 550 5.1.1 The email account does not exist"
    return _dsn(original, "failed", "5.1.1", "smtp; 550 5.1.1 The email account does not exist", text, SENT_ON_TO)


def complaint(original: Original) -> bytes:
    outer = _report("feedback-report", f"Feedback Loop <fbl@{RELAY}>", original, f"Complaint: {original.subject}")
    outer.attach(_text(f"This is an email abuse report for a message sent to {original.recipient}."))
    fields = {
        "Feedback-Type": "abuse",
        "User-Agent": "DunnockSandbox/1.0",
        "Version": "1",
        "Original-Mail-From": f"<{original.return_path}>",
        "Original-Rcpt-To": f"<{original.recipient}>",
        "Arrival-Date": formatdate(),
        "Reporting-MTA": f"dns; {RELAY}",
    }
    outer.attach(_fields("message/feedback-report", fields))
    outer.attach(_quoted(original))
    return outer.as_bytes(policy=WIRE)


def out_of_office(original: Original) -> bytes:
    reply = _text("I am out of the office until further notice and read my mail when I am back.\n")
    _address(reply, original.recipient, original, f"Automatic reply: {original.subject}")
    reply["Auto-Submitted"] = "auto-replied"
    reply["X-Auto-Response-Suppress"] = "All"
    reply["In-Reply-To"] = f"<{original.message_id}>"
    reply["References"] = f"<{original.message_id}>"
    return reply.as_bytes(policy=WIRE)


REPORTS = {
    "bounce": bounce,
    "softbounce": soft_bounce,
    "forwarded": forwarded,
    "complaint": complaint,
    "ooo": out_of_office,
}


def _dsn(original: Original, action: str, status: str, diagnostic: str, text: str, failed: str = "") -> bytes:
    subject = "Undelivered Mail Returned to Sender"
    outer = _report("delivery-status", f"Mail Delivery System <MAILER-DAEMON@{RELAY}>", original, subject)
    outer.attach(_text(f"This is the mail system at host {RELAY}.\n\nYour message could not be delivered.\n\n{text}\n"))
    status_part = Message()
    status_part["Content-Type"] = "message/delivery-status"
    status_part.set_payload(
        [
            _block(
                ({"Original-Envelope-Id": original.envelope_id} if original.envelope_id else {})
                | {"Reporting-MTA": f"dns; {RELAY}", "Arrival-Date": formatdate()}
            ),
            _block(
                ({"Original-Recipient": f"rfc822; {original.named}"} if original.named else {})
                | {
                    "Final-Recipient": f"rfc822; {failed or original.recipient}",
                    "Action": action,
                    "Status": status,
                    "Remote-MTA": "dns; mx.sandbox.test",
                    "Diagnostic-Code": diagnostic,
                }
            ),
        ]
    )
    outer.attach(status_part)
    outer.attach(_quoted(original))
    return outer.as_bytes(policy=WIRE)


def _report(kind: str, sender: str, original: Original, subject: str) -> Message:
    outer = Message()
    _address(outer, sender, original, subject)
    outer["Auto-Submitted"] = "auto-generated" if kind == "feedback-report" else "auto-replied"
    outer["Content-Type"] = f'multipart/report; report-type={kind}; boundary="{make_msgid()[1:20]}"'
    return outer


def _address(mail: Message, sender: str, original: Original, subject: str) -> None:
    mail["From"] = sender
    mail["To"] = original.return_path
    mail["Subject"] = Header(subject, "us-ascii" if subject.isascii() else "utf-8").encode()
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain=RELAY)
    mail["MIME-Version"] = "1.0"


def _text(text: str) -> Message:
    part = Message()
    part["Content-Type"] = 'text/plain; charset="us-ascii"'
    part.set_payload(_ascii(text))
    return part


def _block(fields: dict[str, str]) -> Message:
    block = Message()
    for name, value in fields.items():
        block[name] = _ascii(value)
    return block


def _fields(media_type: str, fields: dict[str, str]) -> Message:
    part = Message()
    part["Content-Type"] = media_type
    part.set_payload([_block(fields)])
    return part


def _quoted(original: Original) -> Message:
    part = Message()
    part["Content-Type"] = "text/rfc822-headers"
    part.set_payload(_ascii(original.headers))
    return part


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
