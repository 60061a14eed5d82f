"""The outermost layer, once per request: its id, its limits, its last resort, its metrics and its log line.

Pure ASGI: a BaseHTTPMiddleware would run the endpoint in a cancel scope, and a cancelled endpoint can leave a database
session behind with its locks. Only route templates are logged and counted: a path may hold a customer's token.
"""

import re
import secrets
import time
from collections.abc import MutableMapping
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.kernel.errors import BadRequest, Problem
from shared.web.limits import GuardedBody, Limits, Pace, too_large
from shared.web.metrics import HttpMetrics
from shared.web.outages import unexpected
from shared.web.problems import respond

UNMATCHED = "(none)"
_QUIET = frozenset(("/healthz", "/readyz", "/metrics"))
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger("web")


class Edge:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, limits: Limits, pace: Pace, metrics: HttpMetrics) -> None:
        self._app = app
        self._limits = limits
        self._pace = pace
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = dict(scope["headers"])
        answer = _Answer(send, _request_id(headers))
        structlog.contextvars.bind_contextvars(request_id=answer.request_id)
        try:
            await self._serve(scope, headers, receive, answer)
        finally:
            self._account(scope, answer, time.perf_counter() - began)

    async def _serve(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, answer: "_Answer") -> None:
        limit = self._limits.of(scope["path"])
        problem = _refusal(scope, headers, limit)
        if problem is None:
            try:
                await self._app(scope, GuardedBody(receive, limit, self._pace), answer)
                return
            except ClientDisconnect:
                return  # nobody is left to answer
            except Exception as error:  # the last resort; a bug is logged whole
                problem = error if isinstance(error, Problem) else unexpected(error)
                _tell(error, problem, scope)
                if answer.status:  # too late for another answer: the server closes the connection
                    raise
        await respond(problem)(scope, receive, answer)

    def _account(self, scope: Scope, answer: "_Answer", seconds: float) -> None:
        route = template(scope)
        status = answer.status or 499
        self._metrics.observe(scope["method"], route, status, seconds)
        if route not in _QUIET:
            log.info("request", method=scope["method"], route=route, status=status, ms=round(seconds * 1000, 1))


class _Answer:
    """An ASGI `send` that notes the status and adds the headers that every answer has."""

    __slots__ = ("_send", "request_id", "status")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            extra = [(b"x-request-id", self.request_id.encode()), (b"x-content-type-options", b"nosniff")]
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await self._send(message)


def template(scope: MutableMapping[str, Any]) -> str:
    """'/pay/{token}', or a constant when no route took the request."""
    return getattr(scope.get("route"), "path_format", None) or UNMATCHED


def _refusal(scope: Scope, headers: dict[bytes, bytes], limit: int | None) -> Problem | None:
    """What can be refused before anything is read."""
    length = headers.get(b"content-length", b"")
    if limit is not None and length.isdigit() and int(length[:20]) > limit:
        return too_large(limit)
    if b"%00" in scope.get("query_string", b"") or "\0" in scope["path"]:
        return BadRequest("the address has the character U+0000; remove it, nothing is stored under it")
    return None


def _tell(error: Exception, problem: Problem, scope: Scope) -> None:
    if problem.status == 500:
        log.error("request_failed", route=template(scope), exc_info=error)
    elif problem.status == 503:
        log.warning("unavailable", route=template(scope), error=type(error).__name__)


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
