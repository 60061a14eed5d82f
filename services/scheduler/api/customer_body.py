"""A customer as the ERP sends one: alone (PUT) or inside an invoice.

What must stay true: an address that leaves this module is in its one spelling, so that a suppression fits whoever
wrote it.
"""

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BeforeValidator, Field

from services.scheduler.domain.contacts import (
    Unusable,
    check_push_address,
    check_web_address,
    normalise_email,
    normalise_phone,
)
from services.scheduler.domain.new_invoice import NewContactPoint, NewCustomer
from services.scheduler.domain.zones import zone_of
from shared.kernel.errors import FieldError
from shared.routing.channels import REACHED_THROUGH, ChannelName, ContactKind
from shared.web.fields import Country, Language, Ref, TimeZone
from shared.web.strict import StrictModel

LONGEST_ATTRIBUTES = 16_384
MOST_CONTACT_POINTS = 20
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\u2028\u2029]+")
_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f<>\"\\^`{|}]+")


def one_line(value: object) -> object:
    """Text for a subject or a letter has no line breaks or control characters: each run of them becomes a blank."""
    return _UNPRINTABLE.sub(" ", value).strip() if isinstance(value, str) else value


def check_url(text: str) -> str:
    if not _URL.fullmatch(text) or not _has_host(text):
        raise ValueError('must be an address that begins with "https://" or "http://", without blanks')
    return text


def _has_host(text: str) -> bool:
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:  # "https://[" and what only looks like a letter
        return False


def bounded(attributes: dict[str, Any]) -> dict[str, Any]:
    if len(orjson.dumps(attributes)) > LONGEST_ATTRIBUTES:
        raise ValueError(f"attributes have at most {LONGEST_ATTRIBUTES} bytes as JSON; keep the rest in the ERP")
    return attributes


Line = Annotated[str, BeforeValidator(one_line), Field(min_length=1, max_length=200)]
WebAddress = Annotated[str, Field(max_length=2000, json_schema_extra={"format": "uri"}), AfterValidator(check_url)]
Attributes = Annotated[dict[str, Any], AfterValidator(bounded), Field(examples=[{"region": "north"}])]


class ContactPointIn(StrictModel):
    """One address. `channels` narrows or, for rcs and whatsapp, widens what it is used for; lower `priority` goes
    first."""

    kind: ContactKind
    address: Annotated[str, Field(min_length=1, max_length=4096, examples=["anna@example.com"])]
    channels: Annotated[list[ChannelName], Field(min_length=1, max_length=20)] | None = None
    priority: Annotated[int, Field(ge=0, le=1000, strict=True)] = 0


class CustomerIn(StrictModel):
    """Who owes. `contact_points` left out: they stay as they are; a list replaces them. `timezone` left out: that of a phone
    number's area, else of a country with one time, else the creditor's."""

    name: Line
    locale: Language | None = None
    timezone: TimeZone | None = None
    country: Country | None = None
    contact_points: Annotated[list[ContactPointIn], Field(max_length=MOST_CONTACT_POINTS)] | None = None
    preferred_channel: ChannelName | None = None
    attributes: Attributes = Field(default_factory=dict)


class InlineCustomerIn(CustomerIn):
    """A customer inside an invoice: the same, with its id."""

    customer_id: Ref


def read_customer(ref: str, body: CustomerIn, faults: list[FieldError], *, at: str = "", sandbox: bool) -> NewCustomer:
    """What is wrong with an address is added to `faults`, under the pointer `at`."""
    given = body.contact_points
    points = None if given is None else read_points(given, body.country, faults, at, sandbox)
    phones = (point.address for point in points or () if point.kind is ContactKind.PHONE)
    return NewCustomer(
        ref,
        body.name,
        body.locale,
        body.timezone or zone_of(phones, body.country),
        body.country,
        body.preferred_channel,
        body.attributes,
        points,
    )


def read_points(
    points: list[ContactPointIn], country: str | None, faults: list[FieldError], at: str, sandbox: bool
) -> tuple[NewContactPoint, ...]:
    """The same address given twice counts once."""
    found: dict[tuple[str, str], NewContactPoint] = {}
    for index, point in enumerate(points):
        address = _address(point, country, sandbox)
        if isinstance(address, Unusable):
            faults.append(FieldError(f"{at}/contact_points/{index}/address", address.reason))
            continue
        wrong = [channel for channel in point.channels or () if REACHED_THROUGH[channel] is not point.kind]
        if wrong:
            detail = f"{wrong[0]} does not reach a contact point of the kind {point.kind}; remove it"
            faults.append(FieldError(f"{at}/contact_points/{index}/channels", detail))
        channels = None if point.channels is None else tuple(sorted(set(point.channels)))
        found.setdefault((point.kind, address), NewContactPoint(point.kind, address, channels, point.priority))
    return tuple(found.values())


def _address(point: ContactPointIn, country: str | None, sandbox: bool) -> str | Unusable:
    match point.kind:
        case ContactKind.EMAIL:
            return normalise_email(point.address.strip(), sandbox=sandbox)
        case ContactKind.PHONE:
            return normalise_phone(point.address.strip(), country)
        case ContactKind.URL:
            return check_web_address(point.address.strip(), sandbox=sandbox)
        case ContactKind.PUSH:
            return check_push_address(point.address.strip(), sandbox=sandbox)
