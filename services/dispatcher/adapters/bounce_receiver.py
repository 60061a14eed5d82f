"""The mail server that takes bounces, and nothing else.

It accepts mail to our own domain only, one recipient a mail: what comes to a return path that was signed here is about
that attempt, anything else is kept for a person to look at. It says 250 only after the mail is stored, 451 (come again)
when it could not be, and 452 when too many came today. It never sends mail, so it cannot loop.
"""

import asyncio
import logging
from typing import Annotated, Any, Literal, Protocol

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from services.dispatcher.domain.bounces import Bounce, BounceKind, classify
from services.dispatcher.domain.tokens import MessageIds, ReturnPaths
from shared.settings import Settings


def checked_listen(listen: str) -> str:
    _host_and_port(listen)
    return listen


Original = tuple[int, int]  # reminder and contact point of a mail
_LONGEST_LINE = 1024 * 1024
_LOG = logging.getLogger(__name__)


class OnBounce(Protocol):
    """Stores; False: too many came today. What it raises makes the peer come again. `failed`: the address that a report
    is about, where it names one."""

    async def __call__(
        self, reminder_id: int, fence: int, kind: BounceKind, detail: str, mail: bytes, failed: str
    ) -> bool: ...

    async def unsigned(
        self, recipient: str, kind: BounceKind, detail: str, mail: bytes, failed: str, about: Original | None
    ) -> bool:
        """`about`: what a Message-ID of ours names, that the mail repeats."""


class BounceConfig(Settings):
    """Without `listen` no receiver runs: bounces are then not seen."""

    model_config = SettingsConfigDict(env_prefix="DUNNOCK_BOUNCE_")

    listen: Annotated[str, AfterValidator(checked_listen)] | None = Field(
        None, description="host:port where mail servers deliver bounces, such as 0.0.0.0:2525"
    )
    protocol: Literal["smtp", "lmtp"] = Field("smtp", description="smtp or lmtp")
    hostname: str = Field("bounce.localhost", description="name the receiver greets with")
    max_bytes: int = Field(8 * 1024 * 1024, ge=1024, description="bytes of one bounce mail at most")
    unsigned_per_day: int = Field(
        200, ge=0, description="mails kept a day that came to no signed return path; more are told to come later"
    )
    max_connections: int = Field(20, ge=1, description="mail servers connected at once at most")
    timeout: float = Field(60.0, gt=0, description="seconds after which a silent mail server is cut off")


class BounceReceiver:
    def __init__(self, config: BounceConfig, paths: ReturnPaths, ids: MessageIds, on_bounce: OnBounce) -> None:
        if config.listen is None:
            raise ValueError("DUNNOCK_BOUNCE_LISTEN is missing: set it to host:port")
        self._config, self._address = config, _host_and_port(config.listen)
        self._handler = _Handler(paths, ids, on_bounce)
        self._open: set[object] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        host, port = self._address
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._session, host, port)

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("the bounce receiver is not started")
        return int(self._server.sockets[0].getsockname()[1])

    def _session(self) -> SMTP:
        kind = _LmtpSession if self._config.protocol == "lmtp" else _SmtpSession
        session = kind(
            self._handler,
            data_size_limit=self._config.max_bytes,
            hostname=self._config.hostname,
            ident="Dunnock",
            timeout=self._config.timeout,
            command_call_limit=20,
            loop=asyncio.get_running_loop(),
        )
        session.admit(self._open, self._config.max_connections)
        return session

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for session in list(self._open):
                if isinstance(session, _Counted) and session.transport is not None:
                    session.transport.close()
            await self._server.wait_closed()


class _Counted(SMTP):
    """One connection; over the limit it is told to come later, before anything of it is read. One that sends a line
    without an end is cut off: the library keeps all of a line until it ends, however long it refuses it for."""

    _others: set[object]
    _limit: int
    _unended = 0  # bytes since the last line ended

    def admit(self, others: set[object], limit: int) -> None:
        self._others, self._limit = others, limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._others) >= self._limit and isinstance(transport, asyncio.WriteTransport):
            transport.write(b"421 4.3.2 too many connections, come later\r\n")
            transport.close()
        self._others.add(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        _, ended, rest = data.rpartition(b"\r\n")
        self._unended = len(rest) + (0 if ended else self._unended)
        if self._unended > _LONGEST_LINE and isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()
            return
        super().data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._others.discard(self)
        super().connection_lost(error)


class _SmtpSession(_Counted):
    pass


class _LmtpSession(_Counted, LMTP):
    pass


class _Handler:
    """aiosmtpd's hooks; the names are its own."""

    def __init__(self, paths: ReturnPaths, ids: MessageIds, on_bounce: OnBounce) -> None:
        self._paths, self._ids, self._on_bounce = paths, ids, on_bounce

    async def handle_RCPT(
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if not self._paths.at_home(address):
            return "550 5.7.1 not our domain, nothing is relayed"
        if envelope.rcpt_tos:
            return "452 4.5.3 one recipient a mail"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, _server: Any, _session: Session, envelope: Envelope) -> str:
        recipient, mail = envelope.rcpt_tos[0], envelope.content
        if not isinstance(mail, bytes):
            return "554 5.6.0 no mail"
        try:
            stored = await self._take(recipient, mail)
        except Exception:  # noqa: BLE001 whatever it was, the peer must keep the bounce
            _LOG.exception("a bounce mail was not stored, its server will come again")
            return "451 4.3.0 not stored, come again"
        return "250 2.0.0 noted" if stored else "452 4.3.1 too many such mails today, come again tomorrow"

    async def _take(self, recipient: str, mail: bytes) -> bool:
        bounce = await asyncio.to_thread(classify, mail)
        named = self._paths.read(recipient)
        if named is not None:
            return await self._on_bounce(*named, bounce.kind, _detail(bounce), mail, bounce.final)
        about = self._ids.read(bounce.original)
        return await self._on_bounce.unsigned(recipient, bounce.kind, _detail(bounce), mail, bounce.final, about)


def _detail(bounce: Bounce) -> str:
    return " ".join(filter(None, (bounce.code, bounce.detail)))


def _host_and_port(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be written as 127.0.0.1:2525")
    return host.strip("[]"), int(port)
