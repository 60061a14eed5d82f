"""What all stops have in common: they are placed and released, and answered, in the same way."""

from datetime import datetime
from typing import Any

import asyncpg
from fastapi import Response
from fastapi.responses import JSONResponse

from services.scheduler.api.parts import SchedulerParts
from services.scheduler.api.stop_bodies import Resumed, stop_out
from services.scheduler.handlers.stop_invoice import place, release, stop_everything
from services.scheduler.store import holds
from shared.ledger.money import Stop
from shared.ledger.promise import Promised
from shared.web.idempotency import Once
from shared.web.problems import declared

FAULTS = declared(400, 401, 403, 404, 409, 413, 415)


async def placed(parts: SchedulerParts, stop: Stop | Promised, once: Once | None) -> Response:
    answer = await place(parts.db, stop, parts.window, _answering, once)
    return JSONResponse(answer.response, answer.status)


async def everything_stopped(parts: SchedulerParts, stop: Stop, once: Once | None) -> Response:
    """Again with the same key: the same hold, and what is in flight now."""
    answer, left = await stop_everything(parts.db, stop, parts.window, _answering, once)
    flight = {"in_flight": left.attempts, "quiet_in": round(left.wait, 3)}
    return JSONResponse({**(answer.response or {}), **flight}, answer.status)


async def _answering(tx: asyncpg.Connection, hold_id: int) -> dict[str, Any]:
    row = await holds.hold(tx, hold_id)
    assert row is not None
    return stop_out(row).model_dump(mode="json")


async def released(parts: SchedulerParts, found: list[int]) -> Resumed:
    count = await release(parts.db, found)
    parts.wake()
    return Resumed(released=count)


async def business_now(connection: asyncpg.Connection) -> datetime:
    now: datetime = await connection.fetchval("SELECT business_now()")
    return now
