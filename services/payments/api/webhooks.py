"""`POST /v1/webhooks/{source}`: a bank or gateway says what was paid.

True here: nothing is parsed before the signature is verified on the raw bytes; an unknown source, a wrong signature, an
odd header and an old timestamp are one and the same 401; a 2xx leaves only after commit and hand-off barrier.
"""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, ValidationError

from services.payments.api.parts import PaymentsParts
from services.payments.api.said import EventType, Money, check, kind_of
from services.payments.domain.outcome import EXPLAINED, kept_for_later
from services.payments.domain.signature import NOBODY, Signed, is_signed
from services.payments.handlers.record_payment import DEADLINE
from shared.kernel import json
from shared.kernel.errors import Unauthorized
from shared.kernel.money import amount_text
from shared.ledger.money import PaymentRecorded, PaymentSaid
from shared.web.fields import IsoTime, Ref
from shared.web.parts import part
from shared.web.problems import declared, invalid
from shared.web.strict import StrictModel, strict_router

router: APIRouter = strict_router("webhooks")


class EventData(Money):
    payment_id: Ref


class WebhookEvent(StrictModel):
    """Standard Webhooks: the headers `webhook-id`, `webhook-timestamp` and `webhook-signature` sign this body."""

    type: EventType
    timestamp: IsoTime | None = None
    data: EventData


class Heard(BaseModel):
    """`result`: applied, or stored until it can be (then with status 202 and the reason)."""

    payment_id: str
    result: Annotated[str, Field(pattern="^(applied|stored)$")]
    repeated: bool
    unallocated: str | None = None
    reason: str | None = None
    detail: str | None = None


def _request_schema() -> dict[str, Any]:
    """The body is read raw, so the OpenAPI document has to be told of it."""
    event, data = WebhookEvent.model_json_schema(), EventData.model_json_schema()
    del event["$defs"]
    event["properties"]["data"] = data
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": event}}}}


@router.post(
    "/v1/webhooks/{source}",
    response_model=Heard,
    responses={202: {"model": Heard, "description": "Stored, without an effect yet"}, **declared(400, 401, 408, 413)},
    openapi_extra=_request_schema(),
    summary="A signed event of a bank or payment gateway",
)
async def hear(source: str, request: Request, parts: Annotated[PaymentsParts, part(PaymentsParts)]) -> Response:
    body = await request.body()
    async with asyncio.timeout(DEADLINE) as within:
        said = _said(body, *await _sender(source, _signed(request), body, parts))
        return _answer(said, await parts.recorder.record(said, within))


async def _sender(source: str, signed: Signed, body: bytes, parts: PaymentsParts) -> tuple[int, str]:
    """The source's id and the event's, or `Unauthorized`."""
    known = await parts.sources.webhook(source)
    if not is_signed(signed, body, known.keys if known else NOBODY, time.time()) or known is None:
        raise Unauthorized(
            "the webhook is not signed by a secret of this source, or its timestamp is more than 5 minutes off; "
            "check the source's name, its secret and the clock"
        )
    assert signed.id is not None
    return known.id, signed.id.decode("ascii")


def _signed(request: Request) -> Signed:
    given = dict(request.scope["headers"])
    return Signed(given.get(b"webhook-id"), given.get(b"webhook-timestamp"), given.get(b"webhook-signature"))


def _said(body: bytes, source_id: int, event_ref: str) -> PaymentSaid:
    value = json.loads(body)
    try:
        event = WebhookEvent.model_validate(value)
    except ValidationError as error:
        raise invalid(error.errors(), value) from None
    kind = kind_of(event.type)
    check(event.data, kind, "/data")
    return event.data.said(source_id, event.data.payment_id, kind, event_ref, body)


def _answer(said: PaymentSaid, recorded: PaymentRecorded) -> Response:
    kept = kept_for_later(recorded.invoice_id is not None, recorded.unmatched_reason)
    heard: dict[str, Any] = {
        "payment_id": said.payment_ref,
        "result": "stored" if kept else "applied",
        "repeated": not recorded.fresh,
    }
    if recorded.unallocated and said.currency:
        heard["unallocated"] = amount_text(recorded.unallocated, said.currency)
    if recorded.unmatched_reason:
        heard |= {"reason": recorded.unmatched_reason, "detail": EXPLAINED[recorded.unmatched_reason]}
    return Response(json.dumps(heard), 202 if kept and recorded.fresh else 200, media_type="application/json")
