"""What webhook endpoints and their deliveries look like in the API."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from services.payments.domain.announcements import EVENTS
from services.payments.store.endpoints import DeliveryRow, EndpointRow
from shared.outgoing.addresses import MAX_URL
from shared.web.fields import IsoTime
from shared.web.strict import StrictModel


def _event(value: object) -> str:
    if isinstance(value, str) and value in EVENTS:
        return value
    raise ValueError(f"must be one of {', '.join(EVENTS)}")


EventName = Annotated[str, BeforeValidator(_event), Field(examples=["invoice.paid"])]
Events = Annotated[
    list[EventName] | None,
    Field(min_length=1, max_length=100, description="without it, or null: all, also those that are added later"),
]
Url = Annotated[str, Field(min_length=1, max_length=MAX_URL, examples=["https://erp.example.com/hooks/dunnock"])]
Description = Annotated[str | None, Field(max_length=500)]


class NewEndpoint(StrictModel):
    url: Url
    events: Events = None
    description: Description = None


class EndpointChange(StrictModel):
    """What is left out stays as it is."""

    url: Url | None = None
    events: Events = None
    description: Description = None


class Rotation(StrictModel):
    """For so many hours the old secret signs too."""

    overlap_hours: Annotated[int, Field(ge=0, le=168, strict=True)] = 24


class Replay(StrictModel):
    """Events that were made from `since` (inclusive) to `until` (exclusive; now), by the wall clock."""

    since: IsoTime
    until: IsoTime | None = None
    events: Events = None


class Endpoint(BaseModel):
    """`status`: enabled, failing (since `failing_since` nothing was taken) or disabled; `waiting`: events on their way."""

    endpoint_id: int
    url: str
    events: list[str] | None
    description: str | None
    status: Annotated[str, Field(pattern="^(enabled|failing|disabled)$")]
    disabled_reason: str | None = Field(None, description="asked, failing (for 5 days) or gone (HTTP 410)")
    disabled_at: datetime | None = None
    failing_since: datetime | None = None
    waiting: int
    old_secret_until: datetime | None = None
    created_at: datetime


class EndpointWithSecret(Endpoint):
    """`secret` is answered once, when it is made."""

    secret: str | None = Field(examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])


class DeliveryState(StrEnum):
    """`failed`: not taken in 5 days."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Try(BaseModel):
    """`status`: of HTTP; null if there was no answer."""

    at: datetime
    status: int | None
    detail: str
    milliseconds: int


class Delivery(BaseModel):
    """`event_id`: the header `webhook-id`. `attempts`: the last 20."""

    event_id: str
    type: str
    at: datetime
    invoice_id: str | None
    state: str
    tries: int
    next_try_at: datetime | None
    ended_at: datetime | None
    attempts: list[Try]


class TestSent(BaseModel):
    event_id: str


class Replayed(BaseModel):
    """`events`: how many go (again). At most 10,000 a call: while it is that many, call again with a later `since`."""

    events: int


class EventType(BaseModel):
    type: str
    meaning: str


def endpoint_body(row: EndpointRow) -> Endpoint:
    return Endpoint(**_fields(row))


def with_secret(row: EndpointRow, secret: str | None) -> EndpointWithSecret:
    return EndpointWithSecret(**_fields(row), secret=secret)


def delivery_body(row: DeliveryRow) -> Delivery:
    return Delivery(
        event_id=event_name(row.event_id),
        type=row.type,
        at=row.at,
        invoice_id=row.invoice_ref,
        state=row.state,
        tries=row.tries,
        next_try_at=row.due_at if row.state == DeliveryState.PENDING else None,
        ended_at=row.ended_at,
        attempts=[Try(**one) for one in row.log],
    )


def event_name(event_id: int) -> str:
    return f"evt_{event_id}"


def _fields(row: EndpointRow) -> dict[str, object]:
    status = "disabled" if row.disabled_at else "failing" if row.failing_since else "enabled"
    return {
        "endpoint_id": row.id,
        "url": row.url,
        "events": row.events,
        "description": row.description,
        "status": status,
        "disabled_reason": row.disabled_reason,
        "disabled_at": row.disabled_at,
        "failing_since": row.failing_since,
        "waiting": row.waiting,
        "old_secret_until": row.old_secret_until,
        "created_at": row.created_at,
    }
