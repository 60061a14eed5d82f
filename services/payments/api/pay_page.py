"""`/pay/{token}`: the customer's page.

True here: reading changes nothing, because mail scanners open every link; every answer to a customer is a page, never
JSON.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse

from services.payments.api.pages import HEADERS, Voice, notice_page, pay_page, voice_of, voice_of_browser
from services.payments.api.parts import PaymentsParts
from services.payments.store.invoices import Owed, owed_by_token
from shared.documents import clean_filename, content_disposition
from shared.kernel.errors import NotFound
from shared.kernel.ids import is_token
from shared.web.outages import unavailable
from shared.web.parts import part
from shared.web.strict import strict_router

router: APIRouter = strict_router("pay page")
Parts = Annotated[PaymentsParts, part(PaymentsParts)]
_PAGES: dict[int | str, dict[str, Any]] = {
    404: {"description": "The link does not work (any more)", "content": {"text/html": {}}}
}


@router.get("/pay/{token}", response_class=HTMLResponse, responses=_PAGES, summary="What is owed, and how to pay it")
async def show(token: str, request: Request, parts: Parts) -> Response:
    try:
        owed = await _find(token, parts)
    except Exception as error:  # noqa: BLE001  # told by the page, or raised on
        return _away(request, error)
    return pay_page(owed, token) if owed else notice_page(_reader(request), "missing", 404)


@router.get("/pay/{token}/document", response_class=Response, responses=_PAGES, summary="The invoice's file")
async def download(token: str, request: Request, parts: Parts) -> Response:
    try:
        owed = await _find(token, parts)
        if owed is None:
            return notice_page(_reader(request), "missing", 404)
        if owed.document_key is None:
            return notice_page(voice_of(owed.locale), "no_document", 404)
        document = await parts.documents.open(owed.document_key)
    except NotFound:
        return notice_page(_reader(request), "no_document", 404)
    except Exception as error:  # noqa: BLE001  # told by the page, or raised on
        return _away(request, error)
    return _file(owed, document.size, document.chunks)


async def _find(token: str, parts: PaymentsParts) -> Owed | None:
    if not is_token(token):
        return None
    async with parts.db.connection() as connection:
        return await owed_by_token(connection, token)


def _file(owed: Owed, size: int, chunks: AsyncIterator[bytes]) -> Response:
    headers = {
        **HEADERS,
        "Content-Disposition": content_disposition(clean_filename(owed.document_name or owed.number)),
        "Content-Length": str(size),
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    }
    return StreamingResponse(chunks, headers=headers, media_type=owed.document_type or "application/octet-stream")


def _away(request: Request, error: Exception) -> Response:
    if not unavailable(error):
        raise error
    return notice_page(_reader(request), "away", 503)


def _reader(request: Request) -> Voice:
    return voice_of_browser(request.headers.get("accept-language", ""))
