"""`POST /v1/receipts/{provider}`: what providers tell about messages later, signed; `/call`: what to say next in one."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import Path, Request, Response
from prometheus_client import Counter

from services.dispatcher.api.parts import DispatcherParts, Parts
from services.dispatcher.domain.ports import Answering, NotSigned, Preparing, Replied, Report, Reported, Reporting
from shared.kernel.errors import BadRequest, Unauthorized
from shared.web.problems import declared
from shared.web.strict import strict_router

ATTEMPT = re.compile(r"([1-9]\d{0,17})\.([1-9]\d{0,8})", re.ASCII)
MOST_FIELDS = 200
UNKNOWN = Counter("dunnock_receipts_unknown", "Receipts about attempts that are not known")
NOT_CONFIGURED = "no such provider is configured to report here; see GET /v1/channels"
NOT_SIGNED = "the signature does not fit; check DUNNOCK_PUBLIC_URL and the provider's token"
Provider = Annotated[str, Path(max_length=40, description="as GET /v1/channels names it", examples=["twilio"])]

router = strict_router("receipts")


@router.post("/v1/receipts/{provider}", status_code=204, responses=declared(400, 401, 413))
async def receipts(request: Request, parts: Parts, provider: Provider) -> Response:
    """A provider's callback, believed only with the provider's signature. An attempt that is not known is acknowledged:
    providers would come again for days otherwise. A customer's STOP or START may be answered with a text (200)."""
    reporting = parts.reporting.get(provider)
    if reporting is None:
        raise Unauthorized(NOT_CONFIGURED)
    report = await read_report(request, parts.public_url)
    try:
        for one in reporting:
            if isinstance(one, Preparing):
                await one.prepare(report)
        reported = [word for one in reporting for word in one.read_report(report)]
    except NotSigned:
        raise Unauthorized(NOT_SIGNED) from None
    said = [text for one in reported if (text := await _take(parts, provider, one))]
    return _answer(reporting, said[0]) if said else Response(status_code=204)


@router.post(
    "/v1/receipts/{provider}/call",
    responses={
        200: {"description": "What to say, in the provider's language", "content": {"application/xml": {}}},
        **declared(400, 401, 413),
    },
)
async def call(request: Request, parts: Parts, provider: Provider) -> Response:
    """A provider asks what to say in a call: somebody, or a machine, answered, or a key was pressed. What the key asks
    for is done before the answer."""
    talking = parts.conversing.get(provider)
    if talking is None:
        raise Unauthorized(NOT_CONFIGURED)
    try:
        turn = talking.read_turn(await read_report(request, parts.public_url))
    except NotSigned:
        raise Unauthorized(NOT_SIGNED) from None
    attempt = await _known(parts, turn.attempt_id)
    if attempt is not None:
        await parts.take_turn(*attempt, turn)
    return Response(turn.document, media_type="application/xml")


async def _take(parts: DispatcherParts, provider: str, said: Reported | Replied) -> str | None:
    if isinstance(said, Replied):
        return await parts.take_reply(provider, said)
    attempt = await _known(parts, said.attempt_id)
    if attempt is not None:
        await parts.take_receipt(*attempt, said.word)
    return None


async def _known(parts: DispatcherParts, attempt_id: str) -> tuple[int, int] | None:
    """(reminder, fence); None is counted."""
    found = ATTEMPT.fullmatch(attempt_id)
    if found is None or not await parts.take_receipt.knows(int(found[1]), int(found[2])):
        UNKNOWN.inc()
        return None
    return int(found[1]), int(found[2])


def _answer(reporting: Sequence[Reporting], text: str) -> Response:
    answering = next((one for one in reporting if isinstance(one, Answering)), None)
    if answering is None:
        return Response(status_code=204)
    media_type, document = answering.answer(text)
    return Response(document, media_type=media_type)


async def read_report(request: Request, public_url: str) -> Report:
    """The URL is rebuilt from the public one: behind an ingress the provider called another host than is seen here."""
    body = await request.body()
    try:
        async with request.form(max_files=0, max_fields=MOST_FIELDS) as form:
            fields = {key: value for key, value in form.items() if isinstance(value, str)}
    except (ValueError, KeyError) as error:
        raise BadRequest("the body is no form") from error
    query = f"?{request.url.query}" if request.url.query else ""
    url = f"{public_url}{request.url.path}{query}"
    return Report(url, dict(request.query_params), dict(request.headers), fields, body)
