"""How requests reach Twilio: one pooled client, no retries; whoever asks sets a real timeout.

The package's own asynchronous client ignores its timeout and may POST an SMS twice. Here a request is written at
most once, and the gate is asked at the last moment before it is, when the connection already stands.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any

import httpx
from twilio.http import AsyncHttpClient
from twilio.http.response import Response

from services.dispatcher.domain.ports import LONGEST, Gate
from shared.outgoing import public_certificates

API = "https://api.twilio.com"
_PASSAGE: ContextVar["Passage | None"] = ContextVar("twilio_passage", default=None)
_WRITING = "send_request_headers.started"


class TooManyRequests(Exception):
    """429: not processed, by Twilio's own word."""

    def __init__(self, retry_in: timedelta | None) -> None:
        super().__init__("429 too many requests")
        self.retry_in = retry_in


class Passage:
    """One request's way through the gate; `written` once its first byte may have left."""

    __slots__ = ("_gate", "written")

    def __init__(self, gate: Gate) -> None:
        self._gate, self.written = gate, False

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """The request made inside is written only while the gate is open; else it raises GateClosed."""
        token = _PASSAGE.set(self)
        try:
            yield
        finally:
            _PASSAGE.reset(token)

    def begin(self) -> None:
        self._gate.check()
        self.written = True


class TwilioHttp(AsyncHttpClient):  # type: ignore[misc]  # the package has no types
    """`base_url` replaces https://api.twilio.com, for a double that speaks the same protocol."""

    def __init__(self, base_url: str, *, connections: int, connect_timeout: float) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True, timeout=LONGEST)
        self._base_url = base_url.rstrip("/")
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(LONGEST, connect=connect_timeout, pool=connect_timeout),
            # A short keep-alive: a request on a connection that the server just closed has an unknown end.
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=10
            ),
            verify=public_certificates(),
            follow_redirects=False,
            trust_env=False,
        )

    async def request(
        self,
        method: str,
        uri: str,
        params: dict[str, str] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        answer = await self._client.request(
            method,
            uri.replace(API, self._base_url, 1),
            params=params,
            data=data,
            headers=headers,
            auth=auth,
            extensions={"trace": _ask_gate},
        )
        if answer.status_code == 429:
            raise TooManyRequests(_retry_after(answer.headers.get("Retry-After", "")))
        return Response(answer.status_code, answer.text, answer.headers)

    async def close(self) -> None:
        await self._client.aclose()


async def _ask_gate(event: str, _info: dict[str, Any]) -> None:
    passage = _PASSAGE.get()
    if passage is not None and event.endswith(_WRITING):
        passage.begin()


def _retry_after(value: str) -> timedelta | None:
    return timedelta(seconds=min(int(value), 3600)) if value.isascii() and value.isdigit() else None
