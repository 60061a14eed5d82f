"""The channel push: an app through FCM, a browser through web push. The address says which.

True here: an address of a kind that is not configured is refused without harm to it; nothing is retried here.
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from py_vapid import Vapid02, VapidException
from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.dispatcher.adapters.first_byte import FirstByte
from services.dispatcher.adapters.push_fcm import API, Fcm
from services.dispatcher.adapters.push_web import WebPush
from services.dispatcher.domain.outcomes import Outcome, Rejected
from services.dispatcher.domain.ports import LONGEST, Gate, Outgoing
from shared.kernel import json
from shared.kernel.errors import BadRequest
from shared.outgoing import Allowed, Guard, guarded_client
from shared.push import Token, parse_push
from shared.settings import Settings, WebUrl

_NEEDED = ("project_id", "client_email", "private_key", "token_uri")


def service_account(text: str) -> Mapping[str, Any]:
    """From the JSON itself, or the path of its file; ValueError never repeats it."""
    try:
        found = json.loads(text.encode() if text.lstrip().startswith("{") else Path(text).read_bytes())
    except (OSError, BadRequest):
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in _NEEDED):
        raise ValueError(f"must be the JSON of a service account, or the path of its file, with {', '.join(_NEEDED)}")
    return found


def _account(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        service_account(value.get_secret_value())
    return value


def _vapid(value: SecretStr | None) -> SecretStr | None:
    try:
        if value is not None:
            Vapid02.from_string(value.get_secret_value())
    except (VapidException, ValueError, TypeError):
        raise ValueError("must be a private key on P-256: 32 bytes in base64url") from None
    return value


class PushConfig(Settings):
    """Without an account and a key there is no push."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_PUSH_")

    fcm_account: Annotated[SecretStr | None, AfterValidator(_account)] = Field(
        None, description="Google service account for FCM: its JSON, or the path of the file"
    )
    fcm_url: WebUrl = Field(API, description="where FCM's API is")
    vapid_key: Annotated[SecretStr | None, AfterValidator(_vapid)] = Field(
        None, description="private VAPID key for web push: 32 bytes on P-256 in base64url"
    )
    vapid_subject: str = Field(
        "",
        pattern=r"^$|^(mailto:|https://)\S+$",
        description="whom push services may ask, such as mailto:it@example.com",
    )
    concurrency: int = Field(20, ge=1, le=200, description="push messages at once, 1 to 200")
    connect_timeout: float = Field(1.0, gt=0, description="seconds to reach a push service")
    timeout: float = Field(15.0, gt=0, description="seconds for one push as a whole; less than DUNNOCK_LEASE")
    price: Decimal = Field(Decimal("0.00001"), ge=0, description="what one push message costs")

    @model_validator(mode="after")
    def _subject_with_key(self) -> Self:
        if self.vapid_key is not None and not self.vapid_subject:
            raise ValueError(
                "DUNNOCK_PUSH_VAPID_SUBJECT: is needed with DUNNOCK_PUSH_VAPID_KEY; such as mailto:it@example.com"
            )
        return self


class Push:
    name: ClassVar[str] = "push"
    provider: ClassVar[str] = "fcm_web"

    def __init__(self, config: PushConfig, guard: Guard, *, web_double: str | None = None) -> None:
        """`web_double` takes the place of all push services of browsers."""
        self._config = config
        self._client = guarded_client(
            guard,
            timeout=LONGEST,
            connect_timeout=config.connect_timeout,
            connections=config.concurrency,
        )
        self._fcm = (
            Fcm(service_account(config.fcm_account.get_secret_value()), self._client, config.fcm_url)
            if config.fcm_account
            else None
        )
        self._web = (
            WebPush(config.vapid_key.get_secret_value(), config.vapid_subject, self._client, web_double)
            if config.vapid_key
            else None
        )

    @classmethod
    def from_settings(cls) -> Self | None:
        config = PushConfig()
        if config.fcm_account is None and config.vapid_key is None:
            return None
        return cls(config, Guard(Allowed()))

    @property
    def public_key(self) -> bytes | None:
        """What a browser subscribes with; None where web push is not configured."""
        return self._web.public_key if self._web else None

    @property
    def concurrency(self) -> int:
        return self._config.concurrency

    def price(self, to_address: str) -> Decimal:
        return self._config.price

    def cost(self, outgoing: Outgoing) -> Decimal:
        return self._config.price

    async def send(self, outgoing: Outgoing, gate: Gate) -> Outcome:
        first_byte = FirstByte(gate)
        try:
            gate.check()
            async with asyncio.timeout(gate.within(self._config.timeout)):
                return await self._hand_over(outgoing, first_byte)
        except Exception as error:  # noqa: BLE001 a port raises nothing: every error is an outcome
            return first_byte.lost(error)

    async def _hand_over(self, outgoing: Outgoing, first_byte: FirstByte) -> Outcome:
        try:
            to = parse_push(outgoing.to_address, sandbox=True)  # the guard decides about hosts
        except ValueError as error:
            return Rejected(f"not a push address: {error}"[:300])
        if isinstance(to, Token):
            if self._fcm is None:
                return Rejected("an app's token, but no FCM account is configured: set DUNNOCK_PUSH_FCM_ACCOUNT")
            return await self._fcm.send(to.token, outgoing, first_byte)
        if self._web is None:
            return Rejected("a browser's subscription, but no VAPID key is configured: set DUNNOCK_PUSH_VAPID_KEY")
        return await self._web.send(to, outgoing, first_byte)

    async def probe(self) -> bool:
        """Browsers have many push services, so that only FCM's can be asked."""
        if self._fcm is None:
            return True
        try:
            async with asyncio.timeout(self._config.timeout):
                return await self._fcm.probe()
        except TimeoutError:
            return False

    async def close(self) -> None:
        await self._client.aclose()
