"""A flow is saved and a text taken away at the same time: whichever comes second sees the other."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.dispatcher.handlers.withdraw_text import withdraw
from services.dispatcher.store.templates import Key
from shared.kernel.errors import Conflict
from tests.integration.scheduler_app import Scheduler, scheduler

STEP = {"id": "note", "when": {"on": "due"}, "message": "promo", "channels": ["sms"]}
WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
TEXT = Key("promo", "sms", "en")


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with scheduler(database_dsn, tmp_path) as running:
        await running.value(
            "INSERT INTO template_version (name, channel, locale, version, subject, body)"
            " VALUES ('promo', 'sms', 'en', 1, '', 'Hello') RETURNING id"
        )
        yield running


async def test_a_flow_that_is_saved_while_its_only_text_is_taken_away_is_refused(app: Scheduler) -> None:
    async with app.owner.transaction() as tx:
        await withdraw(tx, TEXT)
        saving = asyncio.create_task(app.http.put("/v1/flows/notes", json={"name": "notes", "steps": [STEP]}))
        async with asyncio.timeout(20):
            while not await app.value(WAITING):
                assert not saving.done()
                await asyncio.sleep(0.02)
    answer = await saving

    assert answer.status_code == 422
    assert "has no text for sms" in answer.text


async def test_a_text_that_a_flow_has_come_to_say_is_not_taken_away(app: Scheduler) -> None:
    answer = await app.http.put("/v1/flows/notes", json={"name": "notes", "steps": [STEP]})
    assert answer.status_code == 201, answer.text

    with pytest.raises(Conflict, match="step 'note' of flow 'notes'"):
        async with app.owner.transaction() as tx:
            await withdraw(tx, TEXT)
