"""`/v1/sources`: how each payment source speaks. Secrets go in and never come out."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, BeforeValidator, Field

from services.payments.api.parts import PaymentsParts
from services.payments.domain.signature import parse_secret
from services.payments.store.sources import (
    BUILT_IN,
    WEBHOOK_KIND,
    SourceRow,
    delete_source,
    find_source,
    list_sources,
    put_source,
)
from shared.kernel.errors import Conflict, NotFound
from shared.web.auth import Scope, require
from shared.web.fields import Ref
from shared.web.paging import Page, Paged
from shared.web.parts import part
from shared.web.problems import declared
from shared.web.strict import StrictModel, strict_router

router: APIRouter = strict_router("payment sources")
Parts = Annotated[PaymentsParts, part(PaymentsParts)]


def _known_kind(value: object) -> str:
    if value == WEBHOOK_KIND:
        return WEBHOOK_KIND
    raise ValueError(f'must be "{WEBHOOK_KIND}", the only kind of source that exists')


def _secret(value: object) -> str:
    parse_secret(value)
    return str(value)


class SourceSettings(StrictModel):
    """Several secrets are valid at the same time, so that one can be replaced without losing a webhook."""

    kind: Annotated[Literal["standard_webhook"], BeforeValidator(_known_kind)]
    secrets: Annotated[
        list[Annotated[str, BeforeValidator(_secret), Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])]],
        Field(min_length=1, max_length=10),
    ]


class Source(BaseModel):
    """`secrets`: how many there are."""

    source: str
    kind: str
    secrets: int
    updated_at: datetime


@router.put(
    "/v1/sources/{source}",
    dependencies=[Depends(require(Scope.PAYMENTS_WRITE))],
    responses={201: {"model": Source, "description": "Created"}, **declared(400, 401, 403, 409)},
    summary="Create a payment source, or replace how it speaks",
)
async def put(source: Ref, settings: SourceSettings, parts: Parts, response: Response) -> Source:
    if source == BUILT_IN:
        raise Conflict(
            f"the source {BUILT_IN!r} is built in: it holds what is recorded by POST /v1/payments; use another name"
        )
    async with parts.db.transaction() as tx:
        row, is_new = await put_source(tx, source, settings.kind, settings.secrets)
    parts.sources.forget(source)
    response.status_code = 201 if is_new else 200
    return _shown(row)


@router.get(
    "/v1/sources/{source}",
    dependencies=[Depends(require(Scope.PAYMENTS_READ))],
    responses=declared(401, 403, 404),
    summary="A payment source, without its secrets",
)
async def get(source: Ref, parts: Parts) -> Source:
    async with parts.db.connection() as connection:
        row = await find_source(connection, source)
    if row is None:
        raise _missing(source)
    return _shown(row)


@router.get(
    "/v1/sources",
    dependencies=[Depends(require(Scope.PAYMENTS_READ))],
    responses=declared(400, 401, 403),
    summary="All payment sources",
)
async def listing(paging: Paged, parts: Parts) -> Page[Source]:
    (after,) = paging.last(str) or ("",)
    async with parts.db.connection() as connection:
        rows = await list_sources(connection, after, paging.limit + 1)
    shown, cursor = paging.cut(rows, lambda row: (row.ref,))
    return Page(items=[_shown(row) for row in shown], next_cursor=cursor)


@router.delete(
    "/v1/sources/{source}",
    status_code=204,
    dependencies=[Depends(require(Scope.PAYMENTS_WRITE))],
    responses=declared(401, 403, 404, 409),
    summary="Stop listening to a payment source; what it said stays",
)
async def delete(source: Ref, parts: Parts) -> None:
    if source == BUILT_IN:
        raise Conflict(f"the source {BUILT_IN!r} is built in and cannot be removed")
    async with parts.db.connection() as connection:
        found = await delete_source(connection, source)
    parts.sources.forget(source)
    if not found:
        raise _missing(source)


def _missing(source: str) -> NotFound:
    return NotFound(f"there is no payment source {source!r}")


def _shown(row: SourceRow) -> Source:
    return Source(source=row.ref, kind=row.kind, secrets=len(row.secrets), updated_at=row.updated_at)
