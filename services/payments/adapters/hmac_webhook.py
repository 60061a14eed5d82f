"""Any gateway that signs a JSON body with an HMAC: where the signature stands and what the body means is settings.

True here: every secret is tried against every signature of the header in constant time; an odd header is a wrong
signature, never an error; the order and the number of headers that settings do not name change nothing.
"""

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import Any

from services.payments.domain.minor_units import from_minor
from services.payments.domain.ports import Headers, Heard, Unreadable
from services.payments.domain.source_settings import HmacSettings, Signature, secret_bytes
from shared.kernel.expressions import found
from shared.kernel.ids import parse_ref

_TIME = re.compile(rb"[0-9]{1,13}")
_EVENT_ID = re.compile(rb"[\x21-\x7e]{1,255}")
_MILLISECONDS = 100_000_000_000  # as seconds: the year 5138
_MOST_SIGNATURES = 20


class HmacWebhook:
    def __init__(self, settings: HmacSettings) -> None:
        self._settings = settings
        self._keys = tuple(secret_bytes(secret, settings.signature.secret) for secret in settings.secrets)

    def is_genuine(self, headers: Headers, body: bytes, now: float) -> bool:
        rule = self._settings.signature
        at = _header(headers, rule.timestamp_header)
        event = _header(headers, rule.id_header)
        if (rule.timestamp_header and not _fresh(at, now, rule.tolerance)) or (
            rule.id_header and not _EVENT_ID.fullmatch(event)
        ):
            return False
        said = _said(rule.signed, body, at, event)
        given = _signatures(_header(headers, rule.header), rule.prefix.encode())
        right = False
        for key in self._keys:
            expected = _encoded(hmac.digest(key, said, rule.algorithm), rule)
            for signature in given:
                right |= hmac.compare_digest(expected, signature.lower() if rule.encoding == "hex" else signature)
        return right

    def hear(self, headers: Headers, value: Any, body: bytes) -> Heard | None:
        mapping = self._settings.mapping
        kind = self._settings.statuses.get(str(_find(mapping.status, value, "status")))
        if kind is None:
            return None
        payment = {
            "payment_id": _ref(_find(mapping.payment_id, value, "payment_id"), "payment_id"),
            **self._money(value, kind),
            **self._optional(value),
        }
        return Heard(self._event_ref(headers, value, body), {"type": f"payment.{kind}", "data": payment})

    def _money(self, value: Any, kind: str) -> dict[str, Any]:
        amount = found(self._settings.mapping.amount, value)
        currency = found(self._settings.mapping.currency, value) or self._settings.currency
        if amount is None and kind in ("reversed", "failed"):
            return {}
        if not isinstance(currency, str):
            raise Unreadable(f"mapping.currency ({self._settings.mapping.currency}) finds no text in the body")
        currency = currency.upper()
        return {"currency": currency, "amount": _amount(amount, currency, self._settings.amount)}

    def _optional(self, value: Any) -> dict[str, Any]:
        mapping = self._settings.mapping
        named = {name: _maybe(getattr(mapping, name), value) for name in ("invoice_id", "reference")}
        said: dict[str, Any] = {name: text for name, text in named.items() if text}
        if paid_at := _maybe(mapping.paid_at, value):
            said["paid_at"] = _time(paid_at)
        payer = {"name": _maybe(mapping.payer_name, value), "iban": _maybe(mapping.payer_iban, value)}
        if any(payer.values()):
            said["payer"] = {name: text for name, text in payer.items() if text}
        return said

    def _event_ref(self, headers: Headers, value: Any, body: bytes) -> str:
        if told := _maybe(self._settings.mapping.event_id, value):
            return told[:255]
        event = _header(headers, self._settings.signature.id_header)
        return event.decode("ascii") if event else hashlib.sha256(body).hexdigest()


def _header(headers: Headers, name: str | None) -> bytes:
    return headers.get(name.encode(), b"").strip() if name else b""


def _fresh(at: bytes, now: float, tolerance: int) -> bool:
    if not _TIME.fullmatch(at):
        return False
    seconds = int(at)
    return abs(now - (seconds / 1000 if seconds >= _MILLISECONDS else seconds)) <= tolerance


def _said(template: str, body: bytes, at: bytes, event: bytes) -> bytes:
    """The template's pieces in one pass: a body that holds '{id}' is not a template."""
    pieces = {"{body}": body, "{timestamp}": at, "{id}": event}
    return b"".join(pieces.get(part, part.encode()) for part in re.split(r"(\{body\}|\{timestamp\}|\{id\})", template))


def _signatures(header: bytes, prefix: bytes) -> list[bytes]:
    """Several may stand in one header, with commas or blanks between."""
    given = re.split(rb"[,\s]+", header)[:_MOST_SIGNATURES]
    return [part.removeprefix(prefix) for part in given if part.startswith(prefix)]


def _encoded(digest: bytes, rule: Signature) -> bytes:
    match rule.encoding:
        case "hex":
            return digest.hex().encode()
        case "base64":
            return base64.b64encode(digest)
        case "base64url":
            return base64.urlsafe_b64encode(digest)


def _find(expression: str, value: Any, name: str) -> Any:
    there = found(expression, value)
    if there is None or isinstance(there, dict | list):
        raise Unreadable(f"mapping.{name} ({expression}) finds no text or number in the body")
    return there


def _maybe(expression: str | None, value: Any) -> str | None:
    there = found(expression, value) if expression else None
    return str(there) if isinstance(there, str | int) and not isinstance(there, bool) and there != "" else None


def _ref(value: Any, name: str) -> str:
    try:
        return parse_ref(str(value))
    except ValueError as error:
        raise Unreadable(f"{name} {error}") from None


def _amount(amount: Any, currency: str, unit: str) -> str:
    if isinstance(amount, bool) or not isinstance(amount, str | int | float):
        raise Unreadable("mapping.amount finds no amount in the body")
    try:
        return from_minor(int(str(amount)), currency) if unit == "minor" else str(amount)
    except ValueError as error:
        raise Unreadable(f"the amount {error}") from None


def _time(text: str) -> str:
    """Unix seconds or milliseconds as a time; anything else as it is, to be checked like every time."""
    if not text.isascii() or not text.isdigit() or len(text) > 13:
        return text
    seconds = int(text)
    return datetime.fromtimestamp(seconds / 1000 if seconds >= _MILLISECONDS else seconds, UTC).isoformat()
