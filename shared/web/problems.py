"""Every error answer is an RFC 9457 problem; a value the caller sent is never echoed, a stack trace never shown."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from shared.kernel import json
from shared.kernel.errors import FieldError, Invalid, Problem, Unsupported

MEDIA_TYPE = "application/problem+json"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "default": "about:blank"},
        "title": {"type": "string", "examples": ["Unprocessable Entity"]},
        "status": {"type": "integer", "examples": [422]},
        "detail": {"type": "string", "description": "What is wrong, which one, and what to do."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON Pointer into the body; '' is the request itself",
                    },
                    "detail": {"type": "string"},
                },
            },
            "examples": [[{"pointer": "/installments/0/amount", "detail": "must be a decimal string"}]],
        },
    },
}
_REASONS = {
    400: "The request cannot be read: malformed JSON, duplicate keys, a bad cursor.",
    401: "No key, an unknown or a revoked one, or a wrong signature.",
    403: "The key lacks the scope that the detail names.",
    404: "There is no such thing.",
    408: "The body came too slowly.",
    409: "It exists with other content, or its state does not allow this.",
    413: "The body is larger than this path takes.",
    415: "The body's media type is not one that this path reads.",
    422: "Readable, but a value is wrong; `errors` say which.",
    503: "A part that is needed does not answer now; send the same request again after Retry-After seconds.",
}
_MAX_ERRORS = 50


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route: these statuses as problems in the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _REASONS[status], "content": content} for status in statuses}


def respond(problem: Problem) -> Response:
    """The answer that a problem becomes."""
    return Response(
        json.dumps(problem.as_dict()), problem.status, headers=dict(problem.extra_headers), media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Handlers for what is expected; anything else reaches the edge and becomes 503 or 500 there."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)


def pointer(loc: tuple[int | str, ...], body: Any) -> str:
    """pydantic's location as a JSON Pointer; the names of union members, which are not in the body, are left out."""
    steps: list[str] = []
    for index, step in enumerate(loc):
        inside = (isinstance(body, dict) and step in body) or (
            isinstance(body, list) and isinstance(step, int) and step < len(body)
        )
        if inside:
            body = body[step]
        if inside or (index == len(loc) - 1 and isinstance(body, dict)):
            steps.append(str(step).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{step}" for step in steps)


def invalid(errors: list[Any], body: Any) -> Invalid:
    """pydantic's errors (of a `ValidationError.errors()`, locations inside `body`) as one problem."""
    fields = tuple(FieldError(pointer(tuple(e["loc"]), body) + _tag(e), sentence(e)) for e in errors[:_MAX_ERRORS])
    return Invalid(_summary(fields), errors=fields)


def sentence(error: Mapping[str, Any]) -> str:
    """One pydantic error for a person."""
    match error["type"]:
        case "missing" | "union_tag_not_found":
            return "is required"
        case "union_tag_invalid":
            return f"must be one of {error['ctx']['expected_tags']}"
        case "extra_forbidden":
            return "is not a known field; remove it or check its spelling"
        case "value_error":
            return str(error["ctx"]["error"])
        case "model_attributes_type" | "model_type" | "dict_type":
            return "must be a JSON object"
    text = str(error["msg"])
    return text.replace("Input should be", "must be", 1).replace("Input should", "must", 1)


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return respond(error)


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Problem):  # FastAPI wraps whatever was raised while the body was read
        return respond(error.__cause__)
    said = {404: "there is nothing at this path", 405: "this path does not take this method; see Allow"}
    detail = said.get(error.status_code, str(error.detail))
    return respond(Problem(detail, status=error.status_code, headers=error.headers))


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if isinstance(error.body, bytes) and any(e["loc"] == ("body",) for e in error.errors()):
        return respond(Unsupported("send the body as JSON with the header Content-Type: application/json"))
    fields = tuple(_field(e, error.body) for e in error.errors()[:_MAX_ERRORS])
    return respond(Invalid(_summary(fields), errors=fields))


def _field(error: Mapping[str, Any], body: Any) -> FieldError:
    place, *rest = error["loc"]
    if place == "body":
        return FieldError(pointer(tuple(rest), body) + _tag(error), sentence(error))
    return FieldError("", f"{place} parameter {'.'.join(str(step) for step in rest)!r} {sentence(error)}")


def _tag(error: Mapping[str, Any]) -> str:
    """The field that says which of several shapes an object has, where that one is wrong."""
    return f"/{error['ctx']['discriminator'].strip(chr(39))}" if error["type"].startswith("union_tag") else ""


def _summary(fields: tuple[FieldError, ...]) -> str:
    first = fields[0]
    where = f"{first.pointer}: " if first.pointer else ""
    more = f" (and {len(fields) - 1} more)" if len(fields) > 1 else ""
    return f"{where}{first.detail}{more}"
