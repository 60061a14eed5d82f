"""Postmark's webhooks. True here: what is believed comes with the user and password that we gave Postmark; an event names
its attempt by the metadata that we gave the mail (X-PM-Metadata-attempt)."""

import base64
import hmac
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.dispatcher.domain.mail_events import Happened, MailEvent, reported, text
from services.dispatcher.domain.outcomes import SuppressReason
from services.dispatcher.domain.ports import NotSigned, Report, Reported
from shared.kernel import json
from shared.settings import Settings

KINDS = {
    "Delivery": MailEvent.DELIVERED,
    "Bounce": MailEvent.BOUNCED,
    "SpamComplaint": MailEvent.COMPLAINED,
    "SubscriptionChange": MailEvent.UNSUBSCRIBED,
    "Open": MailEvent.OPENED,
    "Click": MailEvent.CLICKED,
}
HARD = frozenset({"HardBounce", "BadEmailAddress", "ManuallyDeactivated"})
REFUSED = {"Unsubscribe": SuppressReason.OPTED_OUT, "SpamNotification": None, "Blocked": None, "DMARCPolicy": None}
ON_THE_WAY = frozenset(
    {"AutoResponder", "OpenRelayTest", "AddressChange", "Subscribe"}
)  # reported as bounces all the same


def _pair(value: SecretStr | None) -> SecretStr | None:
    if value is not None and (":" not in value.get_secret_value() or len(value.get_secret_value()) < 17):
        raise ValueError("must be user:password, with at least 16 characters, as the webhook's URL has it")
    return value


class PostmarkConfig(Settings):
    """Without credentials there are no events of Postmark."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_POSTMARK_")

    webhook_auth: Annotated[SecretStr | None, AfterValidator(_pair)] = Field(
        None, description="user:password that Postmark's webhooks come with (HTTP basic)"
    )


class PostmarkEvents:
    provider: ClassVar[str] = "postmark"

    def __init__(self, auth: str) -> None:
        self._expected = b"Basic " + base64.b64encode(auth.encode())

    @classmethod
    def from_settings(cls) -> Self | None:
        auth = PostmarkConfig().webhook_auth
        return None if auth is None else cls(auth.get_secret_value())

    def read_report(self, report: Report) -> Sequence[Reported]:
        if not hmac.compare_digest(report.headers.get("authorization", "").encode(), self._expected):
            raise NotSigned
        event = json.loads(report.body)
        found = happened(event) if isinstance(event, dict) else None
        word = None if found is None else reported(found)
        return [] if word is None else [word]


def happened(event: dict[str, Any]) -> Happened | None:
    kind, metadata = KINDS.get(str(event.get("RecordType"))), event.get("Metadata")
    attempt = text(metadata.get("attempt")) if isinstance(metadata, dict) else ""
    detail = text(event.get("Details")) or text(event.get("Description"))
    match kind:
        case None:
            return None
        case MailEvent.BOUNCED:
            return _bounce(attempt, str(event.get("Type")), detail)
        case MailEvent.UNSUBSCRIBED:
            wanted = event.get("SuppressionReason") == "ManualSuppression" and event.get("SuppressSending") is True
            return Happened(attempt, kind, "unsubscribed") if wanted else None
        case _:
            return Happened(attempt, kind, detail)


def _bounce(attempt: str, kind: str, detail: str) -> Happened | None:
    said = f"{kind} {detail}"
    if kind in ON_THE_WAY:
        return None
    if kind in REFUSED:
        return Happened(attempt, MailEvent.REJECTED, said, barred=REFUSED[kind])
    if kind == "SpamComplaint":
        return Happened(attempt, MailEvent.COMPLAINED, said)
    return Happened(attempt, MailEvent.BOUNCED, said, permanent=kind in HARD)
