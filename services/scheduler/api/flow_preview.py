"""`POST /v1/flows/preview`: what a flow would do with an example, before anybody gets anything."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import Body, Depends
from pydantic import Field

from services.scheduler.api.flow_body import FindingOut, WorstCaseOut, findings_out, worst_out
from services.scheduler.api.flow_choice import Chosen, chosen
from services.scheduler.api.flow_preview_body import EXAMPLE, PreviewIn, read_invoices
from services.scheduler.api.invoice_answer import Answer, step_name
from services.scheduler.api.parts import Parts
from services.scheduler.domain.contacts import mask
from services.scheduler.domain.preview import Previewed
from services.scheduler.handlers.preview_flow import Shown, Terms, Text, show
from shared.content.pictures import data_uri
from shared.web.auth import require
from shared.web.problems import declared
from shared.web.strict import strict_router

router = strict_router("flows")


class WayOut(Answer):
    """In the order in which they are tried."""

    channel: str = Field(examples=["email"])
    address_masked: str = Field(examples=["a***@example.com"])
    provider: str
    cost: str


class LeftOutOut(Answer):
    channel: str
    reason: str = Field(examples=["no provider"])


class TextOut(Answer):
    """On the first channel."""

    channel: str
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    fault: str | None = Field(None, description="why it cannot be written")


class ConditionOut(Answer):
    holds: bool
    detail: str = Field(examples=["invoice.open_amount > 20.0: true"])


class RidesOnOut(Answer):
    """The reminder whose message speaks for this one, too."""

    invoice_id: str
    step: str


class PreviewRow(Answer):
    """One row. `due_at` null: it waits for its event. `reason`: it does not go."""

    invoice_id: str
    step: str
    occurrence: int
    installment: int | None = None
    waits_for: str | None = Field(None, examples=["payment"])
    due_at: datetime | None
    local: str | None = Field(examples=["2026-12-16T09:00:00+01:00"], description="the same in the customer's zone")
    weekday: str | None = Field(None, examples=["Wednesday"])
    does: str = Field(examples=["message"], description="message, escalate or stop")
    reason: str | None = None
    moved: str | None = Field(
        None,
        examples=["cap"],
        description="why it goes on a later day than the flow says: cap, channel_hours or window",
    )
    rides_on: RidesOnOut | None = None
    condition: ConditionOut | None = None
    channels: list[WayOut]
    left_out: list[LeftOutOut]
    cost: str = Field(description="if the first channel works")
    text: TextOut | None = None


class PreviewOut(Answer):
    flow: str
    timezone: str
    backlog: bool = Field(description="it would start held: it comes long after its due date")
    nothing: str | None = None
    plan: list[PreviewRow]
    cost: str = Field(description="of all rows that go, each over its first channel")
    worst_case: WorstCaseOut
    pictures: dict[str, str] = Field(
        description="what the html of the texts shows, as `data:` by `cid:`; each once, however many mails carry it"
    )
    warnings: list[FindingOut]


@router.post(
    "/v1/flows/preview",
    response_model=PreviewOut,
    dependencies=[Depends(require("invoices:read"))],
    responses=declared(400, 401, 403, 413, 415),
)
async def post_preview(parts: Parts, body: Annotated[PreviewIn, Body(examples=[EXAMPLE])]) -> PreviewOut:
    """The dated, costed and written plan of an example invoice, and of what else its customer owes. Nothing is stored and
    nothing is sent."""
    picked = await chosen(parts, body.flow)
    invoices = read_invoices(body, sandbox=parts.sandbox)
    shown = await show(parts.db, picked.flow, invoices, Terms(body.at, body.days, parts.caps))
    return _out(picked, shown, [invoice.ref for _, invoice in invoices])


def _out(picked: Chosen, shown: Shown, ids: Sequence[str]) -> PreviewOut:
    return PreviewOut(
        flow=picked.flow.name,
        timezone=shown.zone.key,
        backlog=shown.foreseen.backlog,
        nothing=shown.foreseen.nothing,
        plan=[_row(picked, row, text, shown, ids) for row, text in shown.rows],
        cost=_cost(sum((row.cost for row, _ in shown.rows if row.at is not None), start=Decimal(0))),
        worst_case=worst_out(picked.verified),
        pictures=_pictures(shown),
        warnings=findings_out(picked.verified.warnings, picked.body),
    )


def _pictures(shown: Shown) -> dict[str, str]:
    carried = {
        picture.content_id: picture
        for _, text in shown.rows
        if text and text.rendered
        for picture in text.rendered.pictures
    }
    return {f"cid:{key}": data_uri(picture) for key, picture in carried.items()}


def _row(picked: Chosen, found: Previewed, text: Text | None, shown: Shown, ids: Sequence[str]) -> PreviewRow:
    row, step = found.row, picked.flow.step(found.row.step)
    local = found.at.astimezone(shown.zone) if found.at else None
    addresses = {point.id: point.address for point in shown.points}
    return PreviewRow(
        invoice_id=ids[found.debt],
        step=step_name(row.step, row.leg),
        occurrence=row.occurrence,
        installment=row.installment_no,
        waits_for=str(row.anchor) if found.at is None else None,
        due_at=found.at,
        local=local.isoformat() if local else None,
        weekday=f"{local:%A}" if local else None,
        does="message" if step.speaks else "escalate" if step.escalate else "stop",
        reason=found.reason,
        moved=found.moved,
        rides_on=_rides_on(found, ids),
        condition=found.verdict and ConditionOut(holds=found.verdict.holds, detail=found.verdict.detail),
        channels=[
            WayOut(
                channel=way.channel,
                address_masked=mask(addresses[way.contact_point_id]),
                provider=way.provider,
                cost=_cost(way.cost),
            )
            for way in found.route.candidates
        ],
        left_out=[LeftOutOut(channel=out.channel, reason=out.reason) for out in found.route.left_out],
        cost=_cost(found.cost),
        text=text and _text(text),
    )


def _rides_on(found: Previewed, ids: Sequence[str]) -> RidesOnOut | None:
    if found.carrier is None:
        return None
    debt, row = found.carrier
    return RidesOnOut(invoice_id=ids[debt], step=step_name(row.step, row.leg))


def _text(text: Text) -> TextOut:
    if text.rendered is None:
        return TextOut(channel=text.channel, fault=text.fault)
    said = text.rendered
    return TextOut(channel=text.channel, subject=said.subject or None, text=said.text, html=said.html)


def _cost(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
