"""How guarded calls travel: an httpx transport that connects only to checked addresses, and bounds the answer.

True here: nobody resolves a name after it was checked; TLS and the Host header keep the name; a proxy of the environment
is never used; the whole exchange, the answer's last byte included, ends in time, and no more of it is read than asked for.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import cache
from ssl import SSLContext
from time import monotonic

import httpcore
import httpx

from shared.outgoing.guard import Guard

MAX_BYTES = 1024 * 1024
TIMEOUT, CONNECT_TIMEOUT = 15.0, 3.0
MOST_ADDRESSES = 4  # of one host, tried one after the other


class AnswerTooLarge(httpx.ReadError):
    """More than the caller wants to read."""


class AnswerTooSlow(httpx.ReadTimeout):
    """The exchange as a whole took too long, though each piece came in time."""


class AnswerPacked(httpx.ReadError):
    """A compressed answer although none was asked for: how large it becomes cannot be told before."""


def guarded_client(
    guard: Guard,
    *,
    max_bytes: int = MAX_BYTES,
    timeout: float = TIMEOUT,
    connect_timeout: float = CONNECT_TIMEOUT,
    connections: int = 10,
    tls: SSLContext | None = None,
) -> httpx.AsyncClient:
    """The client for every URL that somebody wrote. All it raises is an `httpx.HTTPError`, or `httpx.InvalidURL`.

    `timeout`: seconds for an exchange as a whole; `max_bytes`: of one answer's body; `tls`: whom to trust, else the
    certificates that httpx brings.
    """
    return httpx.AsyncClient(
        transport=GuardedTransport(
            guard,
            max_bytes=max_bytes,
            timeout=timeout,
            connections=connections,
            certificates=tls or public_certificates(),
        ),
        timeout=httpx.Timeout(timeout, connect=connect_timeout, pool=connect_timeout),
        headers={"Accept-Encoding": "identity", "User-Agent": "Dunnock"},
        follow_redirects=False,
        trust_env=False,
    )


class GuardedTransport(httpx.AsyncBaseTransport):
    def __init__(
        self, guard: Guard, *, max_bytes: int, timeout: float, connections: int, certificates: SSLContext
    ) -> None:
        self._guard = guard
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._ways = {tls: _Way(_Connector(guard, tls=tls), connections, certificates) for tls in (True, False)}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = self._guard.check_form(request.url)
        deadline = asyncio.get_running_loop().time() + self._timeout
        async with _until(deadline, self._timeout):
            response = await self._ways[url.scheme == "https"].handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Bounded(response.stream, self._max_bytes, deadline, self._timeout)
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            await response.stream.aclose()
            raise AnswerPacked("the answer is compressed; it must come as it is")
        return response

    async def aclose(self) -> None:
        for way in self._ways.values():
            await way.aclose()


class _Way(httpx.AsyncHTTPTransport):
    """httpx's own transport over a pool that connects through us."""

    def __init__(self, connector: "_Connector", connections: int, certificates: SSLContext) -> None:
        super().__init__(verify=certificates, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=certificates,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=10,  # a request on a connection that the server just closed has an unknown end
            network_backend=connector,
        )


class _Connector(httpcore.AsyncNetworkBackend):
    """Connects to addresses that the guard gave for the name."""

    def __init__(self, guard: Guard, *, tls: bool) -> None:
        self._guard = guard
        self._tls = tls
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        deadline = monotonic() + (timeout or CONNECT_TIMEOUT)
        addresses = await self._resolved(host, port, deadline)
        for last, address in enumerate(addresses, 1 - len(addresses)):
            try:
                return await self._network.connect_tcp(
                    address, port, max(deadline - monotonic(), 0.01), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if last == 0:
                    raise
        raise AssertionError("a host without addresses is refused before")

    async def _resolved(self, host: str, port: int, deadline: float) -> list[str]:
        try:
            async with asyncio.timeout(max(deadline - monotonic(), 0.01)):
                return (await self._guard.addresses(host, port, tls=self._tls))[:MOST_ADDRESSES]
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"the name servers did not answer for {host!r} in time") from None

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, max_bytes: int, deadline: float, timeout: float) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._timeout = timeout

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        pieces = aiter(self._stream)
        while True:
            async with _until(self._deadline, self._timeout):
                piece = await anext(pieces, None)
            if piece is None:
                return
            read += len(piece)
            if read > self._max_bytes:
                raise AnswerTooLarge(f"the answer is larger than {self._max_bytes} bytes; nothing of it is used")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


@asynccontextmanager
async def _until(deadline: float, seconds: float) -> AsyncIterator[None]:
    """A timeout of httpx's own (of one read, one write) passes as it is."""
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError:
        raise AnswerTooSlow(f"the answer did not end within {seconds:g} seconds") from None


@cache
def public_certificates() -> SSLContext:
    """Whom everybody trusts. Made once: reading the certificates takes longer than a call."""
    return httpx.create_ssl_context(trust_env=False)
