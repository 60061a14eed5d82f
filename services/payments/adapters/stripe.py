"""Stripe's events (https://docs.stripe.com/webhooks).

True here: everything that Stripe says of one payment has one id, the payment intent's, whichever object says it; so a
checkout session, its payment intent and its invoice are one payment, and a refund or a dispute takes that one back.
Amounts are whole minor units of the currency. A refund counts what is new in it (Stripe sends the sum so far). Money
that a won dispute gives back is a payment of its own, under the dispute's id.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any

from services.payments.domain.checkout import STRIPE_UNITS
from services.payments.domain.minor_units import from_minor
from services.payments.domain.ports import Headers, Heard, Unreadable
from services.payments.domain.source_settings import TOLERANCE, StripeSettings

_TIME = re.compile(rb"[0-9]{1,12}")
_SIGNATURE = re.compile(rb"[0-9a-f]{64}")
_MOST_PARTS = 40

Object = dict[str, Any]


class Stripe:
    def __init__(self, settings: StripeSettings) -> None:
        self._keys = tuple(secret.encode() for secret in settings.secrets)

    def is_genuine(self, headers: Headers, body: bytes, now: float) -> bool:
        parts = [part.strip().partition(b"=") for part in headers.get(b"stripe-signature", b"").split(b",")]
        times = [value for name, _, value in parts[:_MOST_PARTS] if name == b"t" and _TIME.fullmatch(value)]
        given = [value for name, _, value in parts[:_MOST_PARTS] if name == b"v1" and _SIGNATURE.fullmatch(value)]
        if len(times) != 1:
            return False
        right = False
        for key in self._keys:
            expected = hmac.new(key, times[0] + b"." + body, hashlib.sha256).hexdigest().encode()
            for signature in given:
                right |= hmac.compare_digest(expected, signature)
        return right and abs(now - int(times[0])) <= TOLERANCE

    def hear(self, headers: Headers, value: Any, body: bytes) -> Heard | None:
        event = _object(value, "the event")
        read = _EVENTS.get(str(event.get("type")))
        if read is None:
            return None
        data = _object(event.get("data"), "data")
        said = read(_object(data.get("object"), "data.object"), _object(data.get("previous_attributes") or {}, "data"))
        if said is None:
            return None
        kind, payment, event_ref = said
        event_ref = event_ref or _text(event, "id")
        return Heard(event_ref, {"type": f"payment.{kind}", "data": payment})


Said = tuple[str, Object, str | None]
"""The kind, the payment's data, and what tells the event apart (None: Stripe's id of the event)."""


def _intent(kind: str) -> Callable[[Object, Object], Said | None]:
    def read(intent: Object, _: Object) -> Said | None:
        amount = intent.get("amount_received") if kind == "confirmed" else intent.get("amount")
        return kind, _payment(intent, _text(intent, "id"), amount), None

    return read


def _invoice(invoice: Object, _: Object) -> Said | None:
    if not invoice.get("amount_paid"):
        return None  # nothing was owed, or it was paid outside
    return "confirmed", _payment(invoice, _invoice_payment(invoice), invoice["amount_paid"]), None


def _session(session: Object, _: Object) -> Said | None:
    if session.get("mode") == "setup" or not session.get("amount_total"):
        return None
    kind = "confirmed" if session.get("payment_status") == "paid" else "pending"
    return (
        kind,
        _payment(session, _id(session.get("payment_intent")) or _text(session, "id"), session["amount_total"]),
        None,
    )


def _session_failed(session: Object, _: Object) -> Said | None:
    payment = _id(session.get("payment_intent")) or _text(session, "id")
    return "failed", _payment(session, payment, session.get("amount_total")), None


def _refund(charge: Object, before: Object) -> Said | None:
    new = _whole(charge.get("amount_refunded")) - _whole(before.get("amount_refunded") or 0)
    if new <= 0:
        return None
    return "reversed", _payment(charge, _id(charge.get("payment_intent")) or _text(charge, "id"), new), None


def _withdrawn(dispute: Object, _: Object) -> Said | None:
    """Said twice, when the dispute opens and when the money goes: the dispute's id makes it one."""
    if str(dispute.get("status", "")).startswith("warning"):
        return None  # an inquiry: no money moves
    payment = _id(dispute.get("payment_intent")) or _id(dispute.get("charge")) or _text(dispute, "id")
    return "reversed", _payment(dispute, payment, dispute.get("amount")), _text(dispute, "id")


def _reinstated(dispute: Object, _: Object) -> Said | None:
    return "confirmed", _payment(dispute, _text(dispute, "id"), dispute.get("amount")), _text(dispute, "id")


def _closed(dispute: Object, before: Object) -> Said | None:
    return _reinstated(dispute, before) if dispute.get("status") == "won" else None


_EVENTS: dict[str, Callable[[Object, Object], Said | None]] = {
    "payment_intent.succeeded": _intent("confirmed"),
    "payment_intent.processing": _intent("pending"),
    "payment_intent.payment_failed": _intent("failed"),
    "payment_intent.canceled": _intent("failed"),
    "invoice.paid": _invoice,
    "checkout.session.completed": _session,
    "checkout.session.async_payment_succeeded": _session,
    "checkout.session.async_payment_failed": _session_failed,
    "charge.refunded": _refund,
    "charge.dispute.created": _withdrawn,
    "charge.dispute.funds_withdrawn": _withdrawn,
    "charge.dispute.funds_reinstated": _reinstated,
    "charge.dispute.closed": _closed,
}


def _payment(source: Object, payment_id: str, amount: Any) -> Object:
    currency = str(source.get("currency", "")).upper()
    known = _object(source.get("metadata") or {}, "metadata")
    said: Object = {"payment_id": payment_id, "currency": currency, "amount": _amount(amount, currency)}
    if (invoice := known.get("invoice_id") or source.get("client_reference_id")) is not None:
        said["invoice_id"] = str(invoice)
    if (reference := known.get("reference")) is not None:
        said["reference"] = str(reference)
    return said


def _invoice_payment(invoice: Object) -> str:
    """Old versions of the API name the payment intent, newer ones list the payments."""
    if found := _id(invoice.get("payment_intent")):
        return found
    listed = invoice.get("payments")
    for paid in listed.get("data") or () if isinstance(listed, dict) else ():
        payment = paid.get("payment") if isinstance(paid, dict) else None
        if isinstance(payment, dict) and (found := _id(payment.get("payment_intent"))):
            return found
    return _text(invoice, "id")


def _amount(amount: Any, currency: str) -> str:
    try:
        return from_minor(_whole(amount), currency, STRIPE_UNITS)
    except ValueError as error:
        raise Unreadable(f"data.object.amount: {error}") from None


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise Unreadable("data.object: an amount must be a whole number of the currency's smallest unit")
    return value


def _id(value: Any) -> str | None:
    """An id, or an object that was expanded in its place."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def _text(value: Object, name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or not found:
        raise Unreadable(f"{name!r} is missing; this is not an event of Stripe's")
    return found


def _object(value: Any, name: str) -> Object:
    if not isinstance(value, dict):
        raise Unreadable(f"{name} must be an object; this is not an event of Stripe's")
    return value
