"""A flow as somebody sends it: JSON or YAML, read, verified, or refused whole with all that is wrong with it."""

from typing import Any

from fastapi import Request
from pydantic import Field, ValidationError

from services.scheduler.api.invoice_answer import Answer
from shared.flow import Finding, Flow, FlowTextError, Ground, Verified, read_yaml, standard, verify
from shared.kernel import json
from shared.kernel.errors import BadRequest, FieldError, Invalid, Unsupported
from shared.web.problems import invalid, pointer

YAML = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["steps"],
    "description": "a flow; its JSON Schema is at /v1/flows/schema",
}
BODIES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": SCHEMA, "example": standard().to_dict()},
            "application/yaml": {"schema": SCHEMA},
        },
    }
}


class FindingOut(Answer):
    """Something odd about a flow that does not forbid it."""

    kind: str = Field(examples=["goes-without"])
    pointer: str = Field(description="JSON Pointer into the flow", examples=["/steps/1/channels"])
    detail: str = Field(examples=["nobody offers push; step 'upcoming' goes without"])


class WorstCaseOut(Answer):
    """If nobody ever pays and every channel of every step is tried and billed. Contacts as caps count them: neither the
    delivery nor thanks nor what follows a call."""

    contacts_a_week: int = Field(description="of one invoice")
    contacts_of_many: int | None = Field(
        description="in a calendar week, however many invoices a customer has; null: as many as there are invoices"
    )
    messages_a_case: int
    cost_a_case: str = Field(examples=["1.85"])


_STAND_IN: dict[str, Any] = {"when": {"on": "issue"}, "channels": ["email"]}


async def read_body(request: Request) -> dict[str, Any]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        body = json.loads(await request.body())
        if not isinstance(body, dict):
            raise BadRequest("a flow is a JSON object with name and steps")
        return body
    if media_type in YAML:
        try:
            return _storable(read_yaml((await request.body()).decode()))
        except UnicodeDecodeError:
            raise BadRequest("the body is not UTF-8") from None
        except FlowTextError as error:
            raise BadRequest(f"the body is not the YAML of a flow: {error}") from None
    raise Unsupported(f"send the flow as application/json or {YAML[0]}, and say which in Content-Type")


def _storable(body: dict[str, Any]) -> dict[str, Any]:
    """YAML can say more than JSON: U+0000, numbers of any size."""
    try:
        json.loads(json.dumps(body))
    except TypeError:
        raise BadRequest("a value in the flow has no form in JSON; write it as text") from None
    return body


def read_flow(body: dict[str, Any], ground: Ground, *, at: str = "") -> tuple[Flow, Verified]:
    """Raises `Invalid` with everything that is wrong; `at` is where the flow stands in the caller's body."""
    try:
        flow = Flow.model_validate(body)
    except ValidationError as error:
        problem = invalid(error.errors(include_url=False, include_input=False), body)
        rest = _rest(body, [fault["loc"] for fault in error.errors()], ground)
        raise _refused(
            (*(FieldError(at + one.pointer, one.detail) for one in problem.errors), *_errors(rest, body, at))
        ) from None
    found = verify(flow, ground)
    if found.errors:
        raise _refused(_errors(found.errors, body, at))
    return flow, found


def _errors(found: tuple[Finding, ...], body: dict[str, Any], at: str) -> tuple[FieldError, ...]:
    return tuple(FieldError(at + pointer(one.place, body), one.detail) for one in found)


def _rest(body: dict[str, Any], faulty: list[tuple[int | str, ...]], ground: Ground) -> tuple[Finding, ...]:
    """What is wrong with the part of a flow that can be read, so that nobody has to come twice: a step that cannot be
    read is stood in for by one that changes nothing for the others."""
    steps = body.get("steps")
    unread = {place[1] for place in faulty if len(place) > 1 and place[0] == "steps"}
    if not isinstance(steps, list) or ("steps",) in faulty:
        return ()
    known = {name: value for name, value in body.items() if name not in {place[0] for place in faulty if place}}
    stand_ins = [
        _STAND_IN | {"id": f"unread-{n}", "message": f"unread-{n}"} if n in unread else one
        for n, one in enumerate(steps)
    ]
    try:
        found = verify(Flow.model_validate({"name": "unread", **known, "steps": stand_ins}), ground)
    except ValidationError:
        return ()
    return tuple(
        one
        for one in found.errors
        if one.kind != "nobody-sends" and not (len(one.place) > 1 and one.place[1] in unread)
    )


def _refused(errors: tuple[FieldError, ...]) -> Invalid:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    where = f"{errors[0].pointer}: " if errors[0].pointer else ""
    return Invalid(f"{where}{errors[0].detail}{more}", errors=errors)


def findings_out(found: tuple[Finding, ...], body: dict[str, Any]) -> list[FindingOut]:
    return [FindingOut(kind=one.kind, pointer=pointer(one.place, body), detail=one.detail) for one in found]


def worst_out(found: Verified) -> WorstCaseOut:
    worst = found.worst
    cost = f"{worst.cost_a_case.normalize():f}"
    return WorstCaseOut(
        contacts_a_week=worst.contacts_a_week,
        contacts_of_many=worst.contacts_of_many,
        messages_a_case=worst.messages_a_case,
        cost_a_case=cost,
    )
