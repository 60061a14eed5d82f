"""Web push (RFC 8030, 8291, 8292): for browsers.

True here: only the browser can read what is sent; the push service knows us by our VAPID key alone. The endpoint is an
address that somebody's browser gave, so it is called through the guard, and whatever it answers is about this one
subscription: nobody's endpoint can stop the channel for others.
"""

import os
import time
from datetime import timedelta
from urllib.parse import quote, urlsplit

import http_ece
import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02

from services.dispatcher.adapters.first_byte import FirstByte, wait_of
from services.dispatcher.adapters.push_fcm import notice
from services.dispatcher.domain.outcomes import (
    Accepted,
    Deferred,
    Outcome,
    Rejected,
    SuppressReason,
    Unknown,
)
from services.dispatcher.domain.ports import Outgoing
from shared.kernel import json
from shared.outgoing import TargetRefused
from shared.push import Subscription

DAY = 86_400  # seconds that a push service keeps a message for a browser that sleeps
MOST_TEXT = 3000  # bytes; a push service takes 4096, encrypted
LIFE = 12 * 3600
ASK_AGAIN = timedelta(minutes=5)


class WebPush:
    """`key`: the private VAPID key, 32 bytes in base64url; `subject`: mailto: or https:, whom a push service may ask."""

    def __init__(self, key: str, subject: str, client: httpx.AsyncClient, double: str | None = None) -> None:
        self._vapid = Vapid02.from_string(key)
        self._subject = subject
        self._client = client
        self._double = double

    @property
    def public_key(self) -> bytes:
        """What a browser subscribes with: 65 bytes."""
        made: bytes = self._vapid.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return made

    async def send(self, to: Subscription, outgoing: Outgoing, first_byte: FirstByte) -> Outcome:
        try:
            answer = await self._client.post(
                f"{self._double}?endpoint={quote(to.endpoint, safe='')}" if self._double else to.endpoint,
                content=encrypted(to, payload(outgoing)),
                headers={
                    **self._signed(to.endpoint),
                    "Content-Encoding": "aes128gcm",
                    "Content-Type": "application/octet-stream",
                    "TTL": str(DAY),
                    "Urgency": "normal",
                },
                extensions=first_byte.extensions,
            )
        except (TargetRefused, httpx.InvalidURL) as error:
            return Rejected(str(error)[:300], suppress=SuppressReason.INVALID)
        except httpx.HTTPError as error:
            if first_byte.written:
                raise
            return Deferred(f"{type(error).__name__}: {error}"[:300], ASK_AGAIN)
        return classify(answer, outgoing.attempt_id)

    def _signed(self, endpoint: str) -> dict[str, str]:
        parts = urlsplit(endpoint)
        claims = {"aud": f"{parts.scheme}://{parts.netloc}", "exp": int(time.time()) + LIFE, "sub": self._subject}
        made: dict[str, str] = self._vapid.sign(claims)
        return made


def payload(outgoing: Outgoing) -> bytes:
    """What the service worker shows."""
    title, text, link = notice(outgoing)
    short = text.encode()[:MOST_TEXT].decode(errors="ignore")
    about = {"tag": outgoing.facts.invoice_ref, "attempt_id": outgoing.attempt_id}
    return json.dumps({"title": title[:200], "body": short, "url": link, **about})


def encrypted(to: Subscription, content: bytes) -> bytes:
    """With a key of this one message."""
    made: bytes = http_ece.encrypt(
        content,
        salt=os.urandom(16),
        private_key=ec.generate_private_key(ec.SECP256R1()),
        dh=to.p256dh,
        auth_secret=to.auth,
        version="aes128gcm",
    )
    return made


def classify(answer: httpx.Response, attempt_id: str) -> Outcome:
    detail = f"{answer.status_code} {answer.text}".strip()[:300]
    match answer.status_code:
        case 200 | 201 | 202 | 204:
            return Accepted(answer.headers.get("Location", attempt_id)[:500], detail[:3])
        case 404 | 410:
            return Rejected(detail, suppress=SuppressReason.INVALID)
        case 401 | 403:
            return Rejected(f"{detail}; it was subscribed with another VAPID key than DUNNOCK_PUSH_VAPID_KEY"[:300])
        case 429:
            return Deferred(detail, wait_of(answer) or ASK_AGAIN)
        case status if status >= 500:
            return Unknown(detail)
        case _:
            return Rejected(detail)
