"""The doubles of the push services: FCM's HTTP v1 with its token endpoint, and a web push service whose browsers live here.

True here: a grant and a VAPID token are verified, and a web push is decrypted with its browser's key, so that what is
listed is what a handset would have shown. Keys of browsers are derived from their names: a restart keeps them.
"""

import base64
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import http_ece
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from google.auth import jwt
from py_vapid import Vapid02
from pydantic import Field

from services.sandbox.addresses import Fault
from services.sandbox.errands import Handler
from services.sandbox.faults import Faults, linger
from services.sandbox.store import Message, Store
from shared.web.strict import StrictModel, strict_router

PROJECT, EMAIL = "sandbox", "dunnock@sandbox.iam.gserviceaccount.com"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
ATTEMPT = re.compile(r"(?P<reminder>\d+)\.\d+")
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
FAULTS = [Fault.TOO_MANY, Fault.SERVER_ERROR, Fault.ACCEPT_THEN_ERROR, Fault.HANG, Fault.DELAY]


class BrowserIn(StrictModel):
    name: str = Field(pattern=r"^[a-z0-9-]{1,60}$", examples=["ana"])


class PushServices:
    """Tokens that begin with `unregistered` or `invalid` are refused as FCM does; browsers named `gone-...` with 410."""

    name = "push"

    def __init__(
        self, secret: bytes, local_url: str, store: Store, now: Callable[[], datetime], delay: float, hang: float
    ) -> None:
        self.faults = Faults(FAULTS)
        self._secret, self._store, self._now = secret, store, now
        self._base_url = local_url.rstrip("/") + "/sandbox"
        self._pauses = {Fault.DELAY: delay, Fault.HANG: hang}
        self._google = rsa.generate_private_key(65537, 2048)
        self._access = "ya29." + secrets.token_urlsafe(24)

    # --- what an adapter is configured with

    @property
    def account(self) -> str:
        """The JSON of a service account that this double gives access."""
        key = self._google.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": "sandbox",
                "private_key": key,
                "client_email": EMAIL,
                "token_uri": f"{self._base_url}/fcm/token",
            }
        )

    @property
    def fcm_url(self) -> str:
        """Takes the place of https://fcm.googleapis.com."""
        return f"{self._base_url}/fcm"

    @property
    def web_url(self) -> str:
        """Takes the place of all push services of browsers."""
        return f"{self._base_url}/webpush"

    @property
    def vapid_key(self) -> str:
        return _text(self._derived("vapid").to_bytes(32, "big"))

    def browser(self, name: str) -> dict[str, Any]:
        """What `PushSubscription.toJSON()` would say in this browser."""
        point = self._browser_key(name).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": _text(point), "auth": _text(self._browser_secret(name))}
        return {"endpoint": f"{self._base_url}/webpush/{name}", "expirationTime": None, "keys": keys}

    # --- a double

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    def errands(self) -> Mapping[str, Handler]:
        return {}

    def routers(self) -> Sequence[APIRouter]:
        router = strict_router("sandbox")
        hidden: dict[str, Any] = {"methods": ["POST"], "include_in_schema": False}
        router.add_api_route("/sandbox/fcm/token", self.grant, **hidden)
        router.add_api_route("/sandbox/fcm/v1/projects/{project}/messages:send", self.send, **hidden)
        router.add_api_route("/sandbox/webpush", self.receive, **hidden)
        router.add_api_route("/sandbox/webpush/{name}", self.receive_at, **hidden)

        @router.post("/sandbox/browsers", status_code=201, summary="A browser that is subscribed to web push")
        async def browser(body: BrowserIn) -> dict[str, Any]:
            return self.browser(body.name)

        return [router]

    # --- FCM

    async def grant(self, request: Request) -> Response:
        async with request.form() as form:
            assertion = str(form.get("assertion", ""))
        public = self._google.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        try:
            claims = jwt.decode(assertion, certs=public, audience=f"{self._base_url}/fcm/token")  # type: ignore[no-untyped-call]
        except ValueError:
            claims = {}
        if claims.get("iss") != EMAIL or "firebase.messaging" not in claims.get("scope", ""):
            return JSONResponse({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
        return JSONResponse({"access_token": self._access, "expires_in": 3599, "token_type": "Bearer"})

    async def send(self, project: str, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {self._access}":
            return _google(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if project != PROJECT:
            return _google(403, "PERMISSION_DENIED", "Permission denied on this project.")
        message = (await request.json()).get("message", {})
        token = str(message.get("token", ""))
        refused = _refused(token)
        if refused is not None:
            return refused
        fault = self.faults.take() or Fault.NONE
        if fault is Fault.TOO_MANY:
            return _google(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", "QUOTA_EXCEEDED", retry_after=1)
        if fault is Fault.SERVER_ERROR:
            return _google(500, "INTERNAL", "Internal error encountered.", "INTERNAL")
        notification, data = message.get("notification", {}), message.get("data", {})
        made = self._message(token, notification, data.get("attempt_id", ""), data)
        await self._store.accept(made)
        await linger(self._pauses.get(fault, 0.0), request)
        if fault is Fault.ACCEPT_THEN_ERROR:
            return _google(503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE")
        return JSONResponse({"name": f"projects/{PROJECT}/messages/{made.message_id}"})

    # --- web push

    async def receive(self, request: Request, endpoint: str = "") -> Response:
        """For whatever endpoint; one of a browser of this double is read as that browser would."""
        own, slash, name = endpoint.rpartition("/")
        return await self._push(name if slash and own == f"{self._base_url}/webpush" else None, endpoint, request)

    async def receive_at(self, name: str, request: Request) -> Response:
        return await self._push(name, f"{self._base_url}/webpush/{name}", request)

    async def _push(self, name: str | None, endpoint: str, request: Request) -> Response:
        if not _signed(request.headers.get("authorization", "")) or not request.headers.get("ttl", "").isdigit():
            return Response("the VAPID token or the TTL is missing or wrong", 403)
        if name is not None and name.startswith("gone"):
            return Response("push subscription has unsubscribed or expired.", 410)
        fault = self.faults.take() or Fault.NONE
        if fault is Fault.TOO_MANY:
            return Response("too many requests", 429, headers={"Retry-After": "1"})
        if fault is Fault.SERVER_ERROR:
            return Response("internal error", 500)
        try:
            shown = {} if name is None else self._decrypted(name, await request.body())
        except (http_ece.ECEException, InvalidTag, ValueError):
            return Response("this browser cannot decrypt it", 400)
        made = self._message(endpoint, shown or {"body": "(encrypted)"}, str(shown.get("attempt_id", "")), shown)
        await self._store.accept(made)
        await linger(self._pauses.get(fault, 0.0), request)
        if fault is Fault.ACCEPT_THEN_ERROR:
            return Response("unavailable", 503)
        return Response(status_code=201, headers={"Location": f"{self._base_url}/webpush-messages/{made.message_id}"})

    def _decrypted(self, name: str, body: bytes) -> dict[str, Any]:
        content = http_ece.decrypt(
            body, private_key=self._browser_key(name), auth_secret=self._browser_secret(name), version="aes128gcm"
        )
        shown: dict[str, Any] = json.loads(content)
        return shown

    def _message(self, to: str, shown: Mapping[str, Any], attempt_id: str, data: Mapping[str, Any]) -> Message:
        attempt = ATTEMPT.fullmatch(attempt_id)
        return Message(
            message_id="PU" + secrets.token_hex(16),
            channel="push",
            to=to,
            sent_at=self._now(),
            subject=shown.get("title"),
            text="\n".join(filter(None, (str(shown.get("body", "")), str(data.get("url", ""))))),
            reminder_id=int(attempt["reminder"]) if attempt else None,
        )

    def _derived(self, purpose: str) -> int:
        return int.from_bytes(hmac.digest(self._secret, purpose.encode(), "sha256"), "big") % (ORDER - 1) + 1

    def _browser_key(self, name: str) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self._derived(f"browser {name}"), ec.SECP256R1())

    def _browser_secret(self, name: str) -> bytes:
        return hmac.digest(self._secret, f"secret of browser {name}".encode(), "sha256")[:16]


def _refused(token: str) -> Response | None:
    if token.startswith("unregistered"):
        return _google(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED")
    if not token or token.startswith("invalid"):
        said = "The registration token is not a valid FCM registration token"
        violations = [{"field": "message.token", "description": said}]
        return _google(400, "INVALID_ARGUMENT", said, "INVALID_ARGUMENT", violations=violations)
    return None


def _google(
    status: int,
    name: str,
    said: str,
    code: str | None = None,
    *,
    violations: Sequence[Mapping[str, str]] = (),
    retry_after: int | None = None,
) -> Response:
    details: list[dict[str, Any]] = [{"@type": FCM_ERROR, "errorCode": code}] if code else []
    if violations:
        details.append({"@type": BAD_REQUEST, "fieldViolations": list(violations)})
    body = {"error": {"code": status, "message": said, "status": name, "details": details}}
    return JSONResponse(body, status, {"Retry-After": str(retry_after)} if retry_after else None)


def _signed(authorization: str) -> bool:
    """Signed by the key that it names, for about now."""
    try:
        if not Vapid02.verify(authorization):
            return False
        token = dict(part.split("=", 1) for part in authorization.split(" ", 1)[1].split(","))["t"]
        claims = json.loads(_bytes(token.split(".")[1]))
        return str(claims["sub"]).startswith(("mailto:", "https:")) and 0 < claims["exp"] - time.time() < 86_400
    except (AssertionError, ValueError, KeyError, IndexError):
        return False


def _text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
