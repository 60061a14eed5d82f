"""The channel http: any API, spoken to as an operator has described it.

True here: every request goes through the outgoing guard, is signed or authorised as described, carries the attempt as its
Idempotency-Key, and is written at most once. A 5xx or silence is unknown; faults of our own account never count against a
recipient.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Self

import httpx
from jinja2 import TemplateError
from standardwebhooks import Webhook, WebhookVerificationError

from services.dispatcher.adapters.first_byte import FirstByte, wait_of
from services.dispatcher.domain.http_api import ADDRESS, ApiKey, Basic, Bearer, HttpApi, StandardWebhook, judged
from services.dispatcher.domain.http_words import read_word, values_of
from services.dispatcher.domain.outcomes import (
    Accepted,
    Deferred,
    NotSent,
    Outcome,
    Rejected,
    SuppressReason,
    Unknown,
)
from services.dispatcher.domain.ports import LONGEST, Gate, NotSigned, Outgoing, Report, Reported
from shared.kernel import json
from shared.kernel.errors import BadRequest
from shared.outgoing import Guard, TargetRefused, guarded_client

LARGEST_BODY = 256 * 1024
ASK_AGAIN = timedelta(minutes=5)  # when the host of a customer's own address cannot be found


class TooMuch(Exception):
    """The request would be larger than anybody expects of a message."""


class HttpChannel:
    """One described API; `provider` is its name."""

    name: ClassVar[str] = "http"
    provider: str = "api"

    def __init__(self, provider: str, api: HttpApi, guard: Guard, *, connect_timeout: float = 1.0) -> None:
        self.provider = provider
        self.api = api
        self._client = guarded_client(
            guard, timeout=LONGEST, connect_timeout=connect_timeout, connections=api.concurrency
        )

    @classmethod
    def from_settings(cls) -> Self | None:
        """APIs are described through PUT /v1/channels/http/providers/{name}, none by a setting."""
        return None

    @property
    def receipts(self) -> bool:
        return self.api.receipts is not None

    @property
    def concurrency(self) -> int:
        return self.api.concurrency

    def price(self, to_address: str) -> Decimal:
        return self.api.price

    def cost(self, outgoing: Outgoing) -> Decimal:
        return self.api.price

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome:
        first_byte = FirstByte(gate)
        try:
            gate.check()
            request = self._request(outgoing, first_byte)
            async with asyncio.timeout(gate.within(self.api.timeout)):
                answer = await self._client.send(request)
            return self._read(answer, outgoing)
        except (TemplateError, TooMuch) as error:
            return Rejected(f"the request cannot be made: {error}"[:300])
        except Exception as error:  # noqa: BLE001 a port raises nothing: every error is an outcome
            return self._own_address(error, first_byte) or first_byte.lost(error)

    def _request(self, outgoing: Outgoing, first_byte: FirstByte) -> httpx.Request:
        api, values = self.api, values_of(outgoing, self.provider)
        content = b"" if api.body is None else json.dumps(api.fill_body(values))
        if len(content) > LARGEST_BODY:
            raise TooMuch(f"its body has more than {LARGEST_BODY} bytes")
        headers = {**api.fill_headers(values), "Idempotency-Key": outgoing.attempt_id}
        if content:
            headers["Content-Type"] = "application/json"
        headers.update(self._credentials(outgoing.attempt_id, content))
        return self._client.build_request(
            api.method,
            api.fill_url(values),
            headers=[(name.encode(), value.encode()) for name, value in headers.items()],
            content=content or None,
            extensions=first_byte.extensions,
        )

    def _credentials(self, attempt_id: str, content: bytes) -> Mapping[str, str]:
        match self.api.auth:
            case Bearer(token=token):
                return {"Authorization": f"Bearer {token}"}
            case Basic(username=username, password=password):
                named = base64.b64encode(f"{username}:{password}".encode()).decode()
                return {"Authorization": f"Basic {named}"}
            case ApiKey(name=name, value=value):
                return {name: value}
            case StandardWebhook(secret=secret):
                now = datetime.now(UTC)
                signed = Webhook(secret).sign(attempt_id, now, content.decode())
                stamp = str(int(now.timestamp()))
                return {"webhook-id": attempt_id, "webhook-timestamp": stamp, "webhook-signature": signed}
            case _:
                return {}

    def _own_address(self, error: Exception, first_byte: FirstByte) -> Outcome | None:
        """Where the URL is the customer's, what is wrong with it is wrong with this customer alone: it stops no other's."""
        if self.api.url != ADDRESS:
            return None
        match error:
            case TargetRefused() | httpx.InvalidURL():
                return Rejected(str(error)[:300], suppress=SuppressReason.INVALID)
            case httpx.HTTPError() if not first_byte.written:
                return Deferred(f"{type(error).__name__}: {error}"[:300], ASK_AGAIN)
            case _:
                return None

    def _read(self, answer: httpx.Response, outgoing: Outgoing) -> Outcome:
        said, api = _json(answer), self.api
        detail = f"{answer.status_code} {answer.reason_phrase}"[:300]
        if judged(api.refusals.opted_out, said):
            return Rejected(detail, suppress=SuppressReason.OPTED_OUT)
        if judged(api.refusals.invalid_address, said):
            return Rejected(detail, suppress=SuppressReason.INVALID)
        if judged(api.refusals.try_later, said):
            return NotSent(detail, retry_in=wait_of(answer))
        if not answer.is_success:
            return classify(answer, detail, own=api.url == ADDRESS)
        if (api.success.statuses and answer.status_code not in api.success.statuses) or (
            api.success.rule is not None and not judged(api.success.rule, said)
        ):
            return Rejected(f"{detail}, not a success by the provider's rule")
        found = judged(api.message_id, said)
        return Accepted(str(found)[:200] if isinstance(found, str | int) else outgoing.attempt_id, detail)

    def read_report(self, report: Report) -> Sequence[Reported]:
        receipts = self.api.receipts
        if receipts is None or not _signed(receipts.secrets, report):
            raise NotSigned
        said = json.loads(report.body)
        attempt = report.query.get("attempt") or judged(receipts.attempt, said)
        word = str(judged(receipts.status, said) or "")
        detail = str(judged(receipts.detail, said) or "")[:300]
        found = read_word(receipts.words.get(word, word), " ".join(filter(None, (word[:100], detail))))
        return [Reported(str(attempt or ""), found)] if found else []

    async def probe(self) -> bool:
        """Whether its host takes a connection; nothing is asked of the API, which might count it."""
        if self.api.host_url is None:
            return True
        try:
            async with asyncio.timeout(self.api.timeout):
                answer = await self._client.head(self.api.host_url)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return False
        return answer.status_code < 500

    async def close(self) -> None:
        await self._client.aclose()


def classify(answer: httpx.Response, detail: str, *, own: bool) -> Outcome:
    """An answer that is no success. `own`: the address is the customer's, so its faults are not those of our account."""
    match answer.status_code:
        case 429 if own:
            return Deferred(detail, wait_of(answer) or ASK_AGAIN)
        case 429:
            return NotSent(detail, retry_in=wait_of(answer))
        case 410:
            return Rejected(detail, suppress=SuppressReason.INVALID)
        case status if status >= 500 or status == 408:
            return Unknown(detail)
        case 401 | 403 | 405 | 415 if not own:
            return NotSent(detail, misconfigured=True)
        case status if 300 <= status < 400 and not own:
            return NotSent(f"{detail}; redirects are not followed", misconfigured=True)
        case _:
            return Rejected(detail)


def _json(answer: httpx.Response) -> Any:
    try:
        return json.loads(answer.content)
    except BadRequest:
        return None


def _signed(secrets: Sequence[str], report: Report) -> bool:
    """With any of them: during a rotation both are valid."""
    return any(_signed_with(secret, report) for secret in secrets)


def _signed_with(secret: str, report: Report) -> bool:
    try:
        Webhook(secret).verify(report.body, dict(report.headers), json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True
