"""The providers' doubles as one part: start it, point the adapters at `smtp_url` and `twilio_url`, mount its routers.

Nothing a double accepted is lost by a crash, and what it still owes goes on after a restart on the same folder.
A further double is a file with a class like `SmtpRelay` (or a resource of `Twilio`) and one line below.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter

from services.sandbox.addresses import Fault
from services.sandbox.api import build_routers
from services.sandbox.clock import Clock, Timeline
from services.sandbox.errands import Errands, Handler
from services.sandbox.faults import Faults
from services.sandbox.http import HttpApis
from services.sandbox.messages import Mailroom, Reminders
from services.sandbox.push import PushServices
from services.sandbox.smtp import SmtpRelay
from services.sandbox.store import Store
from services.sandbox.twilio import Account, Pace, Twilio
from services.sandbox.twilio_calls import Calls
from services.sandbox.twilio_messages import Messages


class Double(Protocol):
    name: str
    faults: Faults[Any]

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def errands(self) -> Mapping[str, Handler]: ...

    def routers(self) -> Sequence[APIRouter]: ...


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """`bounce_address` is the bounce listener; `local_url` (default: `public_url`) is where this process is reached."""

    data_dir: Path
    public_url: str
    bounce_address: tuple[str, int]
    auth_token: str = field(repr=False)
    account_sid: str = "AC" + "0" * 32
    local_url: str = ""
    incoming_path: str = "/v1/receipts/twilio"
    smtp_port: int = 0
    slow_seconds: float = 3.0
    stall_seconds: float = 60.0
    pace: Pace = field(default_factory=Pace)


class Sandbox:
    """Without a timeline (a process that keeps no ledger) business time is wall time and the clock cannot be moved."""

    def __init__(
        self, config: SandboxConfig, timeline: Timeline | None = None, reminders: Reminders | None = None
    ) -> None:
        self.store = Store(config.data_dir / "sandbox")
        self.mailroom = Mailroom(self.store, reminders)
        self.clock = Clock(timeline, self.store, stall_seconds=config.stall_seconds) if timeline else None
        self._smtp = SmtpRelay(
            self.store, config.bounce_address, self.now, port=config.smtp_port, slow_seconds=config.slow_seconds
        )
        local_url = config.local_url or config.public_url
        self._account = Account(config.account_sid, config.auth_token, config.public_url, local_url)
        secret, pauses = config.auth_token.encode(), {"delay": config.pace.delay, "hang": config.pace.hang}
        self.push = PushServices(secret, local_url, self.store, self.now, **pauses)
        self.http = HttpApis(secret, config.public_url, local_url, self.store, self.now, **pauses)
        self._handset, self._doubles = self._build(config)
        self._errands = Errands(self.store, {kind: h for d in self._doubles for kind, h in d.errands().items()})

    def _build(self, config: SandboxConfig) -> tuple[Messages, Sequence[Double]]:
        faults = Faults(list(Fault))
        incoming = config.public_url.rstrip("/") + config.incoming_path
        messages = Messages(self._account, self.store, faults, self.now, incoming, config.pace)
        calls = Calls(self._account, self.store, faults, self.now, config.pace)
        return messages, [self._smtp, Twilio(self._account, faults, [messages, calls]), self.push, self.http]

    @property
    def smtp_url(self) -> str:
        return self._smtp.url

    @property
    def twilio_url(self) -> str:
        """Takes the place of https://api.twilio.com."""
        return self._account.base_url

    @property
    def account_sid(self) -> str:
        return self._account.sid

    @property
    def faults(self) -> Mapping[str, Faults[Any]]:
        return {double.name: double.faults for double in self._doubles}

    def now(self) -> datetime:
        return datetime.now(UTC) if self.clock is None else self.clock.now()

    def owes(self) -> int:
        return self.store.owes()

    def routers(self) -> list[APIRouter]:
        """Every `/sandbox` path, the HTTP doubles included."""
        return [*build_routers(self), *(router for double in self._doubles for router in double.routers())]

    async def reply(self, from_: str, body: str, channel: str = "sms") -> str:
        """A handset answers, by SMS, WhatsApp or RCS; returns the incoming message's sid."""
        scheme = "" if channel == "sms" else f"{channel}:"
        return await self._handset.reply(f"{scheme}{from_}", body, f"{scheme}+15005550006")

    async def start(self) -> str:
        """Answers the SMTP URL."""
        if self.clock is not None:
            await self.clock.read()
        for double in self._doubles:
            await double.start()
        self._errands.start()
        return self.smtp_url

    async def stop(self) -> None:
        await self._errands.stop()
        for double in self._doubles:
            await double.stop()
        await self.store.close()
