"""Bodies are read strictly, and only for those who may send them.

`StrictModel` refuses unknown fields. `strict_router` makes routes that read JSON with the kernel's strict parser and
that check the key before the body is read, so that a stranger costs nothing.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from shared.kernel import json
from shared.web.auth import Require
from shared.web.problems import declared


class StrictModel(BaseModel):
    """Every request body: unknown fields are an error, and errors never repeat the input."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class StrictRequest(Request):
    """`json()` has one meaning or raises."""

    async def json(self) -> Any:
        """The body, parsed once."""
        if not hasattr(self, "_json"):
            self._json = json.loads(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """Key first, body after, strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, which would read the body before any dependency."""
        handle = super().get_route_handler()
        guards = _guards(self.dependant)

        async def strict(request: Request) -> Response:
            for guard in guards:
                await guard(request)
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


def strict_router(tag: str) -> APIRouter:
    """The router of one api file; `tag` is the heading of its calls in the OpenAPI document."""
    return APIRouter(tags=[tag], route_class=StrictRoute, responses=declared(422, 503))


def _guards(dependant: Dependant) -> list[Require]:
    own = [dependant.call] if isinstance(dependant.call, Require) else []
    return own + [guard for child in dependant.dependencies for guard in _guards(child)]
