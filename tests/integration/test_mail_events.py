"""What SES, SendGrid and Postmark report about mails: believed only signed, and told in one vocabulary."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from pydantic import SecretStr, ValidationError

from services.dispatcher.adapters.email_smtp import EmailSmtp, SmtpConfig
from services.dispatcher.adapters.events_postmark import PostmarkConfig, PostmarkEvents
from services.dispatcher.adapters.events_sendgrid import SIGNATURE, TIMESTAMP, SendGridConfig, SendGridEvents
from services.dispatcher.adapters.events_ses import SIGNED, SesEvents
from services.dispatcher.domain.outcomes import (
    Delivered,
    Engaged,
    Engagement,
    Missed,
    Receipt,
    Rejected,
    SuppressReason,
    Unwanted,
)
from services.dispatcher.domain.ports import NotSigned, Report, Reported, Reporting
from shared.kernel.errors import Unavailable
from shared.outgoing import Allowed, Guard
from tests.doubles.outgoing import open_gate, outgoing
from tests.doubles.smtp_sink import smtp_sink
from tests.integration.dispatcher_running import Dispatcher, running

ATTEMPT = "12.1"
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())
AUTH = "dunnock:a-long-password"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mails"
CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b2c.pem"
BOUNCED, COMPLAINED, OPTED_OUT = SuppressReason.BOUNCED, SuppressReason.COMPLAINED, SuppressReason.OPTED_OUT


# --- SendGrid


def sendgrid_report(events: Any) -> Report:
    body, at = json.dumps(events).encode(), "1790000000"
    signature = SENDGRID_KEY.sign(at.encode() + body, ec.ECDSA(SHA256()))
    return Report("", {}, {SIGNATURE: base64.b64encode(signature).decode(), TIMESTAMP: at}, {}, body)


def sendgrid() -> SendGridEvents:
    return SendGridEvents(SENDGRID_KEY.public_key())


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": "processed"}, None),
        ({"event": "deferred", "response": "451 later"}, None),
        ({"event": "delivered", "response": "250 OK"}, Delivered("", "250 OK")),
        ({"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 no such user"},
         Rejected("5.1.1 550 no such user", suppress=BOUNCED)),
        ({"event": "bounce", "type": "bounce", "status": "5.2.2", "reason": "552 mailbox full"},
         Missed("5.2.2 552 mailbox full")),
        ({"event": "bounce", "type": "blocked", "status": "5.1.1", "reason": "550 blocked"}, Missed("5.1.1 550 blocked")),
        ({"event": "dropped", "reason": "Bounced Address"}, Rejected("Bounced Address", suppress=BOUNCED)),
        ({"event": "dropped", "reason": "Unsubscribed Address"}, Rejected("Unsubscribed Address", suppress=OPTED_OUT)),
        ({"event": "dropped", "reason": "Too large"}, Rejected("Too large")),
        ({"event": "spamreport"}, Unwanted("", COMPLAINED)),
        ({"event": "group_unsubscribe"}, Unwanted("", OPTED_OUT)),
        ({"event": "open"}, Engaged(Engagement.OPENED)),
        ({"event": "click", "url": "https://x/"}, Engaged(Engagement.CLICKED)),
        ({"event": "something new"}, None),
    ],
)  # fmt: skip
def test_an_event_of_sendgrid_has_one_meaning(event: dict[str, Any], expected: Receipt | None) -> None:
    found = sendgrid().read_report(sendgrid_report([{**event, "attempt": ATTEMPT}]))
    assert found == ([] if expected is None else [Reported(ATTEMPT, expected)])


def test_only_what_our_account_signed_is_sendgrids() -> None:
    good = sendgrid_report([{"event": "open", "attempt": ATTEMPT}])
    assert sendgrid().read_report(good)
    stranger = SendGridEvents(ec.generate_private_key(ec.SECP256R1()).public_key())
    for judge, report in (
        (stranger, good),
        (sendgrid(), Report("", {}, good.headers, {}, good.body + b" ")),
        (sendgrid(), Report("", {}, {**good.headers, TIMESTAMP: "1"}, {}, good.body)),
        (sendgrid(), Report("", {}, {}, {}, good.body)),
        (sendgrid(), Report("", {}, {SIGNATURE: "%%", TIMESTAMP: "1"}, {}, good.body)),
    ):
        with pytest.raises(NotSigned):
            judge.read_report(report)


# --- Postmark


def postmark_report(event: Any, auth: str = AUTH) -> Report:
    said = "Basic " + base64.b64encode(auth.encode()).decode()
    return Report("", {}, {"authorization": said}, {}, json.dumps(event).encode())


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"RecordType": "Delivery", "Details": "250 OK"}, Delivered("", "250 OK")),
        ({"RecordType": "Bounce", "Type": "HardBounce", "Details": "no such user"},
         Rejected("HardBounce no such user", suppress=BOUNCED)),
        ({"RecordType": "Bounce", "Type": "SoftBounce", "Details": "full"}, Missed("SoftBounce full")),
        ({"RecordType": "Bounce", "Type": "Transient"}, Missed("Transient ")),
        ({"RecordType": "Bounce", "Type": "Blocked", "Details": "isp"}, Rejected("Blocked isp")),
        ({"RecordType": "Bounce", "Type": "AutoResponder"}, None),
        ({"RecordType": "SpamComplaint"}, Unwanted("", COMPLAINED)),
        ({"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "ManualSuppression"},
         Unwanted("unsubscribed", OPTED_OUT)),
        ({"RecordType": "SubscriptionChange", "SuppressSending": False, "SuppressionReason": "ManualSuppression"}, None),
        ({"RecordType": "Open"}, Engaged(Engagement.OPENED)),
        ({"RecordType": "Click"}, Engaged(Engagement.CLICKED)),
        ({"RecordType": "Inbound"}, None),
    ],
)  # fmt: skip
def test_an_event_of_postmark_has_one_meaning(event: dict[str, Any], expected: Receipt | None) -> None:
    found = PostmarkEvents(AUTH).read_report(postmark_report({**event, "Metadata": {"attempt": ATTEMPT}}))
    assert found == ([] if expected is None else [Reported(ATTEMPT, expected)])


def test_only_who_knows_the_password_is_postmark() -> None:
    for report in (postmark_report({}, "dunnock:wrong-password!"), Report("", {}, {}, {}, b"{}")):
        with pytest.raises(NotSigned):
            PostmarkEvents(AUTH).read_report(report)


# --- SES


@cache
def amazon() -> tuple[rsa.RSAPrivateKey, bytes]:
    """A key, and its certificate as PEM."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    now = datetime.now(UTC)
    valid = builder.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    return key, valid.sign(key, SHA256()).public_bytes(Encoding.PEM)


