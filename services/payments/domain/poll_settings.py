"""How an ERP or a bank is asked what is owed, as `PUT /v1/sources/{source}` takes it for `kind: http_poll`.

True here: what is accepted can be asked; headers are secrets, and so is who logs in by a URL, and what its query says beside
the placeholders. A message says what a value should be and never repeats one.
"""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from services.payments.domain.expressions import Path
from shared.outgoing.addresses import MAX_URL

PLACES = ("invoice_id", "customer_id", "number", "payment_reference")
BATCH_PLACES = ("customer_id", "invoice_ids")
MOST_SECONDS = 30.0
HIDDEN = "***"
_PLACE = re.compile(r"\{([^{}]*)\}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_RESERVED = ("host", "content-length", "transfer-encoding", "connection", "accept-encoding")


def places(text: str) -> set[str]:
    return set(_PLACE.findall(text))


def _headers(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _RESERVED:
            raise ValueError(f"{name[:64]!r} cannot be the name of a header here")
        if not text.isascii() or not text.isprintable() or len(text) > 4096:
            raise ValueError(f"the value of {name!r} must be printable ASCII, at most 4096 characters")
    return value


def _url(value: str) -> str:
    host = urlsplit(value).netloc
    if not value.startswith(("https://", "http://")) or not host or "{" in host:
        raise ValueError("must begin with https:// and a host without placeholders")
    if HIDDEN in value:
        raise ValueError(f"its secrets are shown as {HIDDEN}; write them out")
    return value


def without_secrets(url: str) -> tuple[str, int]:
    """(the URL as it may be shown, how much of it may not be)."""
    scheme, rest = url.split("://", 1)
    place, mark, query = rest.partition("?")
    netloc, slash, path = place.partition("/")
    _, at, host = netloc.rpartition("@")
    shown = "&".join(_without_value(pair) for pair in query.split("&"))
    shown = f"{scheme}://{HIDDEN + at if at else ''}{host}{slash}{path}{mark}{shown}"
    return shown, shown.count(HIDDEN)


def _without_value(pair: str) -> str:
    """`name=***`, unless the value is nothing or has a placeholder; a name alone is a value."""
    name, equals, value = pair.partition("=")
    said = value if equals else name
    return pair if not said or places(said) else f"{name}={HIDDEN}" if equals else HIDDEN


Url = Annotated[str, Field(min_length=1, max_length=MAX_URL), AfterValidator(_url)]
Headers = Annotated[dict[str, str], Field(max_length=20), AfterValidator(_headers)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)


class _Question(_Settings):
    """One request. Placeholders stand in `url` (escaped) and in the texts of `body` (as they are)."""

    url: Url
    method: Literal["GET", "POST"] = "GET"
    body: dict[str, Any] | None = None

    def used(self) -> set[str]:
        return places(self.url) | _in_body(self.body)


class BatchSettings(_Question):
    """One question about a customer, or about several invoices of one. `items`: where the list is; `invoice_id`: an item's
    own. `missing`: what it means that an invoice is not in the list. `most`: invoices a question with {invoice_ids}."""

    items: Path
    invoice_id: Path = "invoice_id"
    missing: Literal["paid", "unknown"] = "unknown"
    most: Annotated[int, Field(ge=1, le=200)] = 50

    @model_validator(mode="after")
    def _asks_about_somebody(self) -> "BatchSettings":
        _check_places(self.used(), BATCH_PLACES, "batch")
        return self


class Reading(_Settings):
    """JMESPath over the answer, or over an item of a batch's. At least one of `open_amount` (a number or decimal text) and
    `paid` (true, false); `currency`, where it is said, must be the invoice's."""

    open_amount: Path | None = None
    paid: Path | None = None
    currency: Path | None = None
    amount: Literal["decimal", "minor"] = "decimal"

    @model_validator(mode="after")
    def _reads_something(self) -> "Reading":
        if self.open_amount is None and self.paid is None:
            raise ValueError("'open_amount' or 'paid' must say where the answer tells what is owed")
        return self


class HttpPollSettings(_Question):
    """Asked ahead of due reminders and by `POST /v1/payment-status/{invoice_id}/refresh`. `fresh_seconds`: how old an
    answer may be when a reminder goes; `on_unknown`: what happens to it while there is none."""

    kind: Literal["http_poll"]
    headers: Headers = {}
    read: Reading
    batch: BatchSettings | None = None
    on_unknown: Literal["hold", "send"] = "hold"
    fresh_seconds: Annotated[int, Field(ge=60, le=86_400)] = 600
    cache_seconds: Annotated[float, Field(ge=0, le=600)] = 15.0
    per_second: Annotated[float, Field(gt=0, le=1000)] = 10.0
    timeout_seconds: Annotated[float, Field(gt=0, le=MOST_SECONDS)] = 8.0

    @model_validator(mode="after")
    def _asks_about_an_invoice(self) -> "HttpPollSettings":
        _check_places(self.used(), PLACES, "url")
        return self


def _in_body(value: Any) -> set[str]:
    match value:
        case str():
            return places(value)
        case dict():
            return set().union(*(_in_body(one) for one in value.values()))
        case list():
            return set().union(*(_in_body(one) for one in value))
    return set()


def _check_places(used: set[str], known: tuple[str, ...], where: str) -> None:
    named = ", ".join(f"{{{name}}}" for name in known)
    if not used or not used <= set(known):
        raise ValueError(f"{where!r} must hold one of {named}, and no other placeholder")
