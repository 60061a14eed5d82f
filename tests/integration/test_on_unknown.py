"""While nobody can say whether an invoice is paid: the word of a step goes before that of the payment source, and is told."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.flow import FOREVER
from shared.ledger.due import nobody_knows
from tests.integration.ledger_database import connect
from tests.integration.scheduler_app import Scheduler, scheduler
from tests.integration.test_ledger_polled import FRESH, Polling, due

WAIT = timedelta(minutes=10)
TOLD = "SELECT data FROM event WHERE kind = 'reminder.unknown' ORDER BY id"


@pytest.fixture
async def polling(database_dsn: str) -> AsyncIterator[Polling]:
    """Two reminders that are due, of which somebody has to be asked first."""
    db = await connect(database_dsn)
    found = Polling(db)
    await found.begin()
    await db.execute("UPDATE payment_check SET fresh_for = $1", FRESH)
    await db.execute(
        "UPDATE reminder SET due_at = $1, send_until = $2 WHERE state = 'pending'",
        found.now - timedelta(seconds=1),
        FOREVER,
    )
    yield found
    await db.close()


async def say(polling: Polling, step: str | None) -> None:
    await polling.db.execute("UPDATE reminder SET on_unknown = $1", step)


async def told(polling: Polling) -> list[dict[str, Any]]:
    return [row[0] for row in await polling.db.fetch(TOLD)]


@pytest.mark.parametrize(
    ("step", "source", "goes", "says"),
    [
        (None, "hold", False, "source"),
        (None, "send", True, "source"),
        ("hold", "hold", False, "flow"),
        ("hold", "send", False, "flow"),
        ("send", "hold", True, "flow"),
        ("send", "send", True, "flow"),
    ],
)
async def test_a_reminder_that_was_asked_about_in_vain_goes_or_waits_as_its_step_says_else_as_the_source(
    polling: Polling, step: str | None, source: str, goes: bool, says: str
) -> None:
    await say(polling, step)

    await nobody_knows(polling.db, [polling.invoice.id], source, WAIT, polling.now)

    assert await due(polling) == (["queued", "queued"] if goes else [])
    assert [(one["on_unknown"], one["says"]) for one in await told(polling)] == [("send" if goes else "hold", says)] * 2


async def test_who_waits_through_a_long_silence_is_told_once_and_goes_with_the_first_answer(polling: Polling) -> None:
    await say(polling, "hold")
    for _ in range(3):
        await nobody_knows(polling.db, [polling.invoice.id], "send", WAIT, polling.now)
        polling.now += WAIT
    assert await due(polling) == []
    assert len(await told(polling)) == 2

    await polling.poll("100.00")
    polling.now += timedelta(minutes=2)

    assert await due(polling) == ["queued", "queued"]
    assert len(await told(polling)) == 2, "it was checked: nothing goes unchecked"


async def test_leave_to_go_unchecked_ends_with_the_freshness_of_the_question(polling: Polling) -> None:
    await say(polling, "send")
    await nobody_knows(polling.db, [polling.invoice.id], "hold", WAIT, polling.now)
    polling.now += FRESH + timedelta(seconds=1)
    assert await due(polling) == []


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with scheduler(database_dsn, tmp_path) as running:
        yield running


def flow(**top: Any) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        {"id": "deliver", "when": {"on": "issue"}, "message": "invoice", "channels": ["email"], "requires_open": False},
        {
            "id": "kind",
            "when": {"days": 5, "before": "due"},
            "message": "upcoming",
            "channels": ["email"],
            "on_unknown": "send",
        },
        {"id": "plain", "when": {"days": 5, "after": "due"}, "message": "overdue", "channels": ["email"]},
    ]
    return {"steps": steps, **top}


async def planned(app: Scheduler) -> dict[str, str | None]:
    rows = await app.fetch("SELECT step, on_unknown FROM reminder WHERE state = 'pending' AND requires_open")
    return {row[0]: row[1] for row in rows}


async def test_a_plan_keeps_what_its_flow_says_and_a_migration_brings_the_new_word(app: Scheduler) -> None:
    first = await app.http.put("/v1/flows/asks", json=flow())
    odd = [one["pointer"] for one in first.json()["warnings"] if one["kind"] == "sends-unchecked"]
    await app.accept(flow="asks")
    assert (odd, await planned(app)) == (["/steps/1/on_unknown"], {"kind": "send", "plain": None})

    await app.http.put("/v1/flows/asks", json=flow(on_unknown="hold"))
    moved = await app.http.post("/v1/flows/asks/migrate", json={"apply": True})
    assert moved.json()["invoices"] == 1
    async with asyncio.timeout(60):
        while await app.value("SELECT count(*) FROM invoice WHERE replan_at IS NOT NULL"):
            await asyncio.sleep(0.02)

    assert await planned(app) == {"kind": "send", "plain": "hold"}


async def test_on_unknown_is_in_the_schema_and_a_wrong_word_is_refused_with_its_place(app: Scheduler) -> None:
    schema = (await app.http.get("/v1/flows/schema")).json()
    assert schema["$defs"]["OnUnknown"]["enum"] == ["hold", "send"]
    body = flow(on_unknown="perhaps")
    body["steps"][2]["on_unknown"] = "later"
    refused = await app.http.put("/v1/flows/asks", json=body)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == ["/on_unknown", "/steps/2/on_unknown"]
