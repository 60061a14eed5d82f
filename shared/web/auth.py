"""Who asks, and may they.

A key is stored as its SHA-256 only (it is random, so no slow hash is needed) and is looked up by that, so the time of
an answer says nothing about any stored key. A revoked key works for at most `ttl` seconds more.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from fastapi import Request
from fastapi.security import HTTPBearer

from shared.kernel.errors import Forbidden, Unauthorized
from shared.web.parts import find


class Scope(StrEnum):
    """What a key may be allowed to do."""

    INVOICES_READ = "invoices:read"
    INVOICES_WRITE = "invoices:write"
    FLOWS_WRITE = "flows:write"
    PAYMENTS_READ = "payments:read"
    PAYMENTS_WRITE = "payments:write"
    EVENTS_WRITE = "events:write"
    OPERATE = "operate"
    KEYS_WRITE = "keys:write"


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key; `owner` keeps idempotency keys of two callers apart."""

    name: str
    scopes: frozenset[str]
    key_id: int | None = None

    @property
    def owner(self) -> str:
        return "bootstrap" if self.key_id is None else f"key:{self.key_id}"


Lookup = Callable[[bytes], Awaitable[Caller | None]]
"""The caller whose key has this SHA-256 and is not revoked."""


def new_key() -> str:
    """A fresh key, shown to its holder once."""
    return f"dk_{secrets.token_urlsafe(32)}"


def key_hash(key: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


class Keys:
    """Turns a key into its caller; part of the app, one for all services in a process."""

    def __init__(self, lookup: Lookup, bootstrap: str | None = None, *, ttl: float = 0.5, size: int = 1024) -> None:
        self._lookup = lookup
        self._bootstrap = key_hash(bootstrap) if bootstrap else None
        self._ttl = ttl
        self._size = size
        self._known: dict[bytes, tuple[float, asyncio.Task[Caller | None]]] = {}

    async def caller(self, key: str) -> Caller:
        """The caller, or `Unauthorized`."""
        hashed = key_hash(key)
        if self._bootstrap is not None and hmac.compare_digest(hashed, self._bootstrap):
            return Caller("bootstrap", frozenset(Scope))
        caller = await self._find(hashed)
        if caller is None:
            raise Unauthorized("this API key is not known or was revoked; check it or make a new one")
        return caller

    async def _find(self, hashed: bytes) -> Caller | None:
        """One look-up for all requests of the same moment; one that failed or found nobody is not kept."""
        until, task = self._known.get(hashed, (0.0, None))
        if task is None or time.monotonic() >= until:
            if len(self._known) >= self._size:
                self._known.clear()
            task = asyncio.ensure_future(self._look(hashed))
            self._known[hashed] = (time.monotonic() + self._ttl, task)
        return await asyncio.shield(task)

    async def _look(self, hashed: bytes) -> Caller | None:
        caller = None
        try:
            caller = await self._lookup(hashed)
        finally:
            if caller is None:
                self._known.pop(hashed, None)
        return caller


class Require(HTTPBearer):
    """The dependency `Depends(require(scope))`; its value is the `Caller`."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scheme_name="ApiKey", description="An API key: `Authorization: Bearer dk_...`")
        self.scope = scope

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]  # a caller, not credentials
        """Checked once a request, although the route asks before the body and FastAPI again after it."""
        caller: Caller | None = request.scope.get("dunnock.caller")
        if caller is None:
            caller = await find(request.app, Keys).caller(bearer(request))
            request.scope["dunnock.caller"] = caller
        if self.scope not in caller.scopes:
            raise Forbidden(f"this API key lacks the scope {self.scope.value!r}; use one that has it")
        return caller


def require(scope: Scope | str) -> Require:
    """Guards an endpoint: 401 without a valid key, 403 without the scope. An unknown scope fails at import."""
    return Require(Scope(scope))


def bearer(request: Request) -> str:
    """The key in the Authorization header."""
    kind, _, key = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not key.strip():
        raise Unauthorized("send an API key in the header 'Authorization: Bearer KEY'")
    return key.strip()
