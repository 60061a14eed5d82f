"""`/v1/sources`: how each payment source speaks. Secrets go in and never come out."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from services.payments.api.parts import PaymentsParts
from services.payments.domain.poll_settings import HttpPollSettings, places, without_secrets
from services.payments.domain.source_settings import SourceSettings, StatementSettings, StripeSettings
from services.payments.handlers.manage_endpoint import check_target
from services.payments.store.polling import keep_payment_check
from services.payments.store.sources import (
    BUILT_IN,
    SourceRow,
    delete_source,
    find_source,
    list_sources,
    put_source,
)
from shared.kernel.errors import Conflict, NotFound
from shared.outgoing import Guard
from shared.web.auth import Scope, require
from shared.web.fields import Ref
from shared.web.paging import Page, Paged
from shared.web.parts import part
from shared.web.problems import declared
from shared.web.strict import strict_router

router: APIRouter = strict_router("payment sources")
Parts = Annotated[PaymentsParts, part(PaymentsParts)]
SECRET = ("secrets", "headers")
HIDDEN = ("api_key", "access_key_id", "secret_access_key", "session_token")  # inside of an object
POLLED = "http_poll"  # its URLs may have secrets in them


class Source(BaseModel):
    """`secrets`: how many there are, headers and the secrets of URLs too; `settings`: everything else that was set."""

    source: str
    kind: str
    secrets: int
    settings: dict[str, Any]
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
    if isinstance(settings, HttpPollSettings):
        await check_targets(parts.guard, settings)
    if isinstance(settings, StripeSettings) and settings.checkout is not None:
        await check_target(parts.guard, settings.checkout.api, "/checkout/api")
    if isinstance(settings, StatementSettings) and settings.bucket is not None:
        await check_target(parts.guard, settings.bucket.origin, "/bucket/endpoint")
    async with parts.db.transaction() as tx:
        row, is_new = await put_source(tx, source, settings.kind, settings.model_dump(mode="json", exclude={"kind"}))
        await keep_payment_check(tx)
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
    async with parts.db.transaction() as tx:
        found = await delete_source(tx, source)
        await keep_payment_check(tx)
    parts.sources.forget(source)
    if not found:
        raise _missing(source)


async def check_targets(guard: Guard, settings: HttpPollSettings) -> None:
    """`Invalid` if one of these URLs would never be called."""
    await check_target(guard, _without_places(settings.url), "/url")
    if settings.batch is not None:
        await check_target(guard, _without_places(settings.batch.url), "/batch/url")


def _without_places(url: str) -> str:
    for place in places(url):
        url = url.replace(f"{{{place}}}", "x")
    return url


def _missing(source: str) -> NotFound:
    return NotFound(f"there is no payment source {source!r}")


def _shown(row: SourceRow) -> Source:
    settings = {name: value for name, value in row.config.items() if name not in SECRET}
    secrets = sum(len(row.config.get(name, ())) for name in SECRET) + _hidden(settings)
    settings = _open(settings)
    if row.kind == POLLED:
        secrets += _without_url_secrets(settings) + _without_url_secrets(settings.get("batch") or {})
    return Source(source=row.ref, kind=row.kind, secrets=secrets, settings=settings, updated_at=row.updated_at)


def _without_url_secrets(question: dict[str, Any]) -> int:
    """Hides those of this question's URL; how many there were."""
    if "url" not in question:
        return 0
    question["url"], secrets = without_secrets(question["url"])
    return secrets


def _open(settings: dict[str, Any]) -> dict[str, Any]:
    """Without what is secret inside of an object."""
    return {
        name: {key: each for key, each in value.items() if key not in HIDDEN} if isinstance(value, dict) else value
        for name, value in settings.items()
    }


def _hidden(settings: dict[str, Any]) -> int:
    return sum(bool(value.get(key)) for value in settings.values() if isinstance(value, dict) for key in HIDDEN)
