"""One sender for each kind of webhook: what it is set up with, and how it says and signs what happened."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from standardwebhooks.webhooks import Webhook

Signed = dict[str, str]
SECRETS = (
    "whsec_" + base64.b64encode(b"first-secret-of-the-tests").decode(),
    "whsec_" + base64.b64encode(b"second!" * 4).decode(),
)
STRANGER = "whsec_" + base64.b64encode(b"stranger" * 4).decode()


@dataclass(frozen=True)
class Sender:
    """`say` makes the body of (kind, payment, amount in cents, invoice); `sign` its headers with a secret, at a time.
    `never`: a body that is about something else than a payment; None where every body is one."""

    settings: dict[str, Any]
    say: Callable[[str, str, int, str | None], dict[str, Any]]
    sign: Callable[[str, bytes, str, float], Signed]
    never: dict[str, Any] | None
    wrong: dict[str, Any]


def _standard(kind: str, payment: str, cents: int, invoice: str | None) -> dict[str, Any]:
    data = {"payment_id": payment, "amount": f"{cents / 100:.2f}", "currency": "EUR"}
    return {"type": f"payment.{kind}", "data": data | ({"invoice_id": invoice} if invoice else {})}


def _sign_standard(secret: str, body: bytes, event: str, at: float) -> Signed:
    when = datetime.fromtimestamp(at, UTC)
    signature = Webhook(secret).sign(event, when, body.decode())
    return {"webhook-id": event, "webhook-timestamp": str(int(at)), "webhook-signature": signature}


_STRIPE_TYPES = {
    "confirmed": "payment_intent.succeeded",
    "pending": "payment_intent.processing",
    "failed": "payment_intent.payment_failed",
    "reversed": "charge.refunded",
}


def _stripe(kind: str, payment: str, cents: int, invoice: str | None) -> dict[str, Any]:
    made: dict[str, Any] = {
        "object": "payment_intent",
        "id": payment,
        "amount": cents,
        "amount_received": cents,
        "currency": "eur",
        "metadata": {"invoice_id": invoice} if invoice else {},
    }
    if kind == "reversed":
        made |= {"object": "charge", "id": f"ch_{payment}", "payment_intent": payment, "amount_refunded": cents}
    return {"id": "", "object": "event", "type": _STRIPE_TYPES[kind], "data": {"object": made}}


def _sign_stripe(secret: str, body: bytes, _event: str, at: float) -> Signed:
    said = f"{int(at)}.".encode() + body
    return {"stripe-signature": f"t={int(at)},v1={hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()},v0=x"}


_WORDS = {"confirmed": "CAPTURED", "pending": "AUTHORISED", "failed": "DECLINED", "reversed": "CHARGED_BACK"}


def _gateway(kind: str, payment: str, cents: int, invoice: str | None) -> dict[str, Any]:
    payment_of = {"id": payment, "total": {"value": cents, "currency": "EUR"}, "order": invoice}
    return {"notification": {"state": _WORDS[kind], "payment": payment_of}}


def _sign_gateway(secret: str, body: bytes, event: str, at: float) -> Signed:
    said = f"{event}|{int(at * 1000)}|".encode() + body
    signature = base64.b64encode(hmac.digest(secret.encode(), said, "sha512")).decode()
    return {"x-signature": f"sha512={signature}", "x-time": str(int(at * 1000)), "x-event": event}


GATEWAY: dict[str, Any] = {
    "kind": "hmac",
    "secrets": [SECRETS[0]],
    "signature": {
        "header": "X-Signature",
        "algorithm": "sha512",
        "encoding": "base64",
        "prefix": "sha512=",
        "signed": "{id}|{timestamp}|{body}",
        "timestamp_header": "X-Time",
        "id_header": "X-Event",
    },
    "mapping": {
        "status": "notification.state",
        "payment_id": "notification.payment.id",
        "amount": "notification.payment.total.value",
        "currency": "notification.payment.total.currency",
        "invoice_id": "notification.payment.order",
    },
    "statuses": {word: kind for kind, word in _WORDS.items()},
    "amount": "minor",
}

SENDERS = {
    "standard_webhook": Sender(
        {"kind": "standard_webhook", "secrets": [SECRETS[0]]}, _standard, _sign_standard, None, {"type": "payment.made"}
    ),
    "stripe": Sender(
        {"kind": "stripe", "secrets": [SECRETS[0]]},
        _stripe,
        _sign_stripe,
        {"id": "evt_x", "type": "customer.created", "data": {"object": {}}},
        {"id": "evt_y", "type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1"}}},
    ),
    "hmac": Sender(
        GATEWAY,
        _gateway,
        _sign_gateway,
        {"notification": {"state": "OPENED"}},
        {"notification": {"state": "CAPTURED", "payment": {}}},
    ),
}


def message(sender: Sender, body: dict[str, Any], event: str) -> bytes:
    """Stripe tells its events apart by an id in the body; elsewhere the header does."""
    return json.dumps({**body, "id": event} if "object" in body else body).encode()


def signed(sender: Sender, secret: str, body: bytes, event: str, at: float | None = None) -> Signed:
    return {**sender.sign(secret, body, event, time.time() if at is None else at), "content-type": "application/json"}
