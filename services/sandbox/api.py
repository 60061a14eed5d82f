"""The `/sandbox` paths: messages, clock, page, and orders to the doubles. No key is needed.

Reading never changes anything; the clock, faults and replies are moved by POST only.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Self

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.sandbox.durations import later
from services.sandbox.messages import Listed
from services.sandbox.page import page_router
from shared.kernel.errors import Invalid, NotFound, Unavailable
from shared.web.strict import StrictModel, strict_router

if TYPE_CHECKING:
    from services.sandbox.sandbox import Sandbox

MOST = 10_000
CURSOR = r"^\d{1,18}$"


class Page(BaseModel):
    items: list[Listed]
    next_cursor: str | None


class ClockFace(BaseModel):
    now: datetime


class ClockMove(StrictModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"advance": "P3D"}]})

    advance: Annotated[str, Field(max_length=100, description="ISO 8601 duration")] | None = None
    to: AwareDatetime | None = Field(None, description="RFC 3339 instant")

    @model_validator(mode="after")
    def exactly_one(self) -> Self:
        if (self.advance is None) == (self.to is None):
            raise ValueError("give either 'advance' (a duration) or 'to' (an instant)")
        return self

    def target(self, now: datetime) -> datetime:
        return self.to if self.to is not None else later(now, self.advance or "")


class FaultOrder(StrictModel):
    provider: str
    fault: str
    times: int = Field(1, ge=1, le=100_000)


class HandsetReply(StrictModel):
    sender: str = Field(alias="from", pattern=r"^\+[1-9]\d{6,14}$")
    body: str = Field(max_length=1600)
    channel: Literal["sms", "whatsapp", "rcs"] = "sms"


def build_routers(sandbox: "Sandbox") -> list[APIRouter]:
    return [_messages(sandbox), _clock(sandbox), _orders(sandbox), page_router(sandbox.store)]


def _messages(sandbox: "Sandbox") -> APIRouter:
    router = strict_router("sandbox")

    @router.get("/sandbox/messages", response_model=Page, summary="What would have reached the world, oldest first")
    async def messages(
        channel: str | None = None,
        to: str | None = None,
        invoice_id: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = MOST,
        cursor: Annotated[str, Query(pattern=CURSOR)] = "0",
    ) -> Response:
        items, following = await sandbox.mailroom.read(channel, to, invoice_id, int(cursor), limit)
        page = {"items": items, "next_cursor": None if following is None else str(following)}
        return Response(orjson.dumps(page), media_type="application/json")

    return router


def _clock(sandbox: "Sandbox") -> APIRouter:
    router = strict_router("sandbox")

    @router.get("/sandbox/clock", summary="Business time")
    async def read() -> ClockFace:
        return ClockFace(now=sandbox.now() if sandbox.clock is None else await sandbox.clock.read())

    @router.post("/sandbox/clock", summary="Move business time forward, stopping at everything that falls due")
    async def move(body: ClockMove) -> ClockFace:
        if sandbox.clock is None:
            raise Unavailable("this process has no timeline: move the clock of the process that keeps the ledger")
        return ClockFace(now=await sandbox.clock.move(body.target))

    return router


def _orders(sandbox: "Sandbox") -> APIRouter:
    router = strict_router("sandbox")

    @router.post("/sandbox/faults", status_code=204, summary="Let the next requests to a double go wrong")
    async def order(body: FaultOrder) -> None:
        faults = sandbox.faults.get(body.provider)
        if faults is None:
            raise NotFound(f"no double is called {body.provider!r}; there are {', '.join(sandbox.faults)}")
        if body.fault not in faults.known:
            raise Invalid(f"{body.provider} has no fault {body.fault!r}; it has {', '.join(faults.known)}")
        faults.order(faults.known[body.fault], body.times)

    @router.post("/sandbox/replies", status_code=202, summary="A handset answers")
    async def reply(body: HandsetReply) -> dict[str, str]:
        return {"message_id": await sandbox.reply(body.sender, body.body, body.channel)}

    return router
