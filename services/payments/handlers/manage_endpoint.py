"""Makes webhook endpoints and changes their secrets. True here: a secret is answered once, in the call that made it."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from services.payments.domain.signature import PREFIX
from services.payments.store.endpoints import MOST, EndpointRow, find_endpoint, insert_endpoint, rotate_secret
from shared.db.engine import Database
from shared.kernel.errors import Conflict, FieldError, Invalid, NotFound
from shared.outgoing import Guard, TargetRefused
from shared.web.idempotency import Once, claim, store


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """`events` None: all, also those that come later."""

    url: str
    events: Sequence[str] | None
    description: str | None


def new_secret() -> str:
    return PREFIX + base64.b64encode(os.urandom(32)).decode()


async def check_target(guard: Guard, url: str, pointer: str = "/url") -> None:
    """`Invalid` if this URL would never be called."""
    try:
        await guard.check_url(url)
    except TargetRefused as error:
        raise Invalid(f"{pointer}: {error}", errors=(FieldError(pointer, str(error)),)) from None


async def make_endpoint(db: Database, new: NewEndpoint, once: Once | None) -> tuple[EndpointRow, str | None]:
    """With its secret, unless the call was repeated."""
    secret = new_secret()
    async with db.transaction() as tx:
        if stored := await claim(tx, once):
            return await found(tx, stored.response["endpoint_id"]), None
        made = await insert_endpoint(tx, new.url, new.events, new.description, secret)
        if made is None:
            raise Conflict(f"there are {MOST} webhook endpoints already; delete one that is not needed")
        await store(tx, once, 201, {"endpoint_id": made})
        return await found(tx, made), secret


async def change_secret(db: Database, endpoint_id: int, overlap: timedelta) -> tuple[EndpointRow, str]:
    secret = new_secret()
    async with db.transaction() as tx:
        if not await rotate_secret(tx, endpoint_id, secret, overlap):
            raise missing(endpoint_id)
        return await found(tx, endpoint_id), secret


async def found(connection: asyncpg.Connection, endpoint_id: int) -> EndpointRow:
    row = await find_endpoint(connection, endpoint_id)
    if row is None:
        raise missing(endpoint_id)
    return row


def missing(endpoint_id: int) -> NotFound:
    return NotFound(f"there is no webhook endpoint {endpoint_id}")
