"""No body is larger than its path allows, none is waited for forever, and memory stays flat while it comes.

An attacker who drips bytes is cut off by the pace; a client who is merely slow to be read (an import while the
database works) is not, for only the time spent waiting for the client counts.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Message, Receive

from shared.kernel.errors import Timeout, TooLarge

KIB = 1024
MIB = 1024 * KIB
DEFAULT_LIMIT = 30 * MIB
LIMITS: Mapping[str, int | None] = {
    "/v1/webhooks/": 256 * KIB,
    "/v1/receipts/": 256 * KIB,
    "/v1/api-keys": 64 * KIB,
    "/v1/pictures/": 320 * KIB,
    "/pay/": 64 * KIB,
    "/u/": 64 * KIB,
    "/push/": 64 * KIB,
    "/v1/statements": 256 * MIB,
    "/v1/invoices/import": None,
}
"""By the beginning of the path, the longest that fits; None is for streams, which are read in flat memory."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slowly a body may come: seconds a chunk, and bytes a second once `grace` seconds were spent waiting."""

    chunk: float = 10.0
    grace: float = 30.0
    rate: float = 1024.0


class Limits:
    """Finds the limit of a path."""

    def __init__(self, paths: Mapping[str, int | None] = LIMITS, default: int = DEFAULT_LIMIT) -> None:
        self._paths = sorted(paths.items(), key=lambda item: -len(item[0]))
        self._default = default

    def of(self, path: str) -> int | None:
        """Bytes, or None."""
        return next((limit for prefix, limit in self._paths if path.startswith(prefix)), self._default)


def too_large(limit: int) -> TooLarge:
    """Says the limit, so that the sender can split or shrink."""
    size = f"{limit // MIB} MiB" if limit >= MIB else f"{limit // KIB} KiB" if limit >= KIB else f"{limit} bytes"
    return TooLarge(f"the body is larger than the {size} that this path takes; send less at once")


class GuardedBody:
    """An ASGI `receive` that raises `TooLarge` or `Timeout` instead of going on."""

    __slots__ = ("_complete", "_limit", "_pace", "_receive", "_size", "_waited")

    def __init__(self, receive: Receive, limit: int | None, pace: Pace) -> None:
        self._receive = receive
        self._limit = limit
        self._pace = pace
        self._size = 0
        self._waited = 0.0
        self._complete = False

    async def __call__(self) -> Message:
        """The next chunk; after the last one whatever comes, without a time limit (a disconnect is waited for)."""
        if self._complete:
            return await self._receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._pace.chunk):
                message = await self._receive()
        except TimeoutError:
            raise self._slow() from None
        self._waited += time.monotonic() - began
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            self._check()
        return message

    def _check(self) -> None:
        if self._limit is not None and self._size > self._limit:
            raise too_large(self._limit)
        if not self._complete and self._waited > self._pace.grace and self._size < self._waited * self._pace.rate:
            raise self._slow()

    def _slow(self) -> Timeout:
        # Without closing, the rest of the body would keep the connection busy.
        return Timeout("the body came too slowly; send the request again", headers={"Connection": "close"})
