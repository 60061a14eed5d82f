"""Where the relay is, and open connections to it.

aiosmtplib carries one command at a time, so each mail leases a connection of its own. A connection that failed or
was left in the middle of a command is out of step with its server and is closed, never handed on. A password
never travels in clear, and clear text to another machine has to be asked for by name.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from time import monotonic
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from aiosmtplib import SMTP

_SCHEMES = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Relay:
    """One SMTP server: `smtps://` (TLS from the start), `smtp://..?tls=starttls`, `smtp://..?tls=none`."""

    host: str
    port: int
    implicit_tls: bool
    start_tls: bool
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str, name: str = "DUNNOCK_SMTP_URL") -> "Relay":
        """Raises ValueError that names the setting and never shows the URL, which holds a password."""
        parts, port = _split(url, name)
        query = parse_qs(parts.query, keep_blank_values=True)
        tls = "starttls" if "starttls" in query else query.get("tls", [""])[0]
        if set(query) - {"tls", "starttls"} or tls not in ("", "none", "starttls"):
            raise ValueError(f"{name}: only ?tls=starttls, ?starttls or ?tls=none may follow the host")
        host, secure = parts.hostname or "", parts.scheme == "smtps" or tls == "starttls"
        if not secure and not tls and not _is_loopback(host):
            raise ValueError(f"{name}: smtp:// to another machine needs ?tls=starttls, or ?tls=none to send in clear")
        if not secure and parts.username and not _is_loopback(host):
            raise ValueError(f"{name}: a password may not be sent in clear; use smtps:// or ?tls=starttls")
        username = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        return cls(host, port, parts.scheme == "smtps", tls == "starttls", username, password)


def _split(url: str, name: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"{name}: must look like smtps://user:password@host:465") from None
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(f"{name}: must look like smtps://user:password@host:465 or smtp://host:587?tls=starttls")
    default = 587 if "starttls" in parts.query else _SCHEMES[parts.scheme]
    return parts, port or default


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(slots=True)
class Connection:
    client: SMTP
    opened: float
    last_used: float
    mails: int = 0

    @property
    def fresh(self) -> bool:
        return self.mails == 0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    size: int = 10
    max_age: float = 300.0
    max_idle: float = 30.0
    max_mails: int = 200
    connect_timeout: float = 1.0


class RelayPool:
    """At most `size` connections; the last used is reused first, so that idle ones grow old and are closed."""

    def __init__(self, relay: Relay, limits: PoolLimits, tls: ssl.SSLContext | None, helo: str | None) -> None:
        self._relay, self._limits, self._tls, self._helo = relay, limits, tls, helo
        self._idle: list[Connection] = []
        self._slots = asyncio.Semaphore(limits.size)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Connection]:
        """A connection that is logged in. The caller closes its client when the mail did not end cleanly."""
        async with self._slots:
            connection = self._reuse() or await self._open()
            try:
                yield connection
            except BaseException:
                # Also on cancellation: the server may still answer a command that nobody waits for.
                connection.client.close()
                raise
            self._give_back(connection)

    def _reuse(self) -> Connection | None:
        now = monotonic()
        while self._idle:
            connection = self._idle.pop()
            if connection.client.is_connected and self._young(connection, now):
                return connection
            connection.client.close()
        return None

    def _young(self, connection: Connection, now: float) -> bool:
        return now - connection.opened < self._limits.max_age and now - connection.last_used < self._limits.max_idle

    async def _open(self) -> Connection:
        relay = self._relay
        client = SMTP(
            hostname=relay.host,
            port=relay.port,
            username=relay.username,
            password=relay.password,
            use_tls=relay.implicit_tls,
            start_tls=relay.start_tls,
            tls_context=self._tls,
            timeout=self._limits.connect_timeout,
            local_hostname=await self._own_name(),
        )
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except BaseException:
            client.close()
            raise
        now = monotonic()
        return Connection(client, now, now)

    async def _own_name(self) -> str:
        """Asked once: a name server that does not answer would otherwise delay every connection."""
        if self._helo is None:
            self._helo = await asyncio.to_thread(socket.getfqdn)
        return self._helo

    def _give_back(self, connection: Connection) -> None:
        connection.mails += 1
        connection.last_used = monotonic()
        if connection.client.is_connected and connection.mails < self._limits.max_mails:
            self._idle.append(connection)
        else:
            connection.client.close()

    def drop_idle(self) -> None:
        while self._idle:
            self._idle.pop().client.close()
