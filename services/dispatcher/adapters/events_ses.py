"""SES's events, through SNS.

True here: only our own topics are heard, and only what Amazon signed: the certificate comes from an amazonaws.com host
over TLS and is named by the message itself. The attempt is named by the return path that the mail went out with.
"""

import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

import httpx
import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.dispatcher.domain.mail_events import Happened, MailEvent, reported, text
from services.dispatcher.domain.ports import NotSigned, Report, Reported
from shared.kernel import json
from shared.kernel.errors import BadRequest, Unavailable
from shared.outgoing import Guard, guarded_client
from shared.settings import Settings, split_words

HOST = re.compile(r"sns\.[a-z0-9-]{1,30}\.amazonaws\.com(\.cn)?")
CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-f]{1,64}\.pem")
SOURCE = re.compile(r"b\+([1-9]\d{0,18}\.\d{1,9})\.[0-9a-f]{20}@.+", re.ASCII)
NOTIFICATION, CONFIRMATION = "Notification", "SubscriptionConfirmation"
SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
KINDS = {
    "Delivery": MailEvent.DELIVERED,
    "DeliveryDelay": MailEvent.DEFERRED,
    "Bounce": MailEvent.BOUNCED,
    "Reject": MailEvent.REJECTED,
    "Rendering Failure": MailEvent.REJECTED,
    "Complaint": MailEvent.COMPLAINED,
    "Subscription": MailEvent.UNSUBSCRIBED,
    "Open": MailEvent.OPENED,
    "Click": MailEvent.CLICKED,
}
MOST_CERTIFICATES, LARGEST = 20, 64 * 1024

log = structlog.get_logger("dispatcher")


class SesConfig(Settings):
    """Without a topic there are no events of SES."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_SES_")

    topics: str = Field("", description="ARNs of the SNS topics that SES's events come from, separated by commas")


class SesEvents:
    provider: ClassVar[str] = "ses"

    def __init__(self, topics: frozenset[str], guard: Guard, client: httpx.AsyncClient | None = None) -> None:
        self._topics = topics
        self._client = client or guarded_client(guard, max_bytes=LARGEST, timeout=5.0, connections=2)
        self._keys: OrderedDict[str, RSAPublicKey] = OrderedDict()

    @classmethod
    def from_settings(cls) -> Self | None:
        topics = frozenset(split_words(SesConfig().topics))
        return cls(topics, Guard.from_settings(loopback=False)) if topics else None

    async def prepare(self, report: Report) -> None:
        """Fetches the certificate that the report names, and confirms a subscription of ours. Raises NotSigned, or
        Unavailable: SNS comes again."""
        message = self._message(report)
        url = message["SigningCertURL"]
        if url not in self._keys:
            self._keys[url] = _key(await self._get(url))
            while len(self._keys) > MOST_CERTIFICATES:
                self._keys.popitem(last=False)
        self._verify(message)
        if message["Type"] == CONFIRMATION:
            await self._get(message["SubscribeURL"])
            log.info("sns_subscription_confirmed", topic=message["TopicArn"])

    def read_report(self, report: Report) -> Sequence[Reported]:
        message = self._message(report)
        self._verify(message)
        if message["Type"] != NOTIFICATION:
            return []
        event = json.loads(message["Message"].encode())
        found = happened(event) if isinstance(event, dict) else None
        word = None if found is None else reported(found)
        return [] if word is None else [word]

    async def close(self) -> None:
        await self._client.aclose()

    def _message(self, report: Report) -> dict[str, str]:
        """Whole, of one of our topics, with addresses of Amazon's alone; not yet verified."""
        try:
            message = json.loads(report.body)
        except BadRequest:
            raise NotSigned from None
        if (
            not isinstance(message, dict)
            or message.get("Type") not in SIGNED
            or message.get("TopicArn") not in self._topics
        ):
            raise NotSigned
        needed = [*SIGNED[message["Type"]], "Signature", "SigningCertURL", "SignatureVersion"]
        if not all(isinstance(message.get(name), str) for name in needed if name != "Subject"):
            raise NotSigned
        if not _amazons(message["SigningCertURL"], CERTIFICATE):
            raise NotSigned
        if message["Type"] == CONFIRMATION and not _amazons(message["SubscribeURL"]):
            raise NotSigned
        return {name: value for name, value in message.items() if isinstance(value, str)}

    def _verify(self, message: dict[str, str]) -> None:
        key = self._keys.get(message["SigningCertURL"])
        hashed = {"1": SHA1(), "2": SHA256()}.get(message["SignatureVersion"])  # SNS's version 1 is SHA-1
        if key is None or hashed is None:
            raise NotSigned
        said = "".join(f"{name}\n{message[name]}\n" for name in SIGNED[message["Type"]] if name in message)
        try:
            key.verify(base64.b64decode(message["Signature"], validate=True), said.encode(), PKCS1v15(), hashed)
        except (InvalidSignature, ValueError, binascii.Error):
            raise NotSigned from None

    async def _get(self, url: str) -> bytes:
        try:
            answer = await self._client.get(url)
        except (httpx.HTTPError, httpx.InvalidURL):
            answer = None
        if answer is None or answer.status_code != 200:
            raise Unavailable("Amazon did not answer for its certificate or subscription; send the same again")
        return answer.content


def _amazons(url: str, path: re.Pattern[str] | None = None) -> bool:
    try:
        parts = urlsplit(url)
        plain = url.isprintable() and parts.port is None and parts.username is None and parts.scheme == "https"
    except ValueError:
        return False
    return plain and bool(HOST.fullmatch(parts.hostname or "")) and (path is None or bool(path.fullmatch(parts.path)))


def _key(pem: bytes) -> RSAPublicKey:
    try:
        key = x509.load_pem_x509_certificate(pem).public_key()
    except ValueError:
        raise NotSigned from None
    if not isinstance(key, RSAPublicKey):
        raise NotSigned
    return key


def happened(event: dict[str, Any]) -> Happened | None:
    """Of SES's event publishing (eventType) or of its older notifications (notificationType)."""
    kind = KINDS.get(str(event.get("eventType") or event.get("notificationType")))
    mail = event.get("mail")
    if kind is None or not isinstance(mail, dict):
        return None
    named = SOURCE.fullmatch(text(mail.get("source")).lower())
    attempt = named[1] if named else ""
    match kind:
        case MailEvent.BOUNCED:
            return _bounce(attempt, event.get("bounce"))
        case MailEvent.UNSUBSCRIBED:
            return Happened(attempt, kind, "unsubscribed")
        case MailEvent.REJECTED:
            why = event.get("reject")
            return Happened(attempt, kind, text(why.get("reason")) if isinstance(why, dict) else "")
        case _:
            return Happened(attempt, kind)


def _bounce(attempt: str, bounce: Any) -> Happened | None:
    if not isinstance(bounce, dict):
        return None
    recipients = bounce.get("bouncedRecipients")
    first = recipients[0] if isinstance(recipients, list) and recipients and isinstance(recipients[0], dict) else {}
    kind, subkind = str(bounce.get("bounceType")), str(bounce.get("bounceSubType"))
    said = text(first.get("diagnosticCode")) or f"{kind} {subkind}"[:300]
    # Suppressed by SES itself: the address bounced before, whatever the code of this report.
    suppressed = subkind in ("Suppressed", "OnAccountSuppressionList")
    code = "" if suppressed else text(first.get("status"))
    return Happened(attempt, MailEvent.BOUNCED, said, code, permanent={"Permanent": True, "Transient": False}.get(kind))
