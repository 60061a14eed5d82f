"""Communication flows: written as JSON or YAML, kept in versions that never change."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from services.scheduler.api.flow_body import (
    BODIES,
    YAML,
    FindingOut,
    WorstCaseOut,
    findings_out,
    read_body,
    read_flow,
    worst_out,
)
from services.scheduler.api.invoice_answer import Answer
from services.scheduler.api.parts import Parts
from services.scheduler.store import flows
from services.scheduler.store.flows import VersionRow
from services.scheduler.store.ground import ground
from shared.flow import Flow, flow_schema, write_yaml
from shared.kernel.errors import FieldError, Invalid, NotFound
from shared.pictures import lock
from shared.web.auth import require
from shared.web.paging import Page, Paged
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("flows")
may_write, may_read = Depends(require("flows:write")), Depends(require("invoices:read"))
FlowName = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$", examples=["standard"])]


class VersionOut(Answer):
    """An immutable version. Invoices stay on the version that they were accepted with."""

    name: str
    version: int
    created_at: datetime
    flow: dict[str, Any] = Field(description="as it was understood, defaults included")


class SavedFlow(VersionOut):
    """What was stored, and what is worth knowing about it."""

    warnings: list[FindingOut]
    worst_case: WorstCaseOut


@router.put(
    "/v1/flows/{name}",
    response_model=SavedFlow,
    dependencies=[may_write],
    openapi_extra=BODIES,
    responses={
        201: {"model": SavedFlow, "description": "A new version"},
        200: {"description": "The newest version says the same already"},
        **declared(400, 401, 403, 413, 415),
    },
)
async def put_flow(name: FlowName, request: Request, parts: Parts) -> Response:
    """Verifies a flow and stores it as a new version, which new invoices follow from now on. A flow with any fault is
    refused whole, with all its faults; what is only odd comes back as `warnings`."""
    body = {"name": name, **await read_body(request)}
    if body["name"] != name:
        detail = f"differs from the address, which says {name!r}; correct it or leave it out"
        raise Invalid(f"/name: {detail}", errors=(FieldError("/name", detail),))
    async with parts.db.transaction() as tx:
        await lock(tx)  # whoever takes a text away meanwhile waits, and then sees the flow that says it
        flow, verified = read_flow(body, await ground(tx, parts.caps))
        row, fresh = await flows.save(tx, flow)
    saved = SavedFlow(
        **_out(row).model_dump(), warnings=findings_out(verified.warnings, body), worst_case=worst_out(verified)
    )
    return JSONResponse(saved.model_dump(mode="json"), 201 if fresh else 200)


@router.get("/v1/flows/schema", dependencies=[may_read], responses=declared(401, 403))
async def get_schema() -> dict[str, Any]:
    """The language as JSON Schema, for editors."""
    return flow_schema()


@router.get(
    "/v1/flows/{name}",
    response_model=VersionOut,
    dependencies=[may_read],
    responses={200: {"content": {YAML[0]: {"schema": {"type": "string"}}}}, **declared(401, 403, 404)},
)
async def get_flow(name: FlowName, request: Request, parts: Parts) -> Response:
    """The newest version; as its page alone with `Accept: application/yaml`."""
    async with parts.db.connection() as connection:
        found = await flows.versions(connection, name, None, 1)
    if not found:
        raise NotFound(f"there is no flow {name!r}")
    if request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip() in YAML:
        return Response(write_yaml(Flow.parse(found[0].spec)), media_type=YAML[0])
    return JSONResponse(_out(found[0]).model_dump(mode="json"))


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
