"""The flow that a preview or a dry run is about: one that is stored, by its name, or one that is sent along."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from services.scheduler.api.flow_body import read_flow
from services.scheduler.api.parts import SchedulerParts
from services.scheduler.store import flows
from services.scheduler.store.ground import ground
from shared.flow import Flow, Verified, verify
from shared.flow.steps import Name
from shared.kernel.errors import FieldError, Invalid

DRAFT = "draft"
FlowIn = Annotated[
    Name | dict[str, Any], Field(description="the name of a stored flow, or a flow as PUT /v1/flows/{name} takes it")
]


@dataclass(frozen=True, slots=True)
class Chosen:
    """`body`: what the places of findings point into."""

    flow: Flow
    body: dict[str, Any]
    verified: Verified


async def chosen(parts: SchedulerParts, wanted: str | dict[str, Any]) -> Chosen:
    """Raises `Invalid` with everything that is wrong, under `/flow`."""
    async with parts.db.connection() as connection:
        known = await ground(connection, parts.caps)
        found = await flows.versions(connection, wanted, None, 1) if isinstance(wanted, str) else []
    if isinstance(wanted, dict):
        body = {"name": DRAFT, **wanted}
        flow, verified = read_flow(body, known, at="/flow")
        return Chosen(flow, body, verified)
    if not found:
        detail = f"there is no flow {wanted!r}; PUT it first, or send it here"
        raise Invalid(f"/flow: {detail}", errors=(FieldError("/flow", detail),))
    flow = Flow.parse(found[0].spec)
    return Chosen(flow, found[0].spec, verify(flow, known))
