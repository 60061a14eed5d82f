"""How an API is spoken to that nobody has written an adapter for: what an operator says of it, checked when it is saved.

True here: the host stands in the URL as it is, or the whole URL is the customer's own address; what is inserted is data
and stays inside its place: percent-encoded in the URL, one line in a header, a string in the JSON body.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.dispatcher.domain.http_words import NAMES
from shared.content import TemplateRefused, compile_value
from shared.content.facts import one_line
from shared.kernel.expressions import checked, found

ADDRESS = "{{ address }}"  # as the whole URL: the contact point's own
MOST_VALUES, DEEPEST = 200, 8
Fill = Callable[[Mapping[str, Any]], str]

_URL = re.compile(r"(https?://[^/?#{}@\s\\]+)([/?][^\x00-\x1f\x7f#]*)?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS = frozenset(
    ("authorization", "connection", "content-length", "content-type", "host", "idempotency-key", "transfer-encoding")
)


def in_url(value: Any) -> str:
    """A path step of dots would climb."""
    text = str(value)
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def in_header(value: Any) -> str:
    return one_line(str(value))


def _template(source: str, part: str, escape: Callable[[Any], Any] = str) -> Fill:
    try:
        return compile_value(part, source, NAMES, escape)
    except TemplateRefused as error:
        raise ValueError(f"is not a template that can be used: {error.reason}") from None


def _url(source: str) -> str:
    if source == ADDRESS:
        return source
    if not _URL.fullmatch(source):
        raise ValueError(f'must be "https://", a host without templates, and a path; or "{ADDRESS}" alone')
    _template(source, "url", in_url)
    return source


def _header_name(name: str) -> str:
    if not _HEADER.fullmatch(name) or name.lower() in _OURS or name.lower().startswith("webhook-"):
        raise ValueError(f"{name[:100]!r} is not a header that can be set here; credentials go into 'auth'")
    return name


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, source in headers.items():
        _header_name(name)
        if not source.isprintable():
            raise ValueError(f"the header {name!r} must be one line of printable characters")
        _template(source, name, in_header)
    return headers


def _body(body: Any) -> Any:
    count = 0

    def walk(value: Any, depth: int) -> None:
        nonlocal count
        count += 1
        if depth > DEEPEST or count > MOST_VALUES:
            raise ValueError(f"has more than {MOST_VALUES} values or {DEEPEST} levels; make it smaller")
        if isinstance(value, str):
            _template(value, "body")
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner, depth + 1)

    walk(body, 0)
    return body


def _secret(value: str) -> str:
    try:
        key = base64.b64decode(value.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not value.startswith("whsec_") or not 16 <= len(key) <= 128:
        raise ValueError('must be "whsec_" and 16 to 128 random bytes in base64')
    return value


class Model(BaseModel):
    """Some of them hold secrets, so none of them shows its values."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    def __repr_args__(self) -> Sequence[tuple[str | None, Any]]:
        return ()


