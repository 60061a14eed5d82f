"""`POST /v1/webhooks/{source}`: a bank or gateway says what was paid.

True here: nothing is parsed before the signature is verified on the raw bytes; an unknown source, a wrong signature, an
odd header and an old timestamp are one and the same 401; a 2xx leaves only after commit and hand-off barrier. Only who
holds the secret hears (403) what is wrong with a certificate.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, ValidationError

from services.payments.api.parts import PaymentsParts
from services.payments.api.said import EventType, Money, check, kind_of
from services.payments.domain.outcome import EXPLAINED, kept_for_later
from services.payments.domain.ports import Heard as HeardEvent
from services.payments.domain.ports import Unreadable
from services.payments.domain.signature import NOBODY, Signed, is_signed
from services.payments.handlers.known_sources import KnownSource
from services.payments.handlers.record_payment import DEADLINE
from shared.kernel import json
from shared.kernel.errors import FieldError, Forbidden, Invalid, Unauthorized
from shared.kernel.money import amount_text
from shared.ledger.money import PaymentRecorded, PaymentSaid
from shared.web.fields import IsoTime, Ref
from shared.web.parts import part
from shared.web.problems import declared, invalid
from shared.web.proxies import from_trusted_proxy
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
    """`result`: applied, stored until it can be (then with status 202 and the reason), or ignored, because it is not
    about a payment."""

    result: Annotated[str, Field(pattern="^(applied|stored|ignored)$")]
    payment_id: str | None = None
    repeated: bool = False
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
    responses={
        202: {"model": Heard, "description": "Stored, without an effect yet"},
        **declared(400, 401, 403, 408, 413),
    },
    openapi_extra=_request_schema(),
    summary="A signed event of a bank or payment gateway",
)
async def hear(source: str, request: Request, parts: Annotated[PaymentsParts, part(PaymentsParts)]) -> Response:
    body = await request.body()
    async with asyncio.timeout(DEADLINE) as within:
        known = await _sender(source, request, body, parts)
        heard = _heard(known, request, body)
        if heard is None:
            return Response(json.dumps({"result": "ignored"}), media_type="application/json")
        said = _said(heard, known.id, body)
        return _answer(said, await parts.recorder.record(said, within))


async def _sender(source: str, request: Request, body: bytes, parts: PaymentsParts) -> KnownSource:
    """The source, or `Unauthorized`; one that does not exist costs as much as one that does."""
    known = await parts.sources.webhook(source)
    headers, now = dict(request.scope["headers"]), time.time()
    if known is None:
        is_signed(Signed(b"-", b"0", b"v1,-"), body, NOBODY, now)
    elif known.webhook.is_genuine(headers, body, now) and known.admits(request.client and request.client.host):
        _check_certificate(known, request)
        return known
    raise Unauthorized(
        "the webhook is not signed by a secret of this source, or its timestamp is more than 5 minutes off; "
        "check the source's name, its secret, the clock, and the addresses that it allows"
    )


def _check_certificate(known: KnownSource, request: Request) -> None:
    """`Forbidden` unless the sender holds a certificate that the source asks for, if it asks for one."""
    by_proxy = from_trusted_proxy(request.scope)
    if reason := known.why_not(request.scope["headers"], datetime.now(UTC), by_proxy=by_proxy):
        raise Forbidden(reason)


def _heard(known: KnownSource, request: Request, body: bytes) -> HeardEvent | None:
    try:
        return known.webhook.hear(dict(request.scope["headers"]), json.loads(body), body)
    except Unreadable as error:
        raise Invalid(str(error), errors=(FieldError("", str(error)),)) from None


def _said(heard: HeardEvent, source_id: int, body: bytes) -> PaymentSaid:
    try:
        event = WebhookEvent.model_validate(heard.event)
    except ValidationError as error:
        raise invalid(error.errors(), heard.event) from None
    kind = kind_of(event.type)
    check(event.data, kind, "/data")
    return event.data.said(source_id, event.data.payment_id, kind, heard.event_ref, body)


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
