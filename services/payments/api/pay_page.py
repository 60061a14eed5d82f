"""`/pay/{token}`: the customer's page.

True here: reading changes nothing, because mail scanners open every link; what changes something is a POST from this
page, said again it changes nothing more; every answer to a customer is a page, never JSON.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from services.payments.api.pages import HEADERS, Shown, notice_page, pay_page
from services.payments.api.parts import PaymentsParts
from services.payments.api.pay_forms import FORMS, read_form
from services.payments.api.same_origin import same_origin
from services.payments.api.voices import Voice, voice_of, voice_of_browser
from services.payments.domain.customer_word import Refused
from services.payments.handlers.take_word import Gone, Taken
from services.payments.store.checkout import checkout_of
from services.payments.store.invoices import Owed, owed_by_token
from services.payments.store.page_facts import PageFacts, page_facts
from shared.documents import clean_filename, content_disposition
from shared.kernel.errors import NotFound
from shared.kernel.ids import is_token
from shared.states import HoldKind
from shared.web.outages import unavailable
from shared.web.parts import part
from shared.web.strict import strict_router

router: APIRouter = strict_router("pay page")
router.responses.pop(422, None)
Parts = Annotated[PaymentsParts, part(PaymentsParts)]
Action = Annotated[str, Path(description="paid, promise, dispute, preferences or checkout")]
CHECKOUT = "checkout"
Language = Annotated[str | None, Query(description="show the page in this language: en, es or pt")]
Said = Annotated[str | None, Query(description="what the page thanks for")]
_HTML: dict[str, Any] = {"text/html": {}}
_PAGES: dict[int | str, dict[str, Any]] = {
    404: {"description": "The link does not work (any more)", "content": _HTML},
}
_POSTED: dict[int | str, dict[str, Any]] = {
    **_PAGES,
    303: {"description": "Taken: back to the page, or on to the page to pay on"},
    400: {"description": "Not a form of this page", "content": _HTML},
    403: {"description": "Sent by another site", "content": _HTML},
    422: {"description": "A value is wrong: the page says which", "content": _HTML},
    429: {"description": "Too often today", "content": _HTML},
}
_STANDS = {"paid": HoldKind.SAID_PAID.value}


@router.get("/pay/{token}", response_class=HTMLResponse, responses=_PAGES, summary="What is owed, and how to pay it")
async def show(token: str, request: Request, parts: Parts, lang: Language = None, said: Said = None) -> Response:
    try:
        return await _show(request, parts, Shown(token, lang, said))
    except Exception as error:  # noqa: BLE001  # told by the page, or raised on
        return _away(request, error)


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


@router.get("/pay/{token}/{action}", response_class=RedirectResponse, status_code=303, summary="Back to the page")
async def back(token: str, action: Action, request: Request) -> Response:
    """For who reloads the address of a form that was not taken."""
    return _to(token, "") if action in FORMS or action == CHECKOUT else notice_page(_reader(request), "missing", 404)


@router.post("/pay/{token}/{action}", response_class=HTMLResponse, responses=_POSTED, summary="What the customer says")
async def say(token: str, action: Action, request: Request, parts: Parts) -> Response:
    """I have paid; I will pay then; something is wrong; write to me so. Answered once what it stops cannot go any
    more. Or: let me pay."""
    form = read_form(request.headers.get("content-type", ""), await request.body())
    if not same_origin(request):
        return notice_page(_reader(request), "elsewhere", 403)
    if action not in FORMS and action != CHECKOUT:
        return notice_page(_reader(request), "missing", 404)
    if form is None:
        return notice_page(_reader(request), "unreadable", 400)
    try:
        if action == CHECKOUT:
            return await _pay(token, form, request, parts)
        return await _say(token, action, form, request, parts)
    except Exception as error:  # noqa: BLE001  # told by the page, or raised on
        return _away(request, error)


async def _say(token: str, action: str, form: dict[str, str], request: Request, parts: PaymentsParts) -> Response:
    owed = await _find(token, parts)
    if owed is None:
        return notice_page(_reader(request), "missing", 404)
    language = form.get("lang")
    word = FORMS[action](form, voice_of(owed.locale, language))
    answer = word if isinstance(word, Refused) else await parts.take_word(token, word)
    match answer:
        case Taken():
            shown_in = form.get("language") if action == "preferences" else language
            return _to(token, f"?said={_STANDS.get(action, action)}&lang={voice_of(owed.locale, shown_in).language}")
        case Gone():
            return _to(token, "")
        case Refused(why=why):
            status = 429 if why == "too_often" else 422
            return await _show(request, parts, Shown(token, language, None, action, answer, form), status)


async def _pay(token: str, form: dict[str, str], request: Request, parts: PaymentsParts) -> Response:
    owed = await _find(token, parts)
    if owed is None or owed.status != "open":
        return _to(token, "")
    language = voice_of(owed.locale, form.get("lang")).language
    answer = await parts.open_checkout(owed, token, language)
    if isinstance(answer, Refused):
        status = 429 if answer.why == "too_often" else 503
        return await _show(request, parts, Shown(token, language, None, CHECKOUT, answer), status)
    return RedirectResponse(answer, 303, headers=HEADERS)


async def _show(request: Request, parts: PaymentsParts, shown: Shown, status: int = 200) -> Response:
    found = await _with_facts(shown.token, parts)
    if found is None:
        return notice_page(_reader(request), "missing", 404)
    owed, facts, checkout = found
    return pay_page(owed, facts, parts.take_word.bounds, replace(shown, checkout=checkout), status)


async def _with_facts(token: str, parts: PaymentsParts) -> tuple[Owed, PageFacts, str | None] | None:
    """Also the origin of the page that the pay button leads to, if a provider is asked for one."""
    if not is_token(token):
        return None
    async with parts.db.connection() as connection:
        owed = await owed_by_token(connection, token, parts.take_word.kept)
        if owed is None:
            return None
        found = await checkout_of(connection, owed.creditor_ref)
        return owed, await page_facts(connection, owed.id), str(found.config["page"]) if found else None


async def _find(token: str, parts: PaymentsParts) -> Owed | None:
    if not is_token(token):
        return None
    async with parts.db.connection() as connection:
        return await owed_by_token(connection, token, parts.take_word.kept)


def _to(token: str, query: str) -> Response:
    """303, so that a reload asks again and does not send again."""
    return RedirectResponse(f"/pay/{token}{query}" if is_token(token) else "/pay/-", 303, headers=HEADERS)


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
