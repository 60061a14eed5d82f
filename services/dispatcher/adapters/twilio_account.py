"""A Twilio account as all channels over Twilio use it: one guarded request a message, signed callbacks, a probe.

What must stay true: nothing that Twilio posts is believed without its signature; each channel reads only what is its
own (the scheme before a number names it), so that a callback is understood once, whatever channels are configured.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.messaging_response import MessagingResponse

from services.dispatcher.adapters.twilio_answers import classify
from services.dispatcher.adapters.twilio_http import API, Passage, TooManyRequests, TwilioHttp
from services.dispatcher.domain.outcomes import Accepted, Outcome, Unknown
from services.dispatcher.domain.ports import Gate, NotSigned, Outgoing, Report
from shared.settings import Settings, WebUrl, written_as

Made = TypeVar("Made")
PROVIDER = "twilio"
SERVICE_SID = r"^MG[0-9a-fA-F]{32}$"
SENDER = r"\+[1-9][0-9]{6,14}|[A-Za-z0-9][A-Za-z0-9 &+_-]{0,10}"


class TwilioConfig(Settings):
    """The account and its texts. Without account and token there is nothing over Twilio."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_TWILIO_")

    account_sid: Annotated[str, written_as("AC[0-9a-zA-Z]{1,64}", "AC and 32 characters")] | None = Field(
        None, description="Twilio account, AC and 32 characters"
    )
    auth_token: SecretStr | None = Field(None, description="Twilio auth token; also checks Twilio's callbacks")
    sms_from: Annotated[str, written_as(SENDER, "+4915112345678, or a name of at most 11 characters")] | None = Field(
        None, description="sender of texts of creditors without their own, E.164 or a name"
    )
    messaging_service_sid: str | None = Field(
        None, pattern=SERVICE_SID, description="Twilio messaging service that picks the sender"
    )
    base_url: WebUrl = Field(API, description="where Twilio's API is")
    concurrency: int = Field(10, ge=1, le=200, description="requests to Twilio at once, of each channel, 1 to 200")
    connect_timeout: float = Field(1.0, gt=0, description="seconds to reach Twilio")
    timeout: float = Field(15.0, gt=0, description="seconds for one request as a whole; less than DUNNOCK_LEASE")
    price: Decimal = Field(Decimal("0.05"), ge=0, description="what one segment of a text costs")
    max_segments: int = Field(
        6, ge=1, le=10, description="segments of a text at most, 1 to 10; a longer one is left to the next channel"
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.account_sid is None) != (self.auth_token is None):
            raise ValueError("DUNNOCK_TWILIO_ACCOUNT_SID and DUNNOCK_TWILIO_AUTH_TOKEN: set both, or none for no SMS")
        return self

    @property
    def present(self) -> bool:
        return self.account_sid is not None


class TwilioChannel:
    """What the channels over Twilio have in common; each with connections of its own, so that none waits for another."""

    provider: ClassVar[str] = PROVIDER

    def __init__(self, config: TwilioConfig) -> None:
        if config.account_sid is None or config.auth_token is None:
            raise ValueError("DUNNOCK_TWILIO_ACCOUNT_SID and DUNNOCK_TWILIO_AUTH_TOKEN are both needed")
        self._account = config
        token = config.auth_token.get_secret_value()
        self._validator = RequestValidator(token)
        self._http = TwilioHttp(
            config.base_url,
            connections=config.concurrency,
            connect_timeout=config.connect_timeout,
        )
        # A given environment keeps the package from reading TWILIO_EDGE and others, which would change the host.
        self._client = Client(config.account_sid, token, http_client=self._http, environment={"TWILIO_EDGE": ""})

    @property
    def concurrency(self) -> int:
        return self._account.concurrency

    async def _create(self, gate: Gate, ask: Callable[[Client], Awaitable[Any]]) -> Any | Outcome:
        """What Twilio made, or the outcome of not making it."""
        passage = Passage(gate)
        try:
            gate.check()
            with passage.guarding():
                async with asyncio.timeout(gate.within(self._account.timeout)):
                    made = await ask(self._client)
        except Exception as error:  # noqa: BLE001 a port raises nothing: every error is an outcome
            return classify(error, written=passage.written)
        if not made.sid:
            return Unknown(f"an answer without an id, status {made.status}")
        return made

    async def _message(self, gate: Gate, note: str = "", **fields: str) -> Outcome:
        """One message; `note` is kept beside Twilio's status."""
        made = await self._create(gate, lambda client: client.messages.create_async(**fields))
        if isinstance(made, Outcome):
            return made
        return Accepted(made.sid, ", ".join(filter(None, (str(made.status or ""), note))))

    def verify_callback(self, public_url: str, params: Mapping[str, str], signature: str) -> bool:
        """Whether Twilio signed this callback; `public_url` as Twilio called it, with its query."""
        return bool(signature) and bool(self._validator.validate(public_url, dict(params), signature))

    def _check(self, report: Report) -> None:
        if not self.verify_callback(report.url, report.form, report.headers.get("x-twilio-signature", "")):
            raise NotSigned

    def answer(self, text: str) -> tuple[str, str]:
        """Twilio sends the text back to who wrote."""
        document = MessagingResponse()
        document.message(text)
        return "application/xml", str(document)

    async def probe(self) -> bool:
        try:
            async with asyncio.timeout(self._account.timeout):
                await self._client.api.v2010.accounts(self._account.account_sid).fetch_async()
        except (TwilioRestException, TooManyRequests, httpx.HTTPError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        await self._http.close()


def callback_url(outgoing: Outgoing) -> str:
    """Where Twilio reports about this attempt."""
    return f"{outgoing.callback_url}/{PROVIDER}?attempt={quote(outgoing.attempt_id)}"
