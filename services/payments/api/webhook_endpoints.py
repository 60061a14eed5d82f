"""`/v1/webhook-endpoints`: where the ERP hears what happened, signed as Standard Webhooks say."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from services.payments.api.endpoint_body import (
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointChange,
    EndpointWithSecret,
    EventType,
    NewEndpoint,
    Replay,
    Replayed,
    Rotation,
    TestSent,
    delivery_body,
    endpoint_body,
    event_name,
    with_secret,
)
from services.payments.api.parts import PaymentsParts
from services.payments.domain.announcements import EVENTS, TEST
from services.payments.handlers import manage_endpoint
from services.payments.handlers.manage_endpoint import change_secret, check_target, found, make_endpoint, missing
from services.payments.store import endpoints as store
from shared.web import idempotency
from shared.web.auth import Scope, require
from shared.web.fields import Ref
from shared.web.idempotency import IdempotencyKey
from shared.web.paging import Page, Paged
from shared.web.parts import part
from shared.web.problems import declared
from shared.web.strict import strict_router

router: APIRouter = strict_router("webhook endpoints")
Parts = Annotated[PaymentsParts, part(PaymentsParts)]
EndpointId = Annotated[int, Path(alias="id", ge=1, le=2**63 - 1, description="`endpoint_id`")]
GUARDED = [Depends(require(Scope.EVENTS_WRITE))]
REPLAYED_AT_ONCE = 10_000


class EventTypes(BaseModel):
    items: list[EventType]


@router.get(
    "/v1/webhook-events",
    dependencies=GUARDED,
    responses=declared(401, 403),
    summary="All events that an endpoint may hear, and what each means",
)
async def event_types() -> EventTypes:
    return EventTypes(items=[EventType(type=name, meaning=meaning) for name, meaning in EVENTS.items()])


@router.post(
    "/v1/webhook-endpoints",
    status_code=201,
    dependencies=GUARDED,
    responses=declared(400, 401, 403, 409),
    summary="Send events to a URL from now on; the secret that signs them is answered this once",
)
async def make(new: NewEndpoint, once: IdempotencyKey, parts: Parts) -> EndpointWithSecret:
    await check_target(parts.guard, new.url)
    wanted = manage_endpoint.NewEndpoint(new.url, new.events, new.description)
    return with_secret(*await make_endpoint(parts.db, wanted, once))


@router.get(
    "/v1/webhook-endpoints",
    dependencies=GUARDED,
    responses=declared(401, 403),
    summary="All endpoints, without their secrets; there are 20 at most",
)
async def listing(parts: Parts) -> Page[Endpoint]:
    async with parts.db.connection() as connection:
        rows = await store.list_endpoints(connection)
    return Page(items=[endpoint_body(row) for row in rows])


@router.get(
    "/v1/webhook-endpoints/{id}",
    dependencies=GUARDED,
    responses=declared(401, 403, 404),
    summary="An endpoint, without its secret",
)
async def get(endpoint_id: EndpointId, parts: Parts) -> Endpoint:
    async with parts.db.connection() as connection:
        return endpoint_body(await found(connection, endpoint_id))


@router.patch(
    "/v1/webhook-endpoints/{id}",
    dependencies=GUARDED,
    responses=declared(400, 401, 403, 404),
    summary="Change where an endpoint is or what it hears",
)
async def change(endpoint_id: EndpointId, change: EndpointChange, parts: Parts) -> Endpoint:
    if change.url is not None:
        await check_target(parts.guard, change.url)
    events_too = "events" in change.model_fields_set
    async with parts.db.connection() as connection:
        if not await store.change_endpoint(
            connection, endpoint_id, change.url, change.description, change.events, events_too=events_too
        ):
            raise missing(endpoint_id)
        return endpoint_body(await found(connection, endpoint_id))


@router.delete(
    "/v1/webhook-endpoints/{id}",
    status_code=204,
    dependencies=GUARDED,
    responses=declared(401, 403, 404),
    summary="Send nothing more there; what waited for it is gone",
)
async def delete(endpoint_id: EndpointId, parts: Parts) -> None:
    async with parts.db.connection() as connection:
        if not await store.delete_endpoint(connection, endpoint_id):
            raise missing(endpoint_id)


@router.post(
    "/v1/webhook-endpoints/{id}/rotate-secret",
    dependencies=GUARDED,
    responses=declared(400, 401, 403, 404),
    summary="A new secret, answered this once; the old one signs beside it for a while",
)
async def rotate(endpoint_id: EndpointId, rotation: Rotation, parts: Parts) -> EndpointWithSecret:
    overlap = timedelta(hours=rotation.overlap_hours)
    return with_secret(*await change_secret(parts.db, endpoint_id, overlap))


@router.post(
    "/v1/webhook-endpoints/{id}/enable",
    dependencies=GUARDED,
    responses=declared(401, 403, 404),
    summary="Send there again; what waited goes now, in its order",
)
async def enable(endpoint_id: EndpointId, parts: Parts) -> Endpoint:
    async with parts.db.connection() as connection:
        if not await store.enable(connection, endpoint_id):
            raise missing(endpoint_id)
        return endpoint_body(await found(connection, endpoint_id))


@router.post(
    "/v1/webhook-endpoints/{id}/disable",
    dependencies=GUARDED,
    responses=declared(401, 403, 404),
    summary="Send nothing there until it is enabled; events wait",
)
async def disable(endpoint_id: EndpointId, parts: Parts) -> Endpoint:
    async with parts.db.connection() as connection:
        if not await store.disable(connection, endpoint_id):
            raise missing(endpoint_id)
        return endpoint_body(await found(connection, endpoint_id))


@router.post(
    "/v1/webhook-endpoints/{id}/test",
    status_code=202,
    dependencies=GUARDED,
    responses=declared(401, 403, 404, 409),
    summary="Send an event that means nothing; its delivery says what came of it",
)
async def test(endpoint_id: EndpointId, once: IdempotencyKey, parts: Parts) -> TestSent:
    async with parts.db.transaction() as tx:
        if (stored := await idempotency.claim(tx, once)) is not None:
            return TestSent.model_validate(stored.response)
        made = await store.announce_test(tx, endpoint_id, TEST, {"endpoint_id": endpoint_id})
        if made is None:
            raise missing(endpoint_id)
        sent = TestSent(event_id=event_name(made))
        await idempotency.store(tx, once, 202, sent.model_dump(mode="json"))
    return sent


@router.post(
    "/v1/webhook-endpoints/{id}/replay",
    status_code=202,
    dependencies=GUARDED,
    responses=declared(400, 401, 403, 404),
    summary="Send the events of a time again, each with its webhook-id as before",
)
async def replay(endpoint_id: EndpointId, wanted: Replay, parts: Parts) -> Replayed:
    until = wanted.until or datetime.now(UTC)
    async with parts.db.connection() as connection:
        await found(connection, endpoint_id)
        count = await store.replay(connection, endpoint_id, wanted.since, until, wanted.events, REPLAYED_AT_ONCE)
    return Replayed(events=count)


@router.get(
    "/v1/webhook-endpoints/{id}/deliveries",
    dependencies=GUARDED,
    responses=declared(400, 401, 403, 404),
    summary="What was sent to an endpoint and what it answered, the newest first",
)
async def deliveries(
    endpoint_id: EndpointId,
    paging: Paged,
    parts: Parts,
    state: Annotated[DeliveryState | None, Query()] = None,
    invoice_id: Annotated[Ref | None, Query()] = None,
) -> Page[Delivery]:
    (before,) = paging.last(int) or (None,)
    async with parts.db.connection() as connection:
        await found(connection, endpoint_id)
        rows = await store.list_deliveries(connection, endpoint_id, before, state, invoice_id, paging.limit + 1)
    shown, cursor = paging.cut(rows, lambda row: (row.event_id,))
    return Page(items=[delivery_body(row) for row in shown], next_cursor=cursor)
