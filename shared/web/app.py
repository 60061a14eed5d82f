"""One app per process, whatever number of services it serves: each mounts its routers and provides its parts."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from shared.web import health, problems
from shared.web.auth import Keys
from shared.web.edge import Edge
from shared.web.health import Readiness
from shared.web.limits import Limits, Pace
from shared.web.metrics import HttpMetrics
from shared.web.parts import provide
from shared.web.strict import StrictRoute

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(
    title: str,
    *,
    readiness: Readiness,
    keys: Keys | None = None,
    description: str = "",
    version: str = "0.1.0",
    tags: Sequence[dict[str, Any]] = (),
    limits: Limits | None = None,
    pace: Pace | None = None,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """An app with problems, limits, health and metrics, still without a service."""
    app = FastAPI(
        title=title,
        description=description,
        version=version,
        openapi_tags=list(tags),
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"auto_configure": False},  # otherwise OTEL_* variables alone would start exporters
    )
    app.state.parts = {}
    metrics = HttpMetrics()
    for value in (readiness, metrics, keys):
        if value is not None:
            provide(app, value)
    problems.install(app)
    app.add_middleware(Edge, limits=limits or Limits(), pace=pace or Pace(), metrics=metrics)
    app.router.routes.extend(health.router.routes)
    app.openapi = _with_problem_schema(app)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def mount(app: FastAPI, *routers: APIRouter) -> None:
    """Puts a service's routers on the app; a call that exists already, or is not strict, is a wiring bug.

    The routes are put on one flat list: `include_router` keeps routers apart and matches each request three times.
    """
    taken: set[tuple[str, str]] = app.state.__dict__.setdefault("calls", set())
    for router in routers:
        for route in router.routes:
            if not isinstance(route, StrictRoute):
                raise TypeError(f"{route} was not made by strict_router; it would read bodies leniently")
            calls = {(method, _shape(route)) for method in route.methods or ()}
            if twice := taken & calls:
                raise RuntimeError(f"two routes answer {min(twice)}; a path belongs to one service")
            taken |= calls
            app.router.routes.append(route)


def _shape(route: APIRoute) -> str:
    """The path with its parameters' names left out: /a/{x} and /a/{y} are the same call."""
    return "/".join("{}" if part.startswith("{") else part for part in route.path_format.split("/"))


def _with_problem_schema(app: FastAPI) -> Callable[[], dict[str, Any]]:
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {}).setdefault("schemas", {})["Problem"] = problems.SCHEMA
        return document

    return openapi
