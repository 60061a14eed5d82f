"""SMS through Twilio.

A message is created by one POST. An answer decides; without one (or with a 5xx) nobody knows whether an SMS went,
so it stays unknown until a signed callback tells. Faults of our own account never count against a recipient.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import ClassVar, Self
from urllib.parse import quote

import httpx
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from services.dispatcher.adapters.twilio_http import API, Passage, TooManyRequests, TwilioHttp
from services.dispatcher.domain.outcomes import (
    Accepted,
    Delivered,
    Missed,
    NotSent,
    Outcome,
    Receipt,
    Rejected,
    SuppressReason,
    Unknown,
)
from services.dispatcher.domain.ports import Gate, GateClosed, NotSigned, Outgoing, Report, Reported
from shared.content.gsm import segments
from shared.settings import Settings, WebUrl

_OPTED_OUT = frozenset({21610, 30004, 63014})
_BAD_NUMBER = frozenset({21211, 21217, 21401, 21421, 21614, 21635, 30005, 30006})
_OURS = frozenset({20003, 20005, 20008, 20404, 21212, 21408, 21603, 21606, 21607, 21659, 21660, 30002, 30032, 30034})
_LATER = frozenset({30001, 30003})
_SENDER_QUEUE_FULL = 21611


class TwilioConfig(Settings):
    """Without account and token there is no SMS."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_TWILIO_")

    account_sid: str | None = Field(None, description="Twilio account, AC and 32 characters")
    auth_token: SecretStr | None = Field(None, description="Twilio auth token; also checks Twilio's callbacks")
    sms_from: str | None = Field(None, description="sender of texts of creditors without their own, E.164")
    messaging_service_sid: str | None = Field(None, description="Twilio messaging service that picks the sender")
    base_url: WebUrl = Field(API, description="where Twilio's API is")
    concurrency: int = Field(10, ge=1, le=200, description="requests to Twilio at once, 1 to 200")
    connect_timeout: float = Field(1.0, gt=0, description="seconds to reach Twilio")
    timeout: float = Field(15.0, gt=0, description="seconds for one request as a whole; less than DUNNOCK_LEASE")
    price: Decimal = Field(Decimal("0.05"), ge=0, description="what one segment of a text costs")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.account_sid is None) != (self.auth_token is None):
            raise ValueError("DUNNOCK_TWILIO_ACCOUNT_SID and DUNNOCK_TWILIO_AUTH_TOKEN: set both, or none for no SMS")
        return self


