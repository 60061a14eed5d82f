"""A real SMTP relay on a loopback port. A message is on the disk, with the bounce it owes, before the 250.

What happens to a mail is decided by its recipient (`addresses.Mailbox`) or by a fault ordered beforehand.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import aiosmtplib
from aiosmtpd.smtp import SMTP, Envelope, Session
from fastapi import APIRouter

from services.sandbox.addresses import Mailbox, mailbox
from services.sandbox.dsn import DsnSession, OffersDsn, decoded
from services.sandbox.errands import GiveUp, Handler, Rest, TryLater
from services.sandbox.faults import Faults
from services.sandbox.mail import headers_of, read_mail
from services.sandbox.reports import RELAY, REPORTS, Original
from services.sandbox.store import Errand, Message, Store

SIZE_LIMIT = 40 * 1024 * 1024
AT_RCPT = {
    Mailbox.REJECT: "550 5.1.1 The email account does not exist",
    Mailbox.TEMPFAIL: "451 4.3.0 Temporary trouble, try again later",
}
ERRAND = "smtp.report"


@dataclass(frozen=True, slots=True)
class Fate:
    """Of one recipient, with what the client asked for (RFC 3461)."""

    mailbox: Mailbox
    mail_wishes: Mapping[str, str]
    rcpt_wishes: Mapping[str, str]

    @property
    def reported(self) -> bool:
        notify = self.rcpt_wishes.get("NOTIFY", "FAILURE").upper()
        wanted = "FAILURE" in notify or self.mailbox not in (Mailbox.BOUNCE, Mailbox.SOFT_BOUNCE, Mailbox.FORWARDED)
        return self.mailbox.value in REPORTS and wanted


class SmtpRelay(OffersDsn):
    """The double of an SMTP relay. `bounces` is where return paths lead: host and port of the bounce listener."""

    name = "smtp"

    def __init__(
        self,
        store: Store,
        bounces: tuple[str, int],
        now: Callable[[], datetime],
        *,
        port: int = 0,
        slow_seconds: float = 3.0,
    ) -> None:
        self.faults = Faults([Mailbox.REJECT, Mailbox.TEMPFAIL, Mailbox.SLOW, Mailbox.DROPPED_DOT])
        self._store, self._bounces, self._now = store, bounces, now
        self._port, self._slow_seconds = port, slow_seconds
        self._sessions: WeakSet[SMTP] = WeakSet()
        self._fates: WeakKeyDictionary[Envelope, dict[str, Fate]] = WeakKeyDictionary()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._port}"

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._session, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for session in list(self._sessions):
            if session.transport is not None:
                session.transport.close()

    def errands(self) -> Mapping[str, Handler]:
        return {ERRAND: self._send_report}

    def routers(self) -> Sequence[APIRouter]:
        return []

    def _session(self) -> SMTP:
        session = DsnSession(
            self,
            hostname=RELAY,
            ident="Dunnock sandbox",
            data_size_limit=SIZE_LIMIT,
            enable_SMTPUTF8=True,
            loop=asyncio.get_running_loop(),
        )
        self._sessions.add(session)
        return session

    async def handle_RCPT(
        self, server: DsnSession, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        fate = self._fate(address)
        refusal = AT_RCPT.get(fate)
        if refusal is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        # Decided once per recipient: an ordered fault must not be asked for again at DATA.
        self._fates.setdefault(envelope, {})[address] = Fate(fate, server.mail_wishes, server.rcpt_wishes)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        fates = self._fates.pop(envelope)
        return_path = (envelope.mail_from or "").strip("<>")  # aiosmtpd hands the empty one on as "<>"
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        try:
            for address, fate in fates.items():
                await self._accept(raw, return_path, address, fate)
        except sqlite3.Error as error:
            return f"451 4.3.0 The sandbox could not store the message: {error}"
        return await self._answer(server, {fate.mailbox for fate in fates.values()})

    def _fate(self, address: str) -> Mailbox:
        return self.faults.take() or mailbox(address)

    async def _accept(self, raw: bytes, return_path: str, address: str, fate: "Fate") -> None:
        message = read_mail(raw, address.lower(), self._now())
        owed = []
        if fate.reported and return_path:  # a report itself (from <>) never causes another
            owed.append(Errand(ERRAND, _original(message, raw, return_path, address, fate).payload(fate.mailbox.value)))
        await self._store.accept(message, owed)

    async def _answer(self, server: SMTP, fates: set[Mailbox]) -> str:
        if Mailbox.SLOW in fates:
            await asyncio.sleep(self._slow_seconds)
        if Mailbox.DROPPED_DOT in fates and isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
        return "250 2.0.0 OK"

    async def _send_report(self, payload: Mapping[str, Any]) -> Rest | None:
        original = Original(**payload["original"])
        host, port = self._bounces
        client = aiosmtplib.SMTP(hostname=host, port=port, timeout=10, use_tls=False, start_tls=False)
        try:
            await client.connect()
            await client.sendmail("", [original.return_path], REPORTS[payload["report"]](original))
        except aiosmtplib.SMTPRecipientsRefused as refused:
            raise _trouble(refused.recipients[0].code, refused) from refused
        except aiosmtplib.SMTPResponseException as refused:
            raise _trouble(refused.code, refused) from refused
        except aiosmtplib.SMTPException as broken:
            raise TryLater(str(broken)) from broken
        finally:
            with contextlib.suppress(aiosmtplib.SMTPException):
                await client.quit()
        return None


def _trouble(code: int, error: Exception) -> Exception:
    return GiveUp(str(error)) if code >= 500 else TryLater(str(error))


def _original(message: Message, raw: bytes, return_path: str, recipient: str, fate: Fate) -> Original:
    subject = " ".join((message.subject or "").split())
    named = decoded(fate.rcpt_wishes.get("ORCPT", "").partition(";")[2])
    envelope_id = decoded(fate.mail_wishes.get("ENVID", ""))
    return Original(return_path, recipient, subject, message.message_id, headers_of(raw), named, envelope_id)
