"""Where outgoing calls may go: URLs that somebody wrote into Dunnock must not open what only Dunnock can reach.

True here: what is connected to is an address that was checked, never a name that is resolved again; a host with one
address that is denied is denied; without TLS only what the operator has allowed by name or network.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import Self

import httpx

from shared.outgoing.addresses import MAX_URL, Address, NotAnAddress, literal, why_denied
from shared.outgoing.allowed import LOOPBACK, Allowed, OutgoingSettings

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
SETTING = "DUNNOCK_OUTGOING_ALLOW"
PATIENCE = 2.0  # seconds for the name servers, when a URL is saved


class TargetRefused(httpx.ConnectError):
    """This URL is not called; the text says which part of it is why, and what to do. Nothing was sent."""


class HostNotFound(httpx.ConnectError):
    """The host has no address now."""


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """All addresses, as the system's resolver says; OSError if there is none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Guard:
    """One for a whole process."""

    def __init__(self, allowed: Allowed, resolve: Resolve = system_resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve

    @classmethod
    def from_settings(cls, *, loopback: bool) -> Self:
        """`loopback`: for a process whose world is the sandbox on the same machine."""
        allowed = OutgoingSettings().allowed
        return cls(allowed.and_also(LOOPBACK) if loopback else allowed)

    async def check_url(self, url: str) -> None:
        """When a URL is saved. A host that cannot be found now passes: every call checks again."""
        parsed = self.check_form(url)
        try:
            async with asyncio.timeout(PATIENCE):
                await self.addresses(parsed.raw_host.decode(), parsed.port or 443, tls=parsed.scheme == "https")
        except (HostNotFound, TimeoutError):
            return

    def check_form(self, url: str | httpx.URL) -> httpx.URL:
        """What can be said without asking a name server."""
        parsed = _parsed(url)
        host = parsed.raw_host.decode()
        if parsed.scheme not in ("https", "http") or not host:
            raise TargetRefused("the URL must begin with https:// and name a host")
        if parsed.userinfo:
            raise TargetRefused("the URL holds a user name or password; give them as credentials, not in the URL")
        if parsed.port is not None and not 0 < parsed.port < 65536:
            raise TargetRefused(f"there is no port {parsed.port}; use 1 to 65535")
        self._literal(host)
        return parsed

    async def addresses(self, host: str, port: int, *, tls: bool) -> list[str]:
        """Where to connect to for this host; each of them is checked."""
        found = self._literal(host)
        candidates = [found] if found else await self._look_up(host, port)
        for address in candidates:
            self._check(host, address, tls=tls)
        return [str(address) for address in candidates]

    def _literal(self, host: str) -> Address | None:
        try:
            return literal(host.lower())
        except NotAnAddress as error:
            raise TargetRefused(f"the host {host!r} is refused: {error}") from None

    async def _look_up(self, host: str, port: int) -> list[Address]:
        try:
            found = await self._resolve(host, port)
        except OSError as error:
            raise HostNotFound(
                f"the host {host!r} cannot be found ({error.strerror or error}); check its spelling"
            ) from None
        if not found:
            raise HostNotFound(f"the host {host!r} has no address; check its spelling")
        return [ip_address(text) for text in dict.fromkeys(found)]

    def _check(self, host: str, address: Address, *, tls: bool) -> None:
        if self._allowed.names(host) or self._allowed.holds(address):
            return
        if (reason := why_denied(address)) is not None:
            raise TargetRefused(
                f"the host {host!r} is refused: {address} is {reason}. If this target is meant, the operator"
                f" names it in {SETTING}"
            )
        if not tls:
            raise TargetRefused(
                f"the host {host!r} is called without TLS: begin the URL with https://, or let the operator name"
                f" the host in {SETTING}"
            )


def _parsed(url: str | httpx.URL) -> httpx.URL:
    if isinstance(url, httpx.URL):
        return url
    if len(url) > MAX_URL:
        raise TargetRefused(f"the URL is longer than {MAX_URL} characters; use a shorter one")
    try:
        return httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        raise TargetRefused("this is not a URL such as https://api.example.com/path") from None
