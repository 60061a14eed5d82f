"""SendGrid's event webhook. True here: what is believed is signed with the key of our account (ECDSA over time and body);
an event names its attempt by the argument that we gave the mail (X-SMTPAPI)."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from services.dispatcher.domain.mail_events import Happened, MailEvent, reported, text
from services.dispatcher.domain.outcomes import SuppressReason
from services.dispatcher.domain.ports import NotSigned, Report, Reported
from shared.kernel import json
from shared.settings import Settings

SIGNATURE, TIMESTAMP = "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"
KINDS = {
    "delivered": MailEvent.DELIVERED,
    "deferred": MailEvent.DEFERRED,
    "bounce": MailEvent.BOUNCED,
    "dropped": MailEvent.REJECTED,
    "spamreport": MailEvent.COMPLAINED,
    "unsubscribe": MailEvent.UNSUBSCRIBED,
    "group_unsubscribe": MailEvent.UNSUBSCRIBED,
    "open": MailEvent.OPENED,
    "click": MailEvent.CLICKED,
}
DROPPED = {
    "bounced address": SuppressReason.BOUNCED,
    "invalid": SuppressReason.INVALID,
    "unsubscribed address": SuppressReason.OPTED_OUT,
    "spam reporting address": SuppressReason.COMPLAINED,
}


def public_key(value: str | None) -> ec.EllipticCurvePublicKey | None:
    if value is None:
        return None
    try:
        key = load_der_public_key(base64.b64decode(value, validate=True))
    except (ValueError, binascii.Error):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("must be the verification key that SendGrid shows, in base64")
    return key


def _checked(value: str | None) -> str | None:
    public_key(value)
    return value


class SendGridConfig(Settings):
    """Without a key there are no events of SendGrid."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_SENDGRID_")

    public_key: Annotated[str | None, AfterValidator(_checked)] = Field(
        None, description="verification key of SendGrid's signed event webhook, in base64"
    )


class SendGridEvents:
    provider: ClassVar[str] = "sendgrid"

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key

    @classmethod
    def from_settings(cls) -> Self | None:
        key = public_key(SendGridConfig().public_key)
        return None if key is None else cls(key)

    def read_report(self, report: Report) -> Sequence[Reported]:
        self._verify(report)
        events = json.loads(report.body)
        found = [happened(event) for event in events if isinstance(event, dict)] if isinstance(events, list) else []
        return [word for one in found if one is not None and (word := reported(one)) is not None]

    def _verify(self, report: Report) -> None:
        try:
            signature = base64.b64decode(report.headers.get(SIGNATURE, ""), validate=True)
            signed = report.headers.get(TIMESTAMP, "").encode() + report.body
            self._key.verify(signature, signed, ec.ECDSA(SHA256()))
        except (InvalidSignature, ValueError, binascii.Error):
            raise NotSigned from None


def happened(event: dict[str, Any]) -> Happened | None:
    """None for what says nothing new (processed) or is unknown."""
    kind = KINDS.get(str(event.get("event")))
    if kind is None:
        return None
    reason = text(event.get("reason")) or text(event.get("response"))
    return Happened(
        text(event.get("attempt")),
        kind,
        reason,
        text(event.get("status")),
        # "blocked" is a refusal of the mail or of us, not of the address.
        permanent=None if event.get("type") == "bounce" else False,
        barred=DROPPED.get(reason.lower()),
    )
