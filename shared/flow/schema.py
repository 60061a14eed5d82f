"""The language as JSON Schema (2020-12), for editors: what it lets pass can still be refused by `verification`."""

from functools import cache
from typing import Any

from shared.flow.notation import WEEKDAYS
from shared.flow.spec import Flow

ADDRESS = "/v1/flows/schema"


@cache
def flow_schema() -> dict[str, Any]:
    made = Flow.model_json_schema(by_alias=True)
    made["$defs"]["ContactWindow"]["properties"]["days"]["default"] = list(WEEKDAYS)
    made["$defs"]["Repeat"]["required"] = ["every", "times"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ADDRESS, **made}
