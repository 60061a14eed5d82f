"""`/u/{token}`: the customer's way to say stop. Opening the page changes nothing (mail scanners open links); the
button does, and so does a mail program's one-click POST (RFC 8058)."""

from typing import Annotated

from fastapi import Path
from fastapi.responses import HTMLResponse

from services.dispatcher.api.opt_out_page import page
from services.dispatcher.api.parts import Parts
from shared.web.strict import strict_router

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
Token = Annotated[str, Path(max_length=64)]

router = strict_router("opt-out")
router.responses.pop(422, None)


@router.get("/u/{token}", response_class=HTMLResponse, responses={404: {"description": "Not a link of ours"}})
async def show(parts: Parts, token: Token) -> HTMLResponse:
    """What would stop, and a button."""
    link = await parts.opt_out.link(token)
    if link is None:
        return HTMLResponse(page("en", "unknown"), 404, HEADERS)
    return HTMLResponse(page(link.locale, "done" if link.opted_out else "ask", link.address), 200, HEADERS)


@router.post("/u/{token}", response_class=HTMLResponse, responses={404: {"description": "Not a link of ours"}})
async def stop(parts: Parts, token: Token) -> HTMLResponse:
    """Stops; a second time changes nothing. Answered once nothing more can go to the address."""
    link = await parts.opt_out.link(token)
    if link is None:
        return HTMLResponse(page("en", "unknown"), 404, HEADERS)
    await parts.opt_out(link)
    return HTMLResponse(page(link.locale, "done", link.address), 200, HEADERS)
