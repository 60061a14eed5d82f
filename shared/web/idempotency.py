"""Same Idempotency-Key and same body: one effect, one answer.

The key is claimed and its answer stored in the effect's own transaction, so both exist or neither. A twin that runs at
the same time waits in `claim` for the first one's commit (the primary key makes it wait) and then gets its answer.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, Header, Request

from shared.kernel.errors import Conflict, Invalid
from shared.web.auth import Caller

Header_ = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="Any text of yours: the same key with the same body has one effect and one answer",
    ),
]


@dataclass(frozen=True, slots=True)
class Once:
    """One caller's wish that this request has its effect once."""

    owner: str
    route: str
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer that was given the first time."""

    status: int
    response: dict[str, Any]


async def _once(request: Request, key: Header_ = None) -> Once | None:
    if key is None:
        return None
    caller: Caller | None = request.scope.get("dunnock.caller")
    owner = caller.owner if caller else "nobody"
    body_hash = hashlib.sha256(await request.body()).digest()
    return Once(owner, f"{request.method} {request.url.path}", key, body_hash)


IdempotencyKey = Annotated[Once | None, Depends(_once)]
"""An endpoint's parameter; None when the caller sent no key."""

_CLAIM = """
INSERT INTO idempotency (owner, key, route, body_hash) VALUES ($1, $2, $3, $4)
ON CONFLICT (owner, key) DO NOTHING RETURNING true
"""
_READ = "SELECT route, body_hash, status, response FROM idempotency WHERE owner = $1 AND key = $2"
_STORE = "UPDATE idempotency SET status = $3, response = $4 WHERE owner = $1 AND key = $2"


async def claim(tx: asyncpg.Connection, once: Once | None) -> Stored | None:
    """None: go on, and `store` before the commit. Otherwise the answer to repeat, with no effect now."""
    if once is None or await tx.fetchval(_CLAIM, once.owner, once.key, once.route, once.body_hash):
        return None
    row = await tx.fetchrow(_READ, once.owner, once.key)
    if row is None or row["status"] is None:
        raise Conflict("the request with this Idempotency-Key has not ended; send it again")
    if row["route"] != once.route or row["body_hash"] != once.body_hash:
        raise Invalid("this Idempotency-Key was used with another request; use a new key for a new request")
    return Stored(row["status"], row["response"])


async def store(tx: asyncpg.Connection, once: Once | None, status: int, response: dict[str, Any]) -> None:
    """Keeps the answer for whoever asks again. Never store a secret: answer without it the second time."""
    if once is not None:
        await tx.execute(_STORE, once.owner, once.key, status, response)
