"""The double of any HTTP API: keeps what is posted to `/sandbox/http/{name}`, and reports about it later, signed.

True here: what was accepted is on the disk, with its report, before the 202. The name `api` is the one that the sandbox
configures as the channel http's provider: it takes only what is signed. Any other name takes everything.
"""

import base64
import hmac
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from standardwebhooks import Webhook, WebhookVerificationError

from services.sandbox.addresses import SANDBOX_DOMAIN, Fault
from services.sandbox.errands import GiveUp, Handler, Rest, TryLater
from services.sandbox.faults import Faults, linger
from services.sandbox.store import Errand, Message, Store
from shared.kernel.errors import TooLarge
from shared.outgoing import public_certificates
from shared.web.strict import strict_router

LIMIT = 1024 * 1024
ATTEMPT = re.compile(r"(?P<reminder>\d+)\.\d+")
REPORT = "http.report"
SIGNED = "api"
REFUSED = {"reject": (422, "invalid_recipient"), "gone": (410, "gone"), "blocked": (422, "opted_out")}
REPORTED = {"undelivered": "undelivered", "asleep": "missed"}


class HttpApis:
    """The first label of an address under `.sandbox.test` decides: `https://reject.sandbox.test/...`."""

    name = "http"

    def __init__(
        self,
        secret: bytes,
        public_url: str,
        local_url: str,
        store: Store,
        now: Callable[[], datetime],
        *,
        delay: float,
        hang: float,
    ) -> None:
        self.faults = Faults(list(Fault))
        self.calls = _secret(secret, "calls")  # what calls are signed with, and reports
        self.reports = _secret(secret, "reports")
        self._public_url, self._local_url = public_url.rstrip("/"), local_url.rstrip("/")
        self._store, self._now = store, now
        self._pauses = {Fault.DELAY: delay, Fault.HANG: hang}
        self._client: httpx.AsyncClient | None = None

    @property
    def url(self) -> str:
        return f"{self._local_url}/sandbox/http/{SIGNED}"

    async def start(self) -> None:
        self._client = httpx.AsyncClient(
            timeout=10, verify=public_certificates(), follow_redirects=False, trust_env=False
        )

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.aclose()

    def errands(self) -> Mapping[str, Handler]:
        return {REPORT: self._report}

    def routers(self) -> Sequence[APIRouter]:
        router = strict_router("sandbox")
        router.add_api_route(
            "/sandbox/http/{name}",
            self.receive,
            methods=["POST"],
            status_code=202,
            summary="The double of any HTTP API: stores what comes",
        )
        return [router]

    async def receive(self, name: str, request: Request) -> Response:
        body = await _read(request)
        if name == SIGNED and not _is_signed(self.calls, body, request):
            return _error(401, "unauthorized")
        said = _json(body)
        fault = self.faults.take() or Fault.NONE
        refused = _refusal(fault, str(said.get("to", "")))
        if refused is not None:
            return refused
        message = self._message(name, request, body, said)
        await self._store.accept(message, self._owed(message, said, fault))
        await linger(self._pauses.get(fault, 0.0), request)
        if fault is Fault.ACCEPT_THEN_ERROR:
            return _error(500, "internal")
        return JSONResponse({"message_id": message.message_id}, 202)

    def _message(self, name: str, request: Request, body: bytes, said: Mapping[str, Any]) -> Message:
        """`Idempotency-Key: {reminder_id}.{fence}` ties it to its reminder."""
        attempt = ATTEMPT.fullmatch(request.headers.get("idempotency-key", ""))
        return Message(
            message_id="HT" + secrets.token_hex(16),
            channel="http",
            to=str(said.get("to") or name.lower()),
            sent_at=self._now(),
            subject=str(said["subject"]) if said.get("subject") else None,
            text=str(said.get("text") or body.decode("utf-8", "replace")),
            reminder_id=int(attempt["reminder"]) if attempt else None,
        )

    def _owed(self, message: Message, said: Mapping[str, Any], fault: Fault) -> list[Errand]:
        url = said.get("callback_url")
        if not isinstance(url, str) or fault is Fault.NO_CALLBACKS:
            return []
        statuses = ["accepted", REPORTED.get(_label(message.to), "delivered")]
        if fault is Fault.REORDER_CALLBACKS:
            statuses.reverse()
        if fault is Fault.DOUBLE_CALLBACKS:
            statuses = [status for status in statuses for _ in range(2)]
        about = {"id": message.message_id, "attempt_id": said.get("attempt_id")}
        return [Errand(REPORT, {"url": url, "about": about, "statuses": statuses})]

    async def _report(self, payload: Mapping[str, Any]) -> Rest | None:
        """One status, then the rest of them a moment later."""
        assert self._client is not None, "the double of HTTP APIs is not started"
        status, *later = payload["statuses"]
        now = datetime.now(UTC)
        body = json.dumps({"type": "message.status", "data": {**payload["about"], "status": status}})
        event = f"{payload['about']['id']}-{status}"
        headers = {
            "webhook-id": event,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self.reports).sign(event, now, body),
            "content-type": "application/json",
        }
        try:
            answer = await self._client.post(self._reachable(payload["url"]), content=body, headers=headers)
        except httpx.HTTPError as broken:
            raise TryLater(repr(broken)) from broken
        if answer.status_code >= 500 or answer.status_code == 429:
            raise TryLater(f"the report was answered {answer.status_code}")
        if answer.status_code >= 300:
            raise GiveUp(f"the report was answered {answer.status_code}")
        return Rest({**payload, "statuses": later}, 0.02) if later else None

    def _reachable(self, url: str) -> str:
        """A URL under the public one is reached here, as an ingress would do it."""
        under = url.startswith(self._public_url + "/")
        return self._local_url + url.removeprefix(self._public_url) if under else url


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT:
            raise TooLarge(f"the sandbox keeps bodies up to {LIMIT} bytes")
    return bytes(body)


def _refusal(fault: Fault, to: str) -> Response | None:
    if fault is Fault.TOO_MANY:
        return _error(429, "too_many", {"Retry-After": "1"})
    if fault is Fault.SERVER_ERROR:
        return _error(500, "internal")
    status, code = REFUSED.get(_label(to), (0, ""))
    return _error(status, code) if status else None


def _label(to: str) -> str:
    """'reject' of https://reject.sandbox.test/..., '' of an address elsewhere."""
    host = (urlsplit(to).hostname or "") if "://" in to else ""
    return host.partition(".")[0] if host.endswith("." + SANDBOX_DOMAIN) else ""


def _error(status: int, code: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"code": code}}, status, headers)


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _is_signed(secret: str, body: bytes, request: Request) -> bool:
    try:
        Webhook(secret).verify(body, dict(request.headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True


def _secret(secret: bytes, purpose: str) -> str:
    return "whsec_" + base64.b64encode(hmac.digest(secret, f"sandbox http {purpose}".encode(), "sha256")).decode()
