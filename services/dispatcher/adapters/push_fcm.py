"""Firebase Cloud Messaging, HTTP v1: for apps.

True here: the service account signs a short-lived grant, nothing else of it leaves; UNREGISTERED is the installation that
is gone, every other refusal that another token would meet too is a fault of our own project.
"""

import time
from collections.abc import Mapping
from typing import Any

import httpx
from google.auth import jwt
from google.auth.crypt import RSASigner

from services.dispatcher.adapters.first_byte import FirstByte, wait_of
from services.dispatcher.domain.outcomes import Accepted, NotSent, Outcome, Rejected, SuppressReason, Unknown
from services.dispatcher.domain.ports import Outgoing
from shared.kernel import json
from shared.kernel.errors import BadRequest

API = "https://fcm.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE, MARGIN = 3600, 120  # seconds: of a grant, and before an access token's end
_ERROR_TYPE = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_OURS = frozenset({"SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR", "PERMISSION_DENIED", "UNAUTHENTICATED", "NOT_FOUND"})


class NoGrant(Exception):
    """Google gives no access token for this service account."""


class Fcm:
    """`account`: the JSON of a service account."""

    def __init__(self, account: Mapping[str, Any], client: httpx.AsyncClient, base_url: str = API) -> None:
        self._signer = RSASigner.from_service_account_info(account)  # type: ignore[no-untyped-call]
        self._email, self._token_uri = account["client_email"], account["token_uri"]
        self._url = f"{base_url.rstrip('/')}/v1/projects/{account['project_id']}/messages:send"
        self._client = client
        self._token, self._until = "", 0.0

    async def send(self, token: str, outgoing: Outgoing, first_byte: FirstByte) -> Outcome:
        try:
            access = await self._access()
        except NoGrant as error:
            return NotSent(str(error), misconfigured=True)
        answer = await self._client.post(
            self._url,
            content=json.dumps(message(token, outgoing)),
            headers={"Authorization": f"Bearer {access}", "Content-Type": "application/json"},
            extensions=first_byte.extensions,
        )
        if answer.status_code == 401:
            self._until = 0.0
        return classify(answer, outgoing.attempt_id)

    async def probe(self) -> bool:
        """Whether the service account is still given access."""
        try:
            await self._access()
        except (NoGrant, httpx.HTTPError):
            return False
        return True

    async def _access(self) -> str:
        """Asked for before the gate, kept for most of its hour; two at once ask twice, which harms nobody."""
        if time.time() > self._until - MARGIN:
            now = int(time.time())
            claims = {"iss": self._email, "aud": self._token_uri, "scope": SCOPE, "iat": now, "exp": now + LIFE}
            signed: bytes = jwt.encode(self._signer, claims)  # type: ignore[no-untyped-call]
            grant = {"grant_type": GRANT, "assertion": signed.decode()}
            answer = await self._client.post(self._token_uri, data=grant)
            said = _read(answer)
            if answer.status_code in (400, 401, 403):
                raise NoGrant(f"the service account is refused: {answer.status_code} {said.get('error')}"[:300])
            if not answer.is_success or not isinstance(said.get("access_token"), str):
                raise httpx.ReadError(f"no access token: {answer.status_code}")
            self._token, self._until = said["access_token"], time.time() + int(said.get("expires_in", LIFE))
        return self._token


def message(token: str, outgoing: Outgoing) -> dict[str, Any]:
    """A notification whose click opens the pay page; apps find the same in `data`."""
    title, text, link = notice(outgoing)
    return {
        "message": {
            "token": token,
            "notification": {"title": title, "body": text},
            "data": {"url": link, "invoice_id": outgoing.facts.invoice_ref, "attempt_id": outgoing.attempt_id},
            "webpush": {"fcm_options": {"link": link}} if link.startswith("https://") else {},
        }
    }


def notice(outgoing: Outgoing) -> tuple[str, str, str]:
    """Title, text and the address that a click opens."""
    return (
        outgoing.rendered.subject or outgoing.facts.creditor_name,
        outgoing.rendered.text.strip(),
        outgoing.facts.pay_url,
    )


def classify(answer: httpx.Response, attempt_id: str) -> Outcome:
    said = _read(answer)
    if answer.is_success:
        return Accepted(str(said.get("name") or attempt_id), str(answer.status_code))
    error = said.get("error")
    error = error if isinstance(error, dict) else {}
    code = _code(error)
    detail = f"{answer.status_code} {code}: {error.get('message', '')}"[:300]
    if code == "UNREGISTERED" or (code == "INVALID_ARGUMENT" and _names_the_token(error)):
        return Rejected(detail, code, SuppressReason.INVALID)
    if answer.status_code == 429:
        return NotSent(detail, retry_in=wait_of(answer))
    if code in _OURS or answer.status_code in (401, 403, 404):
        return NotSent(detail, misconfigured=True)
    return Unknown(detail) if answer.status_code >= 500 else Rejected(detail, code)


def _read(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        said = json.loads(answer.content)
    except BadRequest:
        return {}
    return said if isinstance(said, dict) else {}


def _code(error: Mapping[str, Any]) -> str:
    """FCM's own code where it gives one, else the status of Google's APIs."""
    return next(
        (d["errorCode"] for d in _details(error, _ERROR_TYPE) if "errorCode" in d), str(error.get("status", ""))
    )


def _names_the_token(error: Mapping[str, Any]) -> bool:
    fields = [
        violation.get("field")
        for detail in _details(error, "type.googleapis.com/google.rpc.BadRequest")
        for violation in detail.get("fieldViolations", ())
    ]
    return "message.token" in fields


def _details(error: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    details = error.get("details")
    return [d for d in details if isinstance(d, dict) and d.get("@type") == kind] if isinstance(details, list) else []
