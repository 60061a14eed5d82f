"""`POST /v1/flows/dry-run`: a flow over the invoices there are, without sending anything."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from fastapi import Body, Depends
from pydantic import Field

from services.scheduler.api.flow_choice import FlowIn, chosen
from services.scheduler.api.invoice_answer import Answer
from services.scheduler.api.parts import Parts
from services.scheduler.domain.tally import Tally
from services.scheduler.handlers.dry_run import dry_run
from shared.flow.steps import Name
from shared.web.auth import require
from shared.web.problems import declared
from shared.web.strict import StrictModel, strict_router

router = strict_router("flows")
EXAMPLE = {"flow": "standard", "days": 30}


class DryRunIn(StrictModel):
    """`following`: only invoices that follow a flow of this name now; else all that are open."""

    flow: FlowIn
    days: Annotated[int, Field(ge=1, le=366, strict=True)] = 90
    following: Name | None = None


class SendsOut(Answer):
    """Of one local day on one channel."""

    date: date
    channel: str = Field(examples=["email"])
    messages: int
    cost: str = Field(examples=["12.5"])


class SkippedOut(Answer):
    step: str
    reason: str = Field(examples=["condition"], description="as in a reminder")
    reminders: int


class MovedOut(Answer):
    """Reminders that go on a later day than the flow says."""

    step: str
    reason: str = Field(
        examples=["cap"],
        description="cap (of the flow, or for all flows), channel_hours, window, or the kind of the hold that it waits for",
    )
    reminders: int


class RodeAlongOut(Answer):
    """Reminders that go in the message of another invoice of their customer: no message and no cost of their own."""

    step: str
    reminders: int


class DryRunOut(Answer):
    """If nobody pays, answers or bounces: each message goes over the first of its channels, under the caps of the flow
    and of the deployment. What an invoice already got is not sent again."""

    flow: str
    starts_at: datetime
    ends_at: datetime
    invoices: int
    messages: int
    cost: str = Field(examples=["812.4"])
    escalations: int
    sends: list[SendsOut]
    skipped: list[SkippedOut]
    moved: list[MovedOut]
    rode_along: list[RodeAlongOut]


@router.post(
    "/v1/flows/dry-run",
    response_model=DryRunOut,
    dependencies=[Depends(require("invoices:read"))],
    responses=declared(400, 401, 403, 413, 415),
)
async def post_dry_run(parts: Parts, body: Annotated[DryRunIn, Body(examples=[EXAMPLE])]) -> DryRunOut:
    """Runs a flow (its name, or the flow itself) over the open invoices for the next days, without sending or storing
    anything."""
    flow = (await chosen(parts, body.flow)).flow
    return _out(await dry_run(parts.db, flow, body.days, body.following, parts.caps))


def _out(tally: Tally) -> DryRunOut:
    sends = [
        SendsOut(date=day, channel=channel, messages=count, cost=_cost(tally.costs[day, channel]))
        for (day, channel), count in sorted(tally.sends.items())
    ]
    return DryRunOut(
        flow=tally.flow.name,
        starts_at=tally.now,
        ends_at=tally.until,
        invoices=tally.invoices,
        messages=sum(tally.sends.values()),
        cost=_cost(sum(tally.costs.values(), start=Decimal(0))),
        escalations=tally.escalations,
        sends=sends,
        skipped=[
            SkippedOut(step=step, reason=reason, reminders=count)
            for (step, reason), count in sorted(tally.skipped.items())
        ],
        moved=[
            MovedOut(step=step, reason=reason, reminders=count) for (step, reason), count in sorted(tally.moved.items())
        ],
        rode_along=[RodeAlongOut(step=step, reminders=count) for step, count in sorted(tally.rode_along.items())],
    )


def _cost(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
