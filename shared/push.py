"""Where a push message goes, as one line of text: an app's registration token (FCM), or a browser's subscription (web push).

True here: one subscription has one spelling, `https://push.example/endpoint#auth=...&p256dh=...`, whether it came as the
browser's JSON or as that line; its keys are usable ones, so that encrypting for it cannot fail later. Pure.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from shared.kernel import json
from shared.kernel.errors import BadRequest
from shared.outgoing.addresses import NotAnAddress, literal, why_denied

LONGEST = 4096
_TOKEN = re.compile(r"[A-Za-z0-9_:.-]{20,4096}", re.ASCII)
_ENDPOINT = re.compile(r"https?://[!-~]{4,2000}", re.ASCII)
_UNSAFE = frozenset("\"'<>\\^`{|}#")


@dataclass(frozen=True, slots=True)
class Token:
    """FCM's name for one installation of an app."""

    token: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """`p256dh`: the browser's public key, 65 bytes; `auth`: 16 bytes (RFC 8291)."""

    endpoint: str
    p256dh: bytes
    auth: bytes

    def __str__(self) -> str:
        return f"{self.endpoint}#auth={_encoded(self.auth)}&p256dh={_encoded(self.p256dh)}"


def parse_push(text: str, *, sandbox: bool = False) -> Token | Subscription:
    """ValueError says what it should be. `sandbox`: push services of this machine exist."""
    if len(text) > LONGEST:
        raise ValueError(f"must have at most {LONGEST} characters")
    if text.startswith("{"):
        return _from_json(text, sandbox)
    if "://" in text:
        endpoint, _, keys = text.partition("#")
        given = {name: values[-1] for name, values in parse_qs(keys).items()}
        return _checked(endpoint, given.get("p256dh"), given.get("auth"), sandbox)
    if not _TOKEN.fullmatch(text):
        raise ValueError("must be an FCM registration token, or a web push subscription as the browser's JSON")
    return Token(text)


def normalise_push(text: str, *, sandbox: bool = False) -> str:
    """The one spelling."""
    found = parse_push(text, sandbox=sandbox)
    return found.token if isinstance(found, Token) else str(found)


def subscription(value: object, *, sandbox: bool = False) -> Subscription:
    """Of what a browser's `PushSubscription.toJSON()` gives."""
    if not isinstance(value, dict) or not isinstance(value.get("keys"), dict):
        raise ValueError("must be a PushSubscription with 'endpoint' and 'keys'")
    return _checked(value.get("endpoint"), value["keys"].get("p256dh"), value["keys"].get("auth"), sandbox)


def _from_json(text: str, sandbox: bool) -> Subscription:
    try:
        value = json.loads(text.encode())
    except BadRequest as error:
        raise ValueError(f"must be a web push subscription as JSON; {error.detail}") from None
    return subscription(value, sandbox=sandbox)


def _checked(endpoint: object, p256dh: object, auth: object, sandbox: bool) -> Subscription:
    if not isinstance(endpoint, str) or not _ENDPOINT.fullmatch(endpoint) or _UNSAFE & set(endpoint):
        raise ValueError("'endpoint' must be the https address that the browser gave")
    _check_host(endpoint, sandbox)
    point, secret = _decoded(p256dh, 65), _decoded(auth, 16)
    if point is None or secret is None:
        raise ValueError(
            "'keys' must hold 'p256dh' (65 bytes) and 'auth' (16 bytes) in base64url, as the browser gave them"
        )
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise ValueError("'p256dh' is not a public key on P-256") from None
    return Subscription(endpoint, point, secret)


def _check_host(endpoint: str, sandbox: bool) -> None:
    """Without asking a name server: whoever sends asks, and checks again."""
    if sandbox:
        return
    try:
        address = literal((urlsplit(endpoint).hostname or "").lower())
    except (NotAnAddress, ValueError):
        raise ValueError("'endpoint' must name a host of the internet") from None
    if not endpoint.startswith("https://") or (address is not None and why_denied(address)):
        raise ValueError("'endpoint' must be an https address of the internet")


def _decoded(value: object, size: int) -> bytes | None:
    if not isinstance(value, str) or len(value) > 200:
        return None
    try:
        found = base64.b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if len(found) == size else None


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
