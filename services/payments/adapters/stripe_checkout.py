"""Opens and expires Stripe Checkout sessions (https://docs.stripe.com/api/checkout/sessions).

True here: the secret key goes to the API's host and nowhere else; a session whose page is not on the origin that was
configured is not used; an answer that never came is asked for again under the same key, so it cannot be two sessions.
"""

import asyncio
import re
from dataclasses import replace
from typing import Any

import httpx

from services.payments.domain.checkout import Asked, NotClosed, NotOpened, Opened
from services.payments.domain.source_settings import Checkout
from shared.kernel import json
from shared.kernel.errors import BadRequest
from shared.outgoing import TargetRefused

PATH = "/v1/checkout/sessions"
VERSION = "2024-06-20"  # of Stripe's API, so that an account's default changes nothing here
DEADLINE = 10.0  # seconds that a customer waits
_SESSION = re.compile(r"cs_[A-Za-z0-9_]{1,250}")
_NOT_OPEN = (400, 404)  # it was paid, has expired, or is of another account
_BUSY = (409, 429)  # the same question is under way, or there are too many: not processed


class _Again(Exception):
    """Worth a second try; `asked` is what to ask then."""

    def __init__(self, why: str, asked: Asked) -> None:
        super().__init__(why)
        self.asked = asked


class StripeCheckout:
    """`client`: for URLs that somebody wrote. `pause`: seconds before the second try."""

    def __init__(self, client: httpx.AsyncClient, *, pause: float = 0.5, deadline: float = DEADLINE) -> None:
        self._client = client
        self._pause = pause
        self._deadline = deadline

    async def __call__(self, settings: Checkout, asked: Asked) -> Opened:
        try:
            async with asyncio.timeout(self._deadline):
                return await self._twice(settings, asked)
        except TimeoutError:
            raise NotOpened(f"no answer within {self._deadline:g} seconds") from None

    async def _twice(self, settings: Checkout, asked: Asked) -> Opened:
        try:
            return await self._once(settings, asked)
        except _Again as again:
            await asyncio.sleep(self._pause)
            try:
                return await self._once(settings, again.asked)
            except _Again as error:
                raise NotOpened(str(error)) from None

    async def end(self, settings: Checkout, session: str) -> None:
        url = f"{settings.api}{PATH}/{session}/expire"
        try:
            async with asyncio.timeout(self._deadline):
                answer = await self._client.post(url, content=b"", headers=_headers(settings))
        except (TargetRefused, httpx.HTTPError, TimeoutError) as error:
            raise NotClosed(f"no answer ({type(error).__name__})") from None
        if answer.status_code not in (200, *_NOT_OPEN):
            raise NotClosed(f"HTTP {answer.status_code}")

    async def _once(self, settings: Checkout, asked: Asked) -> Opened:
        headers = {**_headers(settings), "idempotency-key": asked.key}
        try:
            answer = await self._client.post(f"{settings.api}{PATH}", content=asked.body, headers=headers)
        except TargetRefused as error:
            raise NotOpened(str(error)) from None
        except httpx.HTTPError as error:
            raise _Again(f"no answer ({type(error).__name__})", asked) from None
        if answer.status_code == 200:
            return _page(answer.content, settings.page)
        raise _refused(answer, asked)

    async def close(self) -> None:
        await self._client.aclose()


def _headers(settings: Checkout) -> dict[str, str]:
    return {
        "authorization": f"Bearer {settings.api_key}",
        "content-type": "application/x-www-form-urlencoded",
        "stripe-version": VERSION,
    }


def _page(content: bytes, origin: str) -> Opened:
    session = _object(content)
    url, name = session.get("url"), session.get("id")
    if not isinstance(name, str) or not _SESSION.fullmatch(name):
        raise NotOpened("the answer names no session")
    if session.get("object") != "checkout.session" or not isinstance(url, str) or not url.startswith(f"{origin}/"):
        raise NotOpened(f"the session has no page on {origin}; 'checkout.page' must name the origin of Stripe's page")
    return Opened(url, name)


def _refused(answer: httpx.Response, asked: Asked) -> Exception:
    """Stripe's codes and never its sentences: those may repeat what was sent."""
    error = _object(answer.content).get("error")
    known = error if isinstance(error, dict) else {}
    codes = [str(known[name])[:100] for name in ("type", "code", "param") if isinstance(known.get(name), str)]
    said = " ".join([f"HTTP {answer.status_code}", *codes])
    if answer.status_code in _BUSY and "idempotency_error" not in codes:
        return _Again(said, asked)
    if answer.status_code >= 500:
        return _Again(said, replace(asked, key=f"{asked.key}-2"))  # Stripe remembers its failure under the first key
    return NotOpened(said)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except BadRequest:
        return {}
    return found if isinstance(found, dict) else {}