class SmsTwilio:
    name: ClassVar[str] = "sms"
    provider: ClassVar[str] = "twilio"

    def __init__(self, config: TwilioConfig) -> None:
        if config.account_sid is None or config.auth_token is None:
            raise ValueError("DUNNOCK_TWILIO_ACCOUNT_SID and DUNNOCK_TWILIO_AUTH_TOKEN are both needed")
        self._config = config
        token = config.auth_token.get_secret_value()
        self._validator = RequestValidator(token)
        self._http = TwilioHttp(
            config.base_url,
            connections=config.concurrency,
            connect_timeout=config.connect_timeout,
            timeout=config.timeout,
        )
        # A given environment keeps the package from reading TWILIO_EDGE and others, which would change the host.
        self._client = Client(config.account_sid, token, http_client=self._http, environment={"TWILIO_EDGE": ""})

    @classmethod
    def from_settings(cls) -> Self | None:
        config = TwilioConfig()
        return None if config.account_sid is None and config.auth_token is None else cls(config)

    @property
    def concurrency(self) -> int:
        return self._config.concurrency

    def price(self, to_address: str) -> Decimal:
        return self._config.price

    def cost(self, outgoing: Outgoing) -> Decimal:
        return self._config.price * segments(outgoing.rendered.text)

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome:
        sender = self._sender(outgoing)
        if not sender:
            return NotSent("no sender: set DUNNOCK_TWILIO_SMS_FROM or the creditor's sms_from", misconfigured=True)
        passage = Passage(gate)
        try:
            gate.check()
            with passage.guarding():
                async with asyncio.timeout(self._config.timeout):
                    message = await self._client.messages.create_async(
                        to=outgoing.to_address,
                        body=outgoing.rendered.text,
                        status_callback=callback_url(outgoing),
                        **sender,
                    )
        except Exception as error:  # noqa: BLE001 a port raises nothing: every error is an outcome
            return classify(error, written=passage.written)
        if not message.sid:
            return Unknown(f"an answer without a message id, status {message.status}")
        return Accepted(message.sid, str(message.status or ""))

    def _sender(self, outgoing: Outgoing) -> dict[str, str]:
        config = self._config
        if outgoing.facts.sms_from or (config.sms_from and not config.messaging_service_sid):
            return {"from_": outgoing.facts.sms_from or config.sms_from or ""}
        return {"messaging_service_sid": config.messaging_service_sid} if config.messaging_service_sid else {}

    def verify_callback(self, public_url: str, params: Mapping[str, str], signature: str) -> bool:
        """Whether Twilio signed this callback; `public_url` as Twilio called it, with its query."""
        return bool(signature) and bool(self._validator.validate(public_url, dict(params), signature))

    def read_report(self, report: Report) -> Sequence[Reported]:
        if not self.verify_callback(report.url, report.form, report.headers.get("x-twilio-signature", "")):
            raise NotSigned
        word = read_callback(report.form)
        return [Reported(report.query.get("attempt", ""), word)] if word else []

    async def probe(self) -> bool:
        try:
            async with asyncio.timeout(self._config.timeout):
                await self._client.api.v2010.accounts(self._config.account_sid).fetch_async()
        except (TwilioRestException, TooManyRequests, httpx.HTTPError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        await self._http.close()


def callback_url(outgoing: Outgoing) -> str:
    """Where Twilio reports about this attempt."""
    return f"{outgoing.callback_url}/{SmsTwilio.provider}?attempt={quote(outgoing.attempt_id)}"


def classify(error: Exception, *, written: bool) -> Outcome:
    """Before the first byte of the request nothing was sent; after it only an answer can say so."""
    text = f"{type(error).__name__}: {error}"[:300]
    match error:
        case GateClosed():
            return NotSent(str(error))
        case TooManyRequests():
            return NotSent(text, retry_in=error.retry_in)
        case TwilioRestException() if error.status < 500:
            return classify_code(error.code or 0, f"{error.status} {error.code}: {error.msg}"[:300], error.status)
        case TwilioServiceException() if error.status < 500:
            return classify_code(error.code, f"{error.status} {error.code}: {error.title}"[:300], error.status)
        case _:
            return Unknown(text) if written else NotSent(text)


def classify_code(code: int, detail: str, status: int = 400) -> Outcome:
    """Twilio's error code, from the answer to a request or from a callback."""
    if code in _OPTED_OUT:
        return Rejected(detail, str(code), SuppressReason.OPTED_OUT)
    if code in _BAD_NUMBER:
        return Rejected(detail, str(code), SuppressReason.INVALID)
    if code == _SENDER_QUEUE_FULL:
        return NotSent(detail, retry_in=timedelta(minutes=1))
    if code in _OURS or status < 400 or status in (401, 403, 404):
        return NotSent(detail, misconfigured=True)
    if code in _LATER:
        return Missed(detail)
    return Rejected(detail, str(code))


def read_callback(params: Mapping[str, str]) -> Receipt | None:
    """What a status callback tells; None for a status on the way (queued, sending)."""
    sid, code = params.get("MessageSid", ""), params.get("ErrorCode", "")
    detail = " ".join(filter(None, (params.get("MessageStatus", ""), code, params.get("ErrorMessage", ""))))[:300]
    match params.get("MessageStatus"):
        case "delivered" | "read":
            return Delivered(sid, detail)
        case "sent":
            return Accepted(sid, detail)
        case "undelivered" | "failed":
            outcome = classify_code(int(code) if code.isascii() and code.isdigit() else 0, detail)
            return outcome if isinstance(outcome, Missed | Rejected) else Rejected(detail, code)
        case _:
            return None
