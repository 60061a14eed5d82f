"""Standard Webhooks (https://www.standardwebhooks.com): what our own API documents, so nothing is translated."""

from typing import Any

from services.payments.domain.ports import Headers, Heard
from services.payments.domain.signature import Signed, is_signed, parse_secret
from services.payments.domain.source_settings import StandardWebhookSettings


class StandardWebhook:
    def __init__(self, settings: StandardWebhookSettings) -> None:
        self._keys = tuple(parse_secret(secret) for secret in settings.secrets)

    def is_genuine(self, headers: Headers, body: bytes, now: float) -> bool:
        signed = Signed(
            headers.get(b"webhook-id"), headers.get(b"webhook-timestamp"), headers.get(b"webhook-signature")
        )
        return is_signed(signed, body, self._keys, now)

    def hear(self, headers: Headers, value: Any, body: bytes) -> Heard:
        return Heard(headers[b"webhook-id"].decode("ascii"), value)
