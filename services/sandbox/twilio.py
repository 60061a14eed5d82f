"""The double of Twilio: one account, its credentials, its error answers, and signed callbacks to our webhooks.

Each resource (messages now; calls and others by a file of their own) is a `Resource` that uses the `Account`.
A callback is signed over the public URL exactly as Twilio does, whatever address it is really sent to.
"""

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from yarl import URL

from services.sandbox.addresses import Fault
from services.sandbox.errands import GiveUp, Handler, TryLater
from services.sandbox.faults import Faults
from services.sandbox.twilio_api import Operation

if TYPE_CHECKING:
    import aiohttp

API_VERSION = "2010-04-01"
PREFIX = "/sandbox/twilio"
ACCOUNTS = f"{PREFIX}/{API_VERSION}/Accounts"
E164 = re.compile(r"\+[1-9]\d{6,14}")
ATTEMPT = re.compile(r"(?P<reminder>\d+)\.\d+")
MESSAGES = {
    20001: "Unknown parameters: {names}",
    20003: "Authentication Error - invalid username",
    20404: "The requested resource was not found",
    20422: "Invalid parameter: {names}",
    20429: "Too Many Requests",
    20500: "An internal server error has occurred",
    21201: "No 'To' number specified",
    21205: "Url is not a valid URL: {url}",
    21210: "'From' phone number not verified: {from_}",
    21211: "Invalid 'To' Phone Number: {to}",
    21212: "Invalid 'From' Phone Number: {from_}",
    21214: "'To' phone number cannot be reached: {to}",
    21215: "Account not authorized to call {to}. Perhaps you need to enable some international permissions.",
    21216: "Account not allowed to call {to}",
    21217: "Phone number does not appear to be valid: {to}",
    21602: "Message body is required.",
    21603: "A 'From' phone number is required.",
    21604: "A 'To' phone number is required.",
    21606: "The 'From' phone number {from_} is not a valid, SMS-capable inbound phone number for your account.",
    21609: "The 'StatusCallback' URL {url} is not a valid URL",
    21610: "Attempt to send to unsubscribed recipient",
    21611: "This 'From' number has exceeded the maximum number of queued messages",
    21612: "The 'To' phone number: {to}, is not currently reachable using the 'From' phone number: {from_} via SMS.",
    21614: "'To' number: {to}, is not a valid mobile number",
    21617: "The concatenated message body exceeds the 1600 character limit.",
    21655: "The ContentSid is Invalid",
    21656: "The Content Variables parameter is invalid",
}
OWN_CODES = ("Url", "StatusCallback", "ContentSid")  # 21205, 21609, 21655
STATUS = {20003: 401, 20404: 404, 20429: 429, 20500: 500}


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between callbacks, until a telephone is picked up, of a delayed answer, and until a hanging answer is
    given up."""

    callback: float = 0.02
    ring: float = 0.2
    delay: float = 3.0
    hang: float = 300.0


class Refused(Exception):
    """The error answer of one request: Twilio's code with the words it belongs to."""

    def __init__(self, code: int, **words: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = MESSAGES[code].format(**words)

    def response(self) -> JSONResponse:
        status = STATUS.get(self.code, 400)
        more = f"https://www.twilio.com/docs/errors/{self.code}"
        body = {"code": self.code, "message": self.message, "more_info": more, "status": status}
        return JSONResponse(body, status)


def signature(token: str, url: str, params: Mapping[str, str]) -> str:
    """X-Twilio-Signature: HMAC-SHA1 over the URL followed by the sorted form fields, name and value."""
    text = url + "".join(name + params[name] for name in sorted(params))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


class Account:
    """Credentials and callbacks. A URL under `public_url` is reached at `local_url`, as an ingress would do it."""

    def __init__(self, sid: str, token: str, public_url: str, local_url: str) -> None:
        self.sid, self.token = sid, token
        self._public_url, self._local_url = public_url.rstrip("/"), local_url.rstrip("/")
        self._client: aiohttp.ClientSession | None = None

    @property
    def base_url(self) -> str:
        return self._local_url + PREFIX

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.close()

    def authenticate(self, request: Request, sid: str) -> None:
        expected = base64.b64encode(f"{self.sid}:{self.token}".encode()).decode()
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        if sid != self.sid or not hmac.compare_digest(given.encode(), expected.encode()):
            raise Refused(20003)

    async def call_back(self, url: str, params: Mapping[str, str]) -> str:
        """POST a signed callback; the answer's body. Raises TryLater or GiveUp unless the receiver answers 2xx."""
        import aiohttp  # lazy: nothing else needs it, and most sandboxes never call back

        if self._client is None:
            self._client = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=10), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        headers = {"X-Twilio-Signature": signature(self.token, url, params), "User-Agent": "TwilioProxy/1.1"}
        try:
            posting = self._client.post(self._reachable(url), data=params, headers=headers, allow_redirects=False)
            async with posting as answer:
                status, body = answer.status, await answer.text()
        except aiohttp.ClientError as broken:
            raise TryLater(repr(broken)) from broken
        if status >= 500 or status == 429:
            raise TryLater(f"the callback to {url.partition('?')[0]} was answered {status}")
        if status >= 300:
            raise GiveUp(f"the callback to {url.partition('?')[0]} was answered {status}")
        return body

    def _reachable(self, url: str) -> URL:
        if url.startswith(self._public_url + "/"):
            url = self._local_url + url.removeprefix(self._public_url)
        return URL(url, encoded=True)  # as it was signed: quoting it anew would break the signature


class Resource(Protocol):
    """One kind of thing of the account. Raise `Refused` from a route for an error answer."""

    def router(self) -> APIRouter: ...

    def errands(self) -> Mapping[str, Handler]: ...


class Twilio:
    name = "twilio"

    def __init__(self, account: Account, faults: Faults[Fault], resources: Sequence[Resource]) -> None:
        self.account, self.faults = account, faults
        self._resources = resources

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        await self.account.stop()

    def errands(self) -> Mapping[str, Handler]:
        return {kind: handler for resource in self._resources for kind, handler in resource.errands().items()}

    def routers(self) -> Sequence[APIRouter]:
        return [resource.router() for resource in self._resources]


def refuse_for(fault: Fault) -> None:
    if fault is Fault.TOO_MANY:
        raise Refused(20429)
    if fault is Fault.SERVER_ERROR:
        raise Refused(20500)


async def linger(pace: Pace, fault: Fault, request: Request) -> None:
    """Keep the client waiting, but not longer than it waits: a hanging answer must not hold up a shutdown."""
    seconds = {Fault.DELAY: pace.delay, Fault.HANG: pace.hang}.get(fault, 0.0)
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end and not await request.is_disconnected():
        await asyncio.sleep(0.1)


async def form(request: Request, operation: Operation) -> dict[str, str]:
    """What was posted, checked against Twilio's description; what is missing has codes of its own."""
    pairs = parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    if unknown := operation.unknown(pairs):
        raise Refused(20001, names=", ".join(unknown))
    if wrong := operation.badly_typed([pair for pair in pairs if pair[0] not in OWN_CODES]):
        raise Refused(20422, names=", ".join(wrong))
    return dict(pairs)