Hidden = Annotated[str, Field(min_length=1, max_length=4096)]
Signing = Annotated[
    str, AfterValidator(_secret), Field(max_length=200, examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
]
Rule = Annotated[
    str,
    AfterValidator(checked),
    Field(min_length=1, max_length=500, examples=["error.code == 'unknown_recipient'"]),
]


class NoAuth(Model):
    kind: Literal["none"] = "none"


class Bearer(Model):
    kind: Literal["bearer"]
    token: Annotated[Hidden, Field(pattern=r"^[\x21-\x7e]+$")]


class Basic(Model):
    kind: Literal["basic"]
    username: Annotated[str, Field(max_length=200)]
    password: Hidden


class ApiKey(Model):
    """A header of the API's own."""

    kind: Literal["header"]
    name: Annotated[str, AfterValidator(_header_name), Field(examples=["X-Api-Key"])]
    value: Annotated[Hidden, Field(pattern=r"^[\x21-\x7e]+$")]


class StandardWebhook(Model):
    """Signed as standardwebhooks.com says; the attempt's id is the webhook-id."""

    kind: Literal["standard_webhook"]
    secret: Signing


Auth = Annotated[NoAuth | Bearer | Basic | ApiKey | StandardWebhook, Field(discriminator="kind")]


class Success(Model):
    """An answer that is a success: its status, and a rule over its JSON that must be true if there is one."""

    statuses: Annotated[list[Annotated[int, Field(ge=200, le=299)]], Field(max_length=20)] = []
    rule: Rule | None = None


class Refusals(Model):
    """Rules over the answer's JSON, whatever its status, that say more than a status can."""

    invalid_address: Rule | None = None
    opted_out: Rule | None = None
    try_later: Rule | None = None


class Receipts(Model):
    """What the API reports later to POST /v1/receipts/{name}, signed as standardwebhooks.com says. `attempt`, `status` and
    `detail` are JMESPath over its JSON; `words` are the API's own words for what we know."""

    secrets: Annotated[list[Signing], Field(min_length=1, max_length=10)]
    attempt: Rule = "data.attempt_id"
    status: Rule = "data.status"
    detail: Rule = "data.detail"
    words: Annotated[
        dict[
            Annotated[str, Field(max_length=100)],
            Literal["accepted", "delivered", "undelivered", "missed", "invalid", "opted_out"],
        ],
        Field(max_length=100),
    ] = {}


class HttpApi(Model):
    """PUT replaces all of it: secrets that stay are sent again."""

    method: Literal["POST", "PUT", "PATCH", "GET"] = "POST"
    url: Annotated[str, AfterValidator(_url), Field(max_length=2000, examples=["https://api.example.com/v1/messages"])]
    headers: Annotated[
        dict[str, Annotated[str, Field(max_length=2000)]], AfterValidator(_headers), Field(max_length=30)
    ] = {}
    body: Annotated[
        dict[str, Any] | None, AfterValidator(_body), Field(examples=[{"to": ADDRESS, "text": "{{ text }}"}])
    ] = None
    auth: Auth = NoAuth()
    success: Success = Success()
    message_id: Rule | None = None
    refusals: Refusals = Refusals()
    receipts: Receipts | None = None
    price: Annotated[Decimal, Field(ge=0, le=1000, max_digits=10, decimal_places=4, examples=["0.01"])] = Decimal(
        "0.01"
    )
    timeout: Annotated[float, Field(gt=0, le=30, description="seconds for one request as a whole")] = 15.0
    concurrency: Annotated[int, Field(ge=1, le=100, description="requests at once")] = 10

    @property
    def host_url(self) -> str | None:
        """What the guard is asked when it is saved; None where every customer has an address of their own."""
        found = _URL.fullmatch(self.url)
        return found[1] if found else None

    def fill_url(self, values: Mapping[str, Any]) -> str:
        return str(values["address"]) if self.url == ADDRESS else self._url(values)

    def fill_headers(self, values: Mapping[str, Any]) -> dict[str, str]:
        return {name: one_line(fill(values)) for name, fill in self._headers.items()}

    def fill_body(self, values: Mapping[str, Any]) -> Any:
        return self._body(values)

    @cached_property
    def _url(self) -> Fill:
        return _template(self.url, "url", in_url)

    @cached_property
    def _headers(self) -> Mapping[str, Fill]:
        return {name: _template(source, name, in_header) for name, source in self.headers.items()}

    @cached_property
    def _body(self) -> Callable[[Mapping[str, Any]], Any]:
        return _filler(self.body)


def _filler(value: Any) -> Callable[[Mapping[str, Any]], Any]:
    """The same structure, its strings filled; nothing that is inserted can become structure."""
    match value:
        case str():
            return _template(value, "body")
        case dict():
            inside = {name: _filler(inner) for name, inner in value.items()}
            return lambda values: {name: fill(values) for name, fill in inside.items()}
        case list():
            parts = [_filler(inner) for inner in value]
            return lambda values: [fill(values) for fill in parts]
        case _:
            return lambda _: value


def judged(rule: str | None, answer: Any) -> Any:
    """What a rule finds in an answer; None where it cannot be applied."""
    return None if rule is None else found(rule, answer)
