"""Stripe, as far as Checkout needs it, over real HTTP: its API, its page to pay on, and the events that it signs.

As Stripe does: form encoding with brackets, unknown parameters refused, one answer for an idempotency key (a failure of
its own too), another body under a known key refused, pages that live from half an hour to a day.
"""

import asyncio
import hashlib
import hmac
import html
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from services.payments.domain.checkout import WINDOW
from tests.doubles.web_server import answer, served, whole_body

KEY = "sk_test_51DunnockDoubleOfStripe"
SECRET = "whsec_of_the_double_of_stripe"
_KNOWN = {
    "mode", "client_reference_id", "metadata[invoice_id]", "payment_intent_data[metadata][invoice_id]",
    "line_items[0][quantity]", "line_items[0][price_data][currency]", "line_items[0][price_data][unit_amount]",
    "line_items[0][price_data][product_data][name]", "locale", "success_url", "cancel_url", "expires_at",
}  # fmt: skip
Tell = Callable[[bytes, dict[str, str]], Awaitable[Any]]


class Wrong(Exception):
    def __init__(self, code: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(code)
        self.status = status
        kind = "idempotency_error" if code == "idempotency_error" else "invalid_request_error"
        self.body = {"error": {"type": kind, "code": code, "param": param, "message": f"{code}: {KEY[:8]}***"}}


@dataclass
class StripeApi:
    """`troubles` happen in turn: a status that is answered instead; `lost`: it is done, and the answer never arrives;
    `hang`: no answer at all. `tell` takes an event to whom it concerns."""

    origin: str = ""
    sessions: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    troubles: list[int | str] = field(default_factory=list)
    tell: Tell | None = None
    page: str | None = None
    paid: set[str] = field(default_factory=set)
    expired: list[str] = field(default_factory=list)
    _answers: dict[str, tuple[bytes, int, Any]] = field(default_factory=dict)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Of the source."""
        checkout = {"api_key": KEY, "api": self.origin, "page": self.origin, **more}
        return {"kind": "stripe", "secrets": [SECRET], "checkout": checkout}

    def amounts(self) -> list[tuple[str, str]]:
        price = "line_items[0][price_data]"
        return [(one[f"{price}[unit_amount]"], one[f"{price}[currency]"]) for one in self.sessions.values()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, headers = await whole_body(receive), dict(scope["headers"])
        if scope["path"] == "/v1/checkout/sessions":
            await self._create(body, headers, send)
        elif scope["path"].endswith("/expire"):
            await self._expire(scope["path"].split("/")[-2], headers, send)
        elif scope["path"].startswith("/c/pay/") and scope["method"] == "POST":
            await self._pay(scope["path"].rsplit("/", 1)[1], send)
        elif scope["path"].startswith("/c/pay/"):
            await self._show(scope["path"].rsplit("/", 1)[1], send)
        else:
            await answer(send, 204)  # a browser's wish for an icon

    async def _expire(self, name: str, headers: dict[bytes, bytes], send: Any) -> None:
        if self.troubles:
            await _json(send, int(self.troubles.pop(0)), {"error": {"type": "api_error"}})
        elif headers.get(b"authorization") != f"Bearer {KEY}".encode():
            await _json(send, 401, Wrong("api_key_invalid").body)
        elif name not in self.sessions or name in {*self.paid, *self.expired}:
            await _json(send, 400, Wrong("not_open").body)
        else:
            self.expired.append(name)
            await _json(send, 200, {"id": name, "object": "checkout.session", "status": "expired"})

    async def _create(self, body: bytes, headers: dict[bytes, bytes], send: Any) -> None:
        key = headers.get(b"idempotency-key", b"").decode()
        self.keys.append(key)
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble == "hang":
            await self.release.wait()
            return
        if trouble in (409, 429):
            await _json(send, trouble, {"error": {"type": "rate_limit_error" if trouble == 429 else "api_error"}})
            return
        status, said = self._answer(key, body, headers, trouble)
        if trouble == "lost":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"999")]})
            return  # cut off before its body
        await _json(send, status, said)

    def _answer(self, key: str, body: bytes, headers: dict[bytes, bytes], trouble: int | str | None) -> tuple[int, Any]:
        try:
            if headers.get(b"authorization") != f"Bearer {KEY}".encode():
                raise Wrong("api_key_invalid", status=401)
            if key in self._answers:
                known, status, said = self._answers[key]
                if known != body:
                    raise Wrong("idempotency_error")
                return status, said
            if isinstance(trouble, int):
                status, said = trouble, {"error": {"type": "api_error"}}
            else:
                status, said = 200, self._session(_fields(body, headers))
        except Wrong as error:
            return error.status, error.body
        self._answers[key] = (body, status, said)
        return status, said

    def _session(self, fields: dict[str, str]) -> dict[str, Any]:
        _check(fields)
        name = f"cs_test_{len(self.sessions) + 1}"
        self.sessions[name] = fields
        url = f"{self.page or self.origin}/c/pay/{name}"
        return {"id": name, "object": "checkout.session", "status": "open", "url": url}

    async def _show(self, name: str, send: Any) -> None:
        fields = self.sessions[name]
        page = (
            f"<title>Stripe</title><p>{html.escape(fields['line_items[0][price_data][unit_amount]'])}</p>"
            f'<form method="post"><button id="pay">Pay</button></form>'
            f'<a id="back" href="{html.escape(fields["cancel_url"])}">Back</a>'
        )
        await answer(send, 200, page.encode(), {"content-type": "text/html"})

    async def _pay(self, name: str, send: Any) -> None:
        self.paid.add(name)
        await self.tell_paid(name)
        await answer(send, 303, b"", {"location": self.sessions[name]["success_url"], "content-length": "0"})

    async def tell_paid(self, name: str) -> Any:
        """Both events that Stripe sends of one payment."""
        fields = self.sessions[name]
        amount = int(fields["line_items[0][price_data][unit_amount]"])
        known = {"currency": fields["line_items[0][price_data][currency]"], "payment_intent": f"pi_{name}"}
        session = {
            **known,
            "object": "checkout.session",
            "id": name,
            "mode": "payment",
            "payment_status": "paid",
            "amount_total": amount,
            "client_reference_id": fields["client_reference_id"],
            "metadata": {"invoice_id": fields["metadata[invoice_id]"]},
        }
        intent = {
            **known,
            "object": "payment_intent",
            "id": f"pi_{name}",
            "amount_received": amount,
            "metadata": {"invoice_id": fields["payment_intent_data[metadata][invoice_id]"]},
        }
        await self._tell("payment_intent.succeeded", intent)
        return await self._tell("checkout.session.completed", session)

    async def _tell(self, kind: str, what: dict[str, Any]) -> Any:
        body = json.dumps({"id": f"evt_{kind}_{what['id']}", "type": kind, "data": {"object": what}}).encode()
        at = int(time.time())
        mac = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        assert self.tell
        return await self.tell(body, {"stripe-signature": f"t={at},v1={mac}", "content-type": "application/json"})


def _fields(body: bytes, headers: dict[bytes, bytes]) -> dict[str, str]:
    if headers.get(b"content-type") != b"application/x-www-form-urlencoded":
        raise Wrong("content_type")
    pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, keep_blank_values=True)
    for name, value in pairs:
        if name not in _KNOWN:
            raise Wrong("parameter_unknown", name)
        if not value:
            raise Wrong("parameter_invalid_empty", name)
    return dict(pairs)


def _check(fields: dict[str, str]) -> None:
    amount = fields.get("line_items[0][price_data][unit_amount]", "")
    if not amount.isdigit():
        raise Wrong("parameter_invalid_integer", "line_items[0][price_data][unit_amount]")
    if int(amount) < 50:
        raise Wrong("amount_too_small")
    if int(amount) > 99_999_999:
        raise Wrong("amount_too_large")
    if not 1800 <= int(fields["expires_at"]) - time.time() <= 86_400:
        raise Wrong("expires_at", "expires_at")
    if fields.get("mode") != "payment" or len(fields["client_reference_id"]) > 200:
        raise Wrong("parameter_invalid", "mode")
    if fields.get("locale") not in ("auto", "en", "es", "pt"):
        raise Wrong("locale", "locale")
    if not all(fields[name].startswith(("https://", "http://")) for name in ("success_url", "cancel_url")):
        raise Wrong("url_invalid", "success_url")


async def early_in_the_half_hour(needed: float = 120.0) -> None:
    """Two clicks are one session within a half hour of the clock: a test of that does not begin at its end."""
    if (left := WINDOW - time.time() % WINDOW) < needed:
        await asyncio.sleep(left)


async def _json(send: Any, status: int, said: Any) -> None:
    await answer(send, status, json.dumps(said).encode(), {"content-type": "application/json"})


@asynccontextmanager
async def stripe_api() -> AsyncIterator[StripeApi]:
    stripe = StripeApi()
    async with served(stripe) as stripe.origin:
        try:
            yield stripe
        finally:
            stripe.release.set()
