"""Communication flows: written as JSON or YAML, kept in versions that never change."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError

from services.scheduler.api.invoice_answer import Answer
from services.scheduler.api.parts import Parts
from services.scheduler.store import flows
from services.scheduler.store.flows import VersionRow
from shared.flow import Flow, FlowTextError, read_yaml, standard
from shared.kernel import json
from shared.kernel.errors import BadRequest, FieldError, Invalid, NotFound, Unsupported
from shared.web.auth import require
from shared.web.paging import Page, Paged
from shared.web.problems import declared, invalid
from shared.web.strict import strict_router

router = strict_router("flows")
may_write, may_read = Depends(require("flows:write")), Depends(require("invoices:read"))
FlowName = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$", examples=["standard"])]
YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["steps"],
    "description": "a flow; see the README for its words",
}


class VersionOut(Answer):
    """An immutable version. Invoices stay on the version that they were accepted with."""

    name: str
    version: int
    created_at: datetime
    flow: dict[str, Any] = Field(description="as it was understood, defaults included")


@router.put(
    "/v1/flows/{name}",
    response_model=VersionOut,
    dependencies=[may_write],
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": SCHEMA, "example": standard().to_dict()},
                "application/yaml": {"schema": SCHEMA},
            },
        }
    },
    responses={
        201: {"model": VersionOut, "description": "A new version"},
        200: {"description": "The newest version says the same already"},
        **declared(400, 401, 403, 413, 415),
    },
)
async def put_flow(name: FlowName, request: Request, parts: Parts) -> Response:
    """Validates a flow and stores it as a new version, which new invoices follow from now on. A flow with any fault is
    refused whole, with all its faults."""
    flow = _read({"name": name, **await _body(request)}, name)
    async with parts.db.transaction() as tx:
        row, fresh = await flows.save(tx, flow)
    return JSONResponse(_out(row).model_dump(mode="json"), 201 if fresh else 200)


async def _body(request: Request) -> dict[str, Any]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        body = json.loads(await request.body())
        if not isinstance(body, dict):
            raise BadRequest("a flow is a JSON object with name and steps")
        return body
    if media_type in YAML:
        try:
            return _storable(read_yaml((await request.body()).decode()))
        except UnicodeDecodeError:
            raise BadRequest("the body is not UTF-8") from None
        except FlowTextError as error:
            raise BadRequest(f"the body is not the YAML of a flow: {error}") from None
    raise Unsupported(f"send the flow as application/json or {YAML[0]}, and say which in Content-Type")


def _storable(body: dict[str, Any]) -> dict[str, Any]:
    """YAML can say more than JSON: U+0000, numbers of any size."""
    try:
        json.loads(json.dumps(body))
    except TypeError:
        raise BadRequest("a value in the flow has no form in JSON; write it as text") from None
    return body


def _read(body: dict[str, Any], name: str) -> Flow:
    if body["name"] != name:
        detail = f"differs from the address, which says {name!r}; correct it or leave it out"
        raise Invalid(f"/name: {detail}", errors=(FieldError("/name", detail),))
    try:
        return Flow.parse(body)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_input=False), body) from None


@router.get("/v1/flows/{name}", response_model=VersionOut, dependencies=[may_read], responses=declared(401, 403, 404))
async def get_flow(name: FlowName, parts: Parts) -> VersionOut:
    """The newest version."""
    async with parts.db.connection() as connection:
        found = await flows.versions(connection, name, None, 1)
    if not found:
        raise NotFound(f"there is no flow {name!r}")
    return _out(found[0])


@router.get(
    "/v1/flows/{name}/versions",
    response_model=Page[VersionOut],
    dependencies=[may_read],
    responses=declared(400, 401, 403, 404),
)
async def list_versions(name: FlowName, parts: Parts, paging: Paged) -> Page[VersionOut]:
    """Newest first."""
    after = paging.last(int)
    async with parts.db.connection() as connection:
        found = await flows.versions(connection, name, after[0] if after else None, paging.limit + 1)
    if not found and after is None:
        raise NotFound(f"there is no flow {name!r}")
    rows, cursor = paging.cut(found, lambda row: (row.version,))
    return Page(items=[_out(row) for row in rows], next_cursor=cursor)


@router.get("/v1/flows", response_model=Page[VersionOut], dependencies=[may_read], responses=declared(400, 401, 403))
async def list_flows(parts: Parts, paging: Paged) -> Page[VersionOut]:
    """The newest version of each flow, by name."""
    after = paging.last(str)
    async with parts.db.connection() as connection:
        found = await flows.page(connection, after[0] if after else "", paging.limit + 1)
    rows, cursor = paging.cut(found, lambda row: (row.name,))
    return Page(items=[_out(row) for row in rows], next_cursor=cursor)


def _out(row: VersionRow) -> VersionOut:
    return VersionOut(name=row.name, version=row.version, created_at=row.created_at, flow=row.spec)
