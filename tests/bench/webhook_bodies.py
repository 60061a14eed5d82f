"""Signed webhooks as bytes on the wire, made before anything is measured."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime

from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def paid(invoices: Iterable[str], event: str) -> list[bytes]:
    """A request for each invoice, that pays it in full; `event` makes their ids unique."""
    signer, now = Webhook(SECRET), datetime.now(UTC)
    return [_request(signer, now, invoice, f"{event}-{invoice}") for invoice in invoices]


def _request(signer: Webhook, now: datetime, invoice: str, event: str) -> bytes:
    data = {
        "payment_id": event,
        "amount": "1250.00",
        "currency": "EUR",
        "invoice_id": invoice,
        "paid_at": now.isoformat(),
    }
    body = json.dumps({"type": "payment.confirmed", "timestamp": now.isoformat(), "data": data})
    head = (
        "POST /v1/webhooks/bank HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"webhook-id: {event}",
        f"webhook-timestamp: {int(now.timestamp())}",
        f"webhook-signature: {signer.sign(event, now, body)}",
    )
    return ("\r\n".join(head) + "\r\n\r\n" + body).encode()
