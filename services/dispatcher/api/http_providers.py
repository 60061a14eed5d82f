"""`/v1/channels/http/providers`: APIs that nobody has written an adapter for, as an operator describes them. Secrets go in
and never come out; an API inside the network is refused here, and again at every call."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Response
from pydantic import BaseModel, Field

from services.dispatcher.api.parts import DispatcherParts, Parts
from services.dispatcher.domain.http_api import ApiKey, Basic, HttpApi
from services.dispatcher.store import http_apis
from services.dispatcher.store.http_apis import HttpApiRow
from shared.kernel.errors import Conflict, FieldError, Invalid, NotFound
from shared.outgoing import TargetRefused
from shared.web.auth import Scope, require
from shared.web.problems import declared
from shared.web.strict import strict_router

EVENTS = frozenset({"ses", "sendgrid", "postmark"})  # who report about mails

router = strict_router("channels")
may_operate = Depends(require(Scope.OPERATE))
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", examples=["acme-chat"])]


class HttpProvider(BaseModel):
    """`auth` and `receipts` without their secrets: how it is signed, and how many secrets a receipt may be signed with."""

    provider: str
    method: str
    url: str
    headers: dict[str, str]
    body: dict[str, Any] | None
    auth: dict[str, str]
    success: dict[str, Any]
    message_id: str | None
    refusals: dict[str, str | None]
    receipts: dict[str, Any] | None
    price: str
    timeout: float
    concurrency: int
    updated_at: datetime


class HttpProviders(BaseModel):
    items: list[HttpProvider] = Field(description="by name; there are a handful")
    next_cursor: None = None


@router.put(
    "/v1/channels/http/providers/{name}",
    dependencies=[may_operate],
    responses={201: {"model": HttpProvider, "description": "Created"}, **declared(400, 401, 403, 409)},
)
async def put_http_provider(name: Name, body: HttpApi, parts: Parts, response: Response) -> HttpProvider:
    """Describes an API, or replaces its description with all its secrets. It holds in every dispatcher within seconds."""
    if parts.http.is_built_in(name) or name in EVENTS:
        raise Conflict(f"the provider {name!r} is built in; use another name")
    await _check_target(parts, body)
    async with parts.db.transaction() as tx:
        row, is_new = await http_apis.put(tx, name, body.model_dump(mode="json"))
    await parts.http.sync()
    await parts.senders.register()
    response.status_code = 201 if is_new else 200
    return _shown(row)


@router.get("/v1/channels/http/providers", dependencies=[may_operate], responses=declared(401, 403))
async def http_providers(parts: Parts) -> HttpProviders:
    """All described APIs."""
    async with parts.db.connection() as connection:
        return HttpProviders(items=[_shown(row) for row in await http_apis.everything(connection)])


@router.get("/v1/channels/http/providers/{name}", dependencies=[may_operate], responses=declared(401, 403, 404))
async def http_provider(name: Name, parts: Parts) -> HttpProvider:
    """One described API, without its secrets."""
    async with parts.db.connection() as connection:
        row = await http_apis.find(connection, name)
    if row is None:
        raise _missing(name)
    return _shown(row)


@router.delete(
    "/v1/channels/http/providers/{name}",
    status_code=204,
    dependencies=[may_operate],
    responses=declared(401, 403, 404),
)
async def delete_http_provider(name: Name, parts: Parts) -> Response:
    """Its secrets are gone at once; what it sent stays on the timelines."""
    async with parts.db.connection() as connection:
        found = await http_apis.delete(connection, name)
    if not found:
        raise _missing(name)
    await parts.http.sync()
    return Response(status_code=204)


async def _check_target(parts: DispatcherParts, api: HttpApi) -> None:
    if api.host_url is None:
        return
    try:
        await parts.guard.check_url(api.host_url)
    except TargetRefused as error:
        raise Invalid(f"/url: {error}", errors=(FieldError("/url", str(error)),)) from None


def _shown(row: HttpApiRow) -> HttpProvider:
    api = HttpApi.model_validate(row.config)
    said = api.model_dump(mode="json")
    return HttpProvider(
        provider=row.name,
        updated_at=row.updated_at,
        auth=_auth(api),
        receipts=said["receipts"] and {**said["receipts"], "secrets": len(said["receipts"]["secrets"])},
        **{name: value for name, value in said.items() if name not in ("auth", "receipts")},
    )


def _auth(api: HttpApi) -> dict[str, str]:
    match api.auth:
        case Basic(kind=kind, username=username):
            return {"kind": kind, "username": username}
        case ApiKey(kind=kind, name=name):
            return {"kind": kind, "name": name}
        case auth:
            return {"kind": auth.kind}


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no described API {name!r}; GET /v1/channels/http/providers lists them")
