"""Bodies are read strictly, and only for those who may send them.

`StrictModel` refuses unknown fields. `strict_router` makes routes that read JSON with the kernel's strict parser and
that check the key before the body is read, so that a stranger costs nothing. A call that needs a key refuses unknown
query parameters too: a misspelt filter would list, or take back, everything. Pages, opt-outs and callbacks take what
mail programs and providers append to their links.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from shared.kernel import json
from shared.kernel.errors import FieldError, Invalid
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
    """Key first, body after, strictly. What any body can be answered with is declared here, once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.body_field is not None:
            self.responses = {**declared(400, 408, 413, 415), **self.responses}
        elif "requestBody" in (self.openapi_extra or {}):
            self.responses = {**declared(408, 413), **self.responses}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, which would read the body before any dependency."""
        handle = super().get_route_handler()
        guards, known = _guards(self.dependant), _parameters(self.dependant)

        async def strict(request: Request) -> Response:
            for guard in guards:
                await guard(request)
            if guards and request.scope["query_string"]:
                _check_parameters(request, known)
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


def strict_router(tag: str) -> APIRouter:
    """The router of one api file; `tag` is the heading of its calls in the OpenAPI document."""
    return APIRouter(tags=[tag], route_class=StrictRoute, responses=declared(422, 503))


def _check_parameters(request: Request, known: frozenset[str]) -> None:
    if unknown := sorted(request.query_params.keys() - known):
        there = f"there are {', '.join(sorted(known))}" if known else "there are none"
        said = f"query parameter {unknown[0][:100]!r} is not known here; {there}"
        raise Invalid(said, errors=(FieldError("", said),))


def _parameters(dependant: Dependant) -> frozenset[str]:
    own = frozenset(field.alias for field in dependant.query_params)
    return own.union(*(_parameters(child) for child in dependant.dependencies))


def _guards(dependant: Dependant) -> list[Require]:
    own = [dependant.call] if isinstance(dependant.call, Require) else []
    return own + [guard for child in dependant.dependencies for guard in _guards(child)]
