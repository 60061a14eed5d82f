"""`POST /v1/receipts/{provider}`: what providers tell about messages later, signed."""

import re
from typing import Annotated

from fastapi import Path, Request, Response
from prometheus_client import Counter

from services.dispatcher.api.parts import Parts
from services.dispatcher.domain.ports import NotSigned, Report, Reported
from shared.kernel.errors import BadRequest, Unauthorized
from shared.web.problems import declared
from shared.web.strict import strict_router

ATTEMPT = re.compile(r"([1-9]\d{0,17})\.([1-9]\d{0,8})", re.ASCII)
MOST_FIELDS = 200
UNKNOWN = Counter("dunnock_receipts_unknown", "Receipts about attempts that are not known")

router = strict_router("receipts")


@router.post("/v1/receipts/{provider}", status_code=204, responses=declared(400, 401, 413))
async def receipts(
    request: Request,
    parts: Parts,
    provider: Annotated[str, Path(max_length=40, description="as GET /v1/channels names it", examples=["twilio"])],
) -> Response:
    """A provider's callback, believed only with the provider's signature. An attempt that is not known is acknowledged:
    providers would come again for days otherwise."""
    reporting = parts.reporting.get(provider)
    if reporting is None:
        raise Unauthorized("no such provider is configured to report here; see GET /v1/channels")
    try:
        reported = reporting.read_report(await _report(request, parts.public_url))
    except NotSigned:
        raise Unauthorized("the signature does not fit; check DUNNOCK_PUBLIC_URL and the provider's token") from None
    for one in reported:
        await _take(parts, one)
    return Response(status_code=204)


async def _take(parts: Parts, reported: Reported) -> None:
    found = ATTEMPT.fullmatch(reported.attempt_id)
    if found is None or not await parts.take_receipt.knows(int(found[1]), int(found[2])):
        UNKNOWN.inc()
        return
    await parts.take_receipt(int(found[1]), int(found[2]), reported.word)


async def _report(request: Request, public_url: str) -> Report:
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