class Amazon:
    """Its hosts, as far as they are asked; `asked` in the order of the requests."""

    def __init__(self, status: int = 200) -> None:
        self.asked: list[str] = []
        self.status = status

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        return httpx.Response(self.status, content=amazon()[1])

    def events(self) -> SesEvents:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return SesEvents(frozenset({TOPIC}), Guard(Allowed()), client)


def sns(message: Any, kind: str = "Notification", version: str = "2", **changes: str) -> Report:
    said = {
        "Type": kind,
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-11-22T10:00:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        **changes,
    }
    text = "".join(f"{name}\n{said[name]}\n" for name in SIGNED[kind] if name in said)
    said["Signature"] = base64.b64encode(
        amazon()[0].sign(text.encode(), PKCS1v15(), SHA256() if version == "2" else SHA1())
    ).decode()
    return Report("", {}, {}, {}, json.dumps(said).encode())


def ses(kind: str, **about: Any) -> dict[str, Any]:
    return {"eventType": kind, "mail": {"source": "b+12.1.0123456789abcdef0123@bounce.example"}, **about}


def ses_bounce(kind: str, status: str, said: str, subkind: str = "General") -> dict[str, Any]:
    recipients = [{"emailAddress": "x@y.example", "status": status, "diagnosticCode": said}]
    return {"bounce": {"bounceType": kind, "bounceSubType": subkind, "bouncedRecipients": recipients}}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ses("Send"), None),
        (ses("Delivery"), Delivered("", "")),
        (ses("DeliveryDelay"), None),
        (ses("Bounce", **ses_bounce("Permanent", "5.1.1", "smtp; 550 5.1.1 user unknown")),
         Rejected("5.1.1 smtp; 550 5.1.1 user unknown", suppress=BOUNCED)),
        (ses("Bounce", **ses_bounce("Permanent", "5.7.1", "smtp; 550 blocked by policy")),
         Missed("5.7.1 smtp; 550 blocked by policy")),
        (ses("Bounce", **ses_bounce("Transient", "5.2.2", "mailbox full")), Missed("5.2.2 mailbox full")),
        (ses("Bounce", **ses_bounce("Permanent", "5.1.1", "on the list", "OnAccountSuppressionList")),
         Rejected("on the list", suppress=BOUNCED)),
        (ses("Complaint"), Unwanted("", COMPLAINED)),
        (ses("Reject", reject={"reason": "Bad content"}), Rejected("Bad content")),
        (ses("Subscription"), Unwanted("unsubscribed", OPTED_OUT)),
        (ses("Open"), Engaged(Engagement.OPENED)),
        (ses("Click"), Engaged(Engagement.CLICKED)),
        ({"notificationType": "Delivery", "mail": ses("x")["mail"]}, Delivered("", "")),
    ],
)  # fmt: skip
async def test_an_event_of_ses_has_one_meaning(event: dict[str, Any], expected: Receipt | None) -> None:
    events, report = Amazon().events(), sns(event)
    await events.prepare(report)
    assert events.read_report(report) == ([] if expected is None else [Reported(ATTEMPT, expected)])


