"""`/push`: where a customer's browser subscribes to notifications, by the secret of a pay link.

True here: opening the page stores nothing, pressing its button does; a subscription is kept only when it can be sent to;
no script of anybody else runs on the page.
"""

import base64
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from fastapi import Body, Path, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from services.dispatcher.api.parts import DispatcherParts, Parts
from services.dispatcher.api.push_page import page
from services.dispatcher.store import browsers
from shared.kernel.errors import Conflict, Invalid, NotFound
from shared.kernel.ids import TOKEN_PATTERN
from shared.outgoing import TargetRefused
from shared.push import subscription
from shared.web.problems import declared
from shared.web.strict import strict_router

MOST_BROWSERS = 20
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; worker-src 'self'; style-src 'unsafe-inline';"
        " frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
}
EXAMPLE = {
    "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/gAAAAAB",
    "keys": {
        "p256dh": "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM",
        "auth": "tBHItJI5svbpez7KI4CCXg",
    },
}
Token = Annotated[str, Path(pattern=f"^{TOKEN_PATTERN}$", description="of the pay link")]

router = strict_router("push")


class PushKey(BaseModel):
    """What a browser subscribes with, in base64url."""

    public_key: str


class Subscribed(BaseModel):
    subscribed: bool = True


@router.get("/push/key", responses=declared(404))
async def push_key(parts: Parts) -> PushKey:
    """The public VAPID key."""
    return PushKey(public_key=base64.urlsafe_b64encode(_key(parts)).rstrip(b"=").decode())


@router.get("/push/subscribe.js", include_in_schema=False)
async def subscribe_script() -> Response:
    return _script("subscribe.js")


@router.get("/push/worker.js", include_in_schema=False)
async def worker_script() -> Response:
    return _script("worker.js")


@router.get("/push/{token}", response_class=HTMLResponse, responses={404: {"description": "Not a link of ours"}})
async def show(parts: Parts, token: Annotated[str, Path(max_length=64)]) -> HTMLResponse:
    """The offer, and a button. The pay page links here."""
    async with parts.db.connection() as connection:
        found = await browsers.holder(connection, token) if parts.push_key else None
    if found is None:
        return HTMLResponse(page("en", None), 404, HEADERS)
    return HTMLResponse(page(found.locale, token), 200, HEADERS)


@router.post(
    "/push/{token}",
    status_code=201,
    responses={
        200: {"model": Subscribed, "description": "It was subscribed already"},
        **declared(400, 404, 409, 413, 415),
    },
)
async def subscribe(
    parts: Parts, token: Token, body: Annotated[dict[str, Any], Body(examples=[EXAMPLE])], response: Response
) -> Subscribed:
    """Keeps this browser's `PushSubscription` as a push address of the customer whose pay link it is."""
    _key(parts)
    address = await _address(parts, body)
    async with parts.db.transaction() as tx:
        found = await browsers.holder(tx, token)
        if found is None:
            raise NotFound("this link is not valid (any more)")
        if await browsers.others(tx, found.customer_id, address) >= MOST_BROWSERS:
            raise Conflict(f"the customer has {MOST_BROWSERS} push addresses already; remove one of them first")
        is_new = await browsers.keep(tx, found, address)
    response.status_code = 201 if is_new else 200
    return Subscribed()


async def _address(parts: DispatcherParts, body: dict[str, Any]) -> str:
    try:
        found = subscription(body, sandbox=True)  # the guard decides about hosts
        await parts.browsers.check_url(found.endpoint)
    except (ValueError, TargetRefused) as error:
        raise Invalid(f"the subscription cannot be used: {error}") from None
    return str(found)


def _key(parts: DispatcherParts) -> bytes:
    if parts.push_key is None:
        raise NotFound("web push is not offered here: DUNNOCK_PUSH_VAPID_KEY is not set")
    return parts.push_key


@cache
def _source(name: str) -> str:
    return (files("services.dispatcher") / "pages" / name).read_text("utf-8")


def _script(name: str) -> Response:
    return Response(_source(name), media_type="text/javascript", headers={"Cache-Control": "max-age=3600"})
