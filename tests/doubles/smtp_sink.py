"""A real SMTP server that keeps what it accepts and misbehaves on demand, at any stage."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from services.sandbox.dsn import DsnSession, OffersDsn

DROP, HANG = "drop", "hang"


@dataclass
class SmtpSink(OffersDsn):
    """`script[stage]` is the answer at `MAIL`, `RCPT`, `DATA` (to the command) or `DOT`: a reply, DROP or HANG."""

    script: dict[str, str] = field(default_factory=dict)
    mails: list[Envelope] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    sessions: list["_Session"] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    offers_dsn: bool = True
    port: int = 0

    @property
    def connections(self) -> int:
        return len(self.sessions)

    def disconnect_all(self) -> None:
        for session in self.sessions:
            if session.transport is not None:
                session.transport.close()

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        offered = await super().handle_EHLO(server, session, envelope, hostname, responses)
        return offered if self.offers_dsn else [line for line in offered if line != "250-DSN"]

    async def at(self, stage: str, session: "_Session", usual: str) -> str:
        self.commands.append(stage)
        answer = self.script.get(stage, usual)
        if answer == DROP and isinstance(session.transport, asyncio.WriteTransport):
            session.transport.abort()
        if answer in (DROP, HANG):
            await self.release.wait()
        return answer

    async def handle_MAIL(
        self, server: "_Session", _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.mail_from = address
        return await self.at("MAIL", server, "250 ok")

    async def handle_RCPT(
        self, server: "_Session", _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = await self.at("RCPT", server, "250 ok")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: "_Session", _session: Session, envelope: Envelope) -> str:
        if self.script.get("DOT", "250").startswith(("250", DROP, HANG)):
            self.mails.append(envelope)
        return await self.at("DOT", server, "250 2.0.0 queued as 4711")


class _Session(DsnSession):
    sink: SmtpSink

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        answer = await self.sink.at("DATA", self, "354")
        if answer == "354":
            await super().smtp_DATA(arg)
        else:
            await self.push(answer)


def _login(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=data.password == b"right", handled=False)


@asynccontextmanager
async def smtp_sink(tls: ssl.SSLContext | None = None, *, implicit: bool = False) -> AsyncIterator[SmtpSink]:
    """With `tls`: STARTTLS required, or TLS from the start; a login with the password `right` works."""
    sink = SmtpSink()

    def session() -> _Session:
        made = _Session(
            sink,
            hostname="sink.test",
            tls_context=None if implicit else tls,
            require_starttls=tls is not None and not implicit,
            auth_callback=None,
            authenticator=_login,
            auth_require_tls=not implicit,
            loop=asyncio.get_running_loop(),
        )
        made.sink = sink
        sink.sessions.append(made)
        return made

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=tls if implicit else None)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        sink.release.set()
        server.close()
        sink.disconnect_all()
        await server.wait_closed()
        await asyncio.sleep(0)
