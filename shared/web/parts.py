"""What endpoints work with, kept on the app by class: two apps, or two services in one app, never mix."""

from typing import Any, TypeVar

from fastapi import Depends, FastAPI, Request

Part = TypeVar("Part")


def provide(app: FastAPI, value: object) -> None:
    """Makes `value` available to this app's endpoints as `part(type(value))`."""
    parts: dict[type, object] = app.state.parts
    if type(value) in parts:
        raise RuntimeError(f"{type(value).__qualname__} was already provided to this app")
    parts[type(value)] = value


def find(app: FastAPI, kind: type[Part]) -> Part:
    """The value that was provided; its absence is a wiring bug."""
    parts: dict[type, Part] = app.state.parts
    if kind not in parts:
        raise RuntimeError(f"{kind.__qualname__} was not provided to this app; see its wiring")
    return parts[kind]


def part(kind: type[Part]) -> Any:
    """The marker for `Annotated[Parts, part(Parts)]`."""

    async def take(request: Request) -> Part:
        return find(request.app, kind)

    return Depends(take)