async def test_the_certificate_is_fetched_once_and_both_signatures_hold() -> None:
    world = Amazon()
    events = world.events()
    for version in ("1", "2"):
        report = sns(ses("Open"), version=version)
        await events.prepare(report)
        assert events.read_report(report)
    assert world.asked == [CERTIFICATE]


@pytest.mark.parametrize(
    "changes",
    [
        {"SigningCertURL": "https://evil.example/SimpleNotificationService-0a.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0a.pem"},
        {"SigningCertURL": "https://evil@sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem"},
        {"SigningCertURL": "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com:444/SimpleNotificationService-0a.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/my-bucket/evil.pem"},
        {"SigningCertURL": "https://s3.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/Simple\nNotificationService-0a.pem"},
        {"TopicArn": "arn:aws:sns:eu-west-1:666:theirs"},
    ],
)
async def test_a_stranger_makes_us_fetch_nothing(changes: dict[str, str]) -> None:
    world = Amazon()
    with pytest.raises(NotSigned):
        await world.events().prepare(sns(ses("Open"), **changes))
    assert world.asked == []


async def test_what_was_changed_on_the_way_is_not_signed() -> None:
    report = sns(ses("Open"))
    said = {**json.loads(report.body), "Message": json.dumps(ses("Complaint"))}
    events = Amazon().events()
    with pytest.raises(NotSigned):
        await events.prepare(Report("", {}, {}, {}, json.dumps(said).encode()))
    with pytest.raises(NotSigned):
        await events.prepare(Report("", {}, {}, {}, b"not json"))


async def test_a_subscription_of_ours_is_confirmed_at_amazon_alone() -> None:
    world = Amazon()
    there = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    report = sns("You have chosen", "SubscriptionConfirmation", Token="t", SubscribeURL=there)
    await world.events().prepare(report)
    assert world.asked == [CERTIFICATE, there]

    elsewhere = Amazon()
    stolen = sns("You have", "SubscriptionConfirmation", Token="t", SubscribeURL="https://169.254.169.254/")
    with pytest.raises(NotSigned):
        await elsewhere.events().prepare(stolen)
    assert elsewhere.asked == []


