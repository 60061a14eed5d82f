"""The small page that shows the sandbox. Self-contained; its script and style are files of their own, so that the
content security policy allows nothing inline. A mail's HTML is served under a policy of its own that runs nothing."""

import base64
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

from services.sandbox.store import Message, Store
from shared.kernel.errors import NotFound
from shared.web.strict import strict_router

HERE = Path(__file__).parent
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


def page_router(store: Store) -> APIRouter:
    router = strict_router("sandbox")

    @router.get("/sandbox", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(HERE / "page.html", media_type="text/html", headers=_headers(PAGE_POLICY))

    @router.get("/sandbox/page.js", include_in_schema=False)
    async def script() -> FileResponse:
        return FileResponse(HERE / "page.js", media_type="text/javascript", headers=_headers(PAGE_POLICY))

    @router.get("/sandbox/page.css", include_in_schema=False)
    async def style() -> FileResponse:
        return FileResponse(HERE / "page.css", media_type="text/css", headers=_headers(PAGE_POLICY))

    @router.get("/sandbox/messages/{message_id}/html", include_in_schema=False)
    async def mail(message_id: str) -> HTMLResponse:
        message = await store.message(message_id)
        if message is None or message.html is None:
            raise NotFound(f"no message {message_id!r} with an HTML body")
        return HTMLResponse(await _with_pictures(store, message), headers=_headers(MAIL_POLICY))

    return router


async def _with_pictures(store: Store, message: Message) -> str:
    """The mail's html with the pictures that it carried inside: its frame fetches nothing."""
    html = message.html or ""
    for picture in message.pictures:
        data = base64.b64encode(await store.picture(picture.digest)).decode()
        html = html.replace(f"cid:{picture.content_id}", f"data:{picture.media_type};base64,{data}")
    return html


def _headers(policy: str) -> dict[str, str]:
    return {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
