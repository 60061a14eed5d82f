"""`POST /v1/receipts/{provider}`: what providers tell about messages later, signed."""

import re
from typing import Annotated

from fastapi import Query, Request, Response

from services.dispatcher.adapters.sms_twilio import read_callback
from services.dispatcher.api.parts import DispatcherParts, Parts
from shared.kernel.errors import BadRequest, Unauthorized
from shared.web.problems import declared
from shared.web.strict import strict_router

ATTEMPT = re.compile(r"([1-9]\d{0,18})\.([1-9]\d{0,8})", re.ASCII)
MOST_FIELDS = 200

router = strict_router("receipts")


@router.post("/v1/receipts/twilio", status_code=204, responses=declared(400, 401, 413))
async def twilio(
    request: Request,
    parts: Parts,
    attempt: Annotated[str, Query(max_length=40, description="reminder.fence, as the message was sent with")] = "",
) -> Response:
    """A status callback, checked by its X-Twilio-Signature. An attempt that is not known is acknowledged: providers
    would come again for days otherwise."""
    params = await _signed_form(request, parts)
    word, found = read_callback(params), ATTEMPT.fullmatch(attempt)
    if word is not None and found is not None:
        reminder_id, fence = int(found[1]), int(found[2])
        if reminder_id < 2**63 and fence < 2**31 and await parts.take_receipt.knows(reminder_id, fence):
            await parts.take_receipt(reminder_id, fence, word)
    return Response(status_code=204)


async def _signed_form(request: Request, parts: DispatcherParts) -> dict[str, str]:
    refused = Unauthorized("the X-Twilio-Signature does not fit; check DUNNOCK_PUBLIC_URL and the auth token")
    if parts.twilio is None:
        raise refused
    try:
        async with request.form(max_files=0, max_fields=MOST_FIELDS) as form:
            params = {key: value for key, value in form.items() if isinstance(value, str)}
    except (ValueError, KeyError) as error:
        raise BadRequest("the body is no form") from error
    query = f"?{request.url.query}" if request.url.query else ""
    signature = request.headers.get("x-twilio-signature", "")
    if not parts.twilio.verify_callback(f"{parts.public_url}{request.url.path}{query}", params, signature):
        raise refused
    return params
