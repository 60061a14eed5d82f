"""API keys: shown once when they are made, stored as a hash, revoked within a second."""

from datetime import datetime
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from services.scheduler.api.customer_body import Line
from services.scheduler.api.invoice_answer import Answer
from services.scheduler.api.parts import Parts
from services.scheduler.store import keys
from shared.kernel.errors import Forbidden, NotFound
from shared.web import idempotency
from shared.web.auth import Caller, Scope, key_hash, new_key, require
from shared.web.idempotency import IdempotencyKey, Once
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import StrictModel, strict_router

router = strict_router("api keys")
guard = require(Scope.KEYS_WRITE)


class KeyIn(StrictModel):
    """A key may be given no scope that the caller's own key lacks."""

    name: Annotated[Line, Field(examples=["ERP"])]
    scopes: Annotated[list[Scope], Field(min_length=1, examples=[["invoices:write", "invoices:read"]])]


class KeyOut(Answer):
    """`key` is answered once, when the key is made."""

    key_id: int
    name: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None = None
    key: str | None = Field(None, examples=["dk_x8bQ..."])


@router.post("/v1/api-keys", status_code=201, response_model=KeyOut, responses=declared(400, 401, 403, 413, 415))
async def post_key(
    body: KeyIn, parts: Parts, once: IdempotencyKey, caller: Annotated[Caller, Depends(guard)]
) -> Response:
    """Makes a key. With an Idempotency-Key the second answer is the same without the key itself."""
    if missing := sorted(set(body.scopes) - caller.scopes):
        raise Forbidden(f"your API key lacks the scope {missing[0].value!r}, so it cannot give it to another one")
    key = new_key()
    async with parts.db.transaction() as tx:
        made, fresh = await _make(tx, body, key, once)
    return JSONResponse({**made, "key": key if fresh else None}, 201)


async def _make(tx: asyncpg.Connection, body: KeyIn, key: str, once: Once | None) -> tuple[dict[str, Any], bool]:
    if (stored := await idempotency.claim(tx, once)) is not None:
        return stored.response, False
    row = await keys.insert(tx, body.name, key_hash(key), sorted(set(body.scopes)))
    made = _out(row).model_dump(mode="json")
    await idempotency.store(tx, once, 201, made)
    return made, True


@router.get(
    "/v1/api-keys", response_model=Page[KeyOut], dependencies=[Depends(guard)], responses=declared(400, 401, 403)
)
async def list_keys(parts: Parts, paging: Paged) -> Page[KeyOut]:
    """All keys, the revoked ones too, without the keys themselves."""
    after = paging.last(int)
    async with parts.db.connection() as connection:
        rows, cursor = paging.cut(
            await keys.page(connection, after[0] if after else 0, paging.limit + 1), lambda row: (row.id,)
        )
    return Page(items=[_out(row) for row in rows], next_cursor=cursor)


@router.delete(
    "/v1/api-keys/{key_id}", status_code=204, dependencies=[Depends(guard)], responses=declared(401, 403, 404)
)
async def delete_key(key_id: int, parts: Parts) -> Response:
    """Revokes a key for good; again is the same."""
    async with parts.db.connection() as connection:
        if not (0 < key_id < 2**63 and await keys.revoke(connection, key_id)):
            raise NotFound(f"there is no API key {key_id}")
    return Response(status_code=204)


def _out(row: keys.KeyRow) -> KeyOut:
    return KeyOut(key_id=row.id, name=row.name, scopes=row.scopes, created_at=row.created_at, revoked_at=row.revoked_at)
