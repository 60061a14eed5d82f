"""`/healthz` says that the process runs, `/readyz` that it can do its work: its database and bus answer.

A check never holds the answer up: what does not answer in time counts as not ready. While the process drains it is not
ready whatever the checks say, so that no new work is sent to it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from shared.kernel import json
from shared.web.metrics import MEDIA_TYPE, HttpMetrics
from shared.web.parts import find

Check = Callable[[], Awaitable[str | None]]
"""None if all is well, else a short sentence without secrets."""
Notice = str | Callable[[], str | None]
"""A sentence, or what says one, None at times."""


class Health(BaseModel):
    """`checks`: 'ok' or what is wrong, by name; `notices`: what is absent by choice, such as a channel, or stopped, such
    as a provider."""

    status: str
    checks: dict[str, str] = {}
    notices: dict[str, str] = {}


class Readiness:
    """What has to answer before work should come here; wiring adds, `/readyz` asks."""

    def __init__(self, timeout: float = 2.0) -> None:
        self._timeout = timeout
        self._checks: dict[str, Check] = {}
        self._notices: dict[str, Notice] = {}
        self._draining = False

    def add(self, name: str, check: Check) -> None:
        """Required from now on."""
        if name in self._checks:
            raise RuntimeError(f"a readiness check named {name!r} was already added")
        self._checks[name] = check

    def notice(self, name: str, text: Notice) -> None:
        """Shown, without an effect on readiness."""
        self._notices[name] = text

    def drain(self) -> None:
        """First step of a shutdown."""
        self._draining = True

    async def report(self) -> tuple[bool, Health]:
        """Asks all checks at once."""
        answers = await asyncio.gather(*(self._ask(check) for check in self._checks.values()))
        checks = dict(zip(self._checks, answers, strict=True))
        if self._draining:
            checks["process"] = "is shutting down"
        ready = all(answer == "ok" for answer in checks.values())
        said = {name: text if isinstance(text, str) else text() for name, text in self._notices.items()}
        notices = {name: text for name, text in said.items() if text is not None}
        return ready, Health(status="ready" if ready else "not ready", checks=checks, notices=notices)

    async def _ask(self, check: Check) -> str:
        try:
            async with asyncio.timeout(self._timeout):
                return await check() or "ok"
        except TimeoutError:
            return f"does not answer within {self._timeout:g} s"
        except Exception as error:  # noqa: BLE001  # whatever a check raises, the answer is: not ready
            return f"fails ({type(error).__name__})"


router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Health:
    """The process runs."""
    return Health(status="alive")


@router.get("/readyz", response_model=Health, responses={503: {"model": Health, "description": "Not ready"}})
async def readyz(request: Request) -> Response:
    """Everything that this process needs answers."""
    ready, health = await find(request.app, Readiness).report()
    return Response(json.dumps(health.model_dump()), 200 if ready else 503, media_type="application/json")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(find(request.app, HttpMetrics).text(), media_type=MEDIA_TYPE)