async def test_while_amazon_does_not_answer_sns_shall_come_again() -> None:
    with pytest.raises(Unavailable):
        await Amazon(status=500).events().prepare(sns(ses("Open")))


# --- all of them


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    reporters: list[Reporting] = [sendgrid(), PostmarkEvents(AUTH), Amazon().events()]
    async with running(database_dsn, tmp_path, channels=("email",), reporters=reporters) as made:
        yield made


async def test_events_move_the_attempt_that_they_name_and_note_what_a_person_did(dispatcher: Dispatcher) -> None:
    _, queued = await dispatcher.due()
    await dispatcher.send(queued)
    attempt = f"{queued}.1"

    report = sendgrid_report(
        [{"event": name, "attempt": attempt} for name in ("open", "delivered", "delivered", "click")]
    )
    answer = await dispatcher.http.post("/v1/receipts/sendgrid", content=report.body, headers=dict(report.headers))
    assert answer.status_code == 204
    assert await dispatcher.attempts(queued) == [("email", "delivered")]
    kinds = await dispatcher.owner.fetch("SELECT kind FROM event WHERE kind LIKE 'attempt.%' ORDER BY id")
    assert [row["kind"] for row in kinds if row["kind"] in ("attempt.opened", "attempt.clicked")] == [
        "attempt.opened",
        "attempt.clicked",
    ]

    said = postmark_report({"RecordType": "SpamComplaint", "Metadata": {"attempt": attempt}})
    answer = await dispatcher.http.post("/v1/receipts/postmark", content=said.body, headers=dict(said.headers))
    assert answer.status_code == 204
    assert await dispatcher.suppressed() == [("email", "complained")]


async def test_a_bounce_that_ses_reports_bars_the_address(dispatcher: Dispatcher) -> None:
    _, queued = await dispatcher.due()
    await dispatcher.send(queued)
    event = ses("Bounce", **ses_bounce("Permanent", "5.1.1", "550 5.1.1 user unknown"))
    event["mail"] = {"source": dispatcher.smtp.mails[0].mail_from}
    answer = await dispatcher.http.post("/v1/receipts/ses", content=sns(event).body)

    assert answer.status_code == 204, answer.text
    assert await dispatcher.attempts(queued) == [("email", "undelivered")]
    assert await dispatcher.suppressed() == [("email", "bounced")]


@pytest.mark.parametrize("name", ["ses", "sendgrid", "postmark"])
async def test_a_forged_event_is_401_and_changes_nothing(dispatcher: Dispatcher, name: str) -> None:
    _, queued = await dispatcher.due()
    await dispatcher.send(queued)
    answer = await dispatcher.http.post(f"/v1/receipts/{name}", json=[{"event": "bounce", "attempt": f"{queued}.1"}])

    assert answer.status_code == 401
    assert await dispatcher.attempts(queued) == [("email", "accepted")]


@pytest.mark.parametrize(
    ("events", "header"),
    [("sendgrid", 'X-SMTPAPI: {"unique_args": {"attempt": "12.1"}}'), ("postmark", "X-PM-Metadata-attempt: 12.1")],
)
async def test_a_mail_names_its_attempt_where_the_service_repeats_it(events: str, header: str) -> None:
    async with smtp_sink() as sink:
        config = SmtpConfig(url=SecretStr(f"smtp://127.0.0.1:{sink.port}"), events=events)
        channel = EmailSmtp(config)
        await channel.send(outgoing("ana@customer.test"), open_gate())
        await channel.close()
        content = sink.mails[0].content
        assert isinstance(content, bytes)
        assert header in content.decode().split("\r\n\r\n")[0].split("\r\n")


def test_a_wrong_setting_is_named_and_never_shown() -> None:
    with pytest.raises(ValidationError, match="verification key"):
        SendGridConfig(public_key="hunter2")
    with pytest.raises(ValidationError) as refused:
        PostmarkConfig(webhook_auth=SecretStr("hunter2"))
    assert "hunter2" not in str(refused.value)
    der = SENDGRID_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert SendGridConfig(public_key=base64.b64encode(der).decode()).public_key
