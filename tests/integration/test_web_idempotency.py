"""Same key and same body: one effect, one answer, also when both come at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, Response

from shared.db.engine import Database
from shared.kernel.errors import Conflict
from shared.web.app import build_app, mount
from shared.web.auth import Caller, Keys, key_hash, require
from shared.web.health import Readiness
from shared.web.idempotency import IdempotencyKey, Once, claim, store
from shared.web.parts import part, provide
from shared.web.strict import StrictModel, strict_router


@dataclass(frozen=True, slots=True)
class Parts:
    db: Database
    pause: asyncio.Event


class Note(StrictModel):
    text: str


router = strict_router("notes")


@router.post("/v1/notes", status_code=201)
async def add_note(
    note: Note,
    once: IdempotencyKey,
    response: Response,
    parts: Annotated[Parts, part(Parts)],
    _: Annotated[Caller, Depends(require("invoices:write"))],
) -> dict[str, Any]:
    async with parts.db.transaction() as tx:
        if stored := await claim(tx, once):
            response.status_code = stored.status
            return stored.response
        await parts.pause.wait()
        if note.text == "refused":
            raise Conflict("refused")
        answer = {"id": await tx.fetchval("INSERT INTO note (text) VALUES ($1) RETURNING id", note.text)}
        await store(tx, once, 201, answer)
    return answer


@dataclass(frozen=True, slots=True)
class World:
    db: Database
    client: httpx.AsyncClient
    pause: asyncio.Event

    async def post(self, key: str | None, text: str = "hello", bearer: str = "one") -> httpx.Response:
        headers = {"Authorization": f"Bearer {bearer}"} | ({} if key is None else {"Idempotency-Key": key})
        return await self.client.post("/v1/notes", json={"text": text}, headers=headers)

    async def notes(self) -> int:
        async with self.db.connection() as raw:
            return int(await raw.fetchval("SELECT count(*) FROM note"))

    async def waiting(self, count: int) -> None:
        """Until so many twins wait for the first one's transaction."""
        async with asyncio.timeout(10), self.db.connection() as raw:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            while await raw.fetchval(query) < count:
                await asyncio.sleep(0.01)


@pytest.fixture
async def world(database_dsn: str) -> AsyncIterator[World]:
    db = Database(database_dsn, pool_size=8, limits={"lock_timeout": "3s"})
    async with db.connection() as raw:
        await raw.execute("CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY, text text)")

    async def look_up(hashed: bytes) -> Caller | None:
        names = {key_hash("one"): 1, key_hash("two"): 2}
        return Caller("x", frozenset({"invoices:write"}), names[hashed]) if hashed in names else None

    pause = asyncio.Event()
    pause.set()
    app = build_app("Test", readiness=Readiness(), keys=Keys(look_up))
    provide(app, Parts(db, pause))
    mount(app, router)
    async with httpx.AsyncClient(base_url="http://test", transport=httpx.ASGITransport(app)) as client:
        yield World(db, client, pause)
    await db.close()


async def test_a_repeated_request_gets_the_first_answer(world: World) -> None:
    first, second = await world.post("k"), await world.post("k")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert await world.notes() == 1


async def test_twins_at_the_same_time_have_one_effect(world: World) -> None:
    world.pause.clear()
    requests = [asyncio.create_task(world.post("k")) for _ in range(6)]
    await world.waiting(5)
    world.pause.set()
    answers = await asyncio.gather(*requests)
    assert Counter((answer.status_code, answer.text) for answer in answers) == {(201, answers[0].text): 6}
    assert await world.notes() == 1


async def test_a_twin_goes_on_when_the_first_one_fails(world: World) -> None:
    world.pause.clear()
    first = asyncio.create_task(world.post("k", "refused"))
    await asyncio.sleep(0)
    second = asyncio.create_task(world.post("k", "refused"))
    await world.waiting(1)
    world.pause.set()
    assert [answer.status_code for answer in await asyncio.gather(first, second)] == [409, 409]
    assert (await world.post("k", "now good")).status_code == 201
    assert await world.notes() == 1


async def test_another_body_under_the_same_key_is_refused(world: World) -> None:
    await world.post("k", "a")
    answer = await world.post("k", "b")
    assert answer.status_code == 422
    assert "Idempotency-Key" in answer.json()["detail"]
    assert await world.notes() == 1


async def test_two_callers_never_meet_in_one_key(world: World) -> None:
    await world.post("k", "a", bearer="one")
    assert (await world.post("k", "b", bearer="two")).status_code == 201
    assert await world.notes() == 2


async def test_without_a_key_each_request_counts(world: World) -> None:
    await world.post(None)
    await world.post(None)
    assert await world.notes() == 2


@pytest.mark.parametrize("key", ["", "a b", "x" * 256])
async def test_a_key_that_is_no_key_is_refused(world: World, key: str) -> None:
    answer = await world.post(key)
    assert answer.status_code == 422
    assert "idempotency-key" in answer.json()["errors"][0]["detail"].lower()
    assert await world.notes() == 0


async def test_a_twin_that_waits_too_long_is_told_to_come_back(world: World) -> None:
    async with world.db.connection() as raw, raw.transaction():
        once = Once("key:1", "POST /v1/notes", "k", b"")
        assert await claim(raw, once) is None
        answer = await world.post("k")
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


async def test_a_pool_without_a_free_connection_is_a_503(world: World) -> None:
    lent = [world.db.connection() for _ in range(8)]
    for connection in lent:
        await connection.__aenter__()
    try:
        answer = await world.post("k")
    finally:
        for connection in lent:
            await connection.__aexit__(None, None, None)
    assert answer.status_code == 503


async def test_a_database_that_is_away_is_a_503(unused_tcp_port: int) -> None:
    app = build_app("Test", readiness=Readiness(), keys=Keys(_nobody, "boot"))
    db = Database(f"postgresql://u:hunter2@127.0.0.1:{unused_tcp_port}/x")
    provide(app, Parts(db, asyncio.Event()))
    mount(app, router)
    async with httpx.AsyncClient(base_url="http://test", transport=httpx.ASGITransport(app)) as client:
        answer = await client.post("/v1/notes", json={"text": "x"}, headers={"Authorization": "Bearer boot"})
    assert answer.status_code == 503
    assert "hunter2" not in answer.text
    await db.close()


async def _nobody(_: bytes) -> Caller | None:
    return None
