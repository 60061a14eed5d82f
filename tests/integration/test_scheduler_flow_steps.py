"""What a flow may say beyond a message on a date, on a real database: broadcasts, promises, persons, ends."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.scheduler.handlers.plan_anew import plan_anew
from services.scheduler.handlers.queue_due import take_due
from services.scheduler.handlers.retime_late import retime_late
from services.scheduler.handlers.sweep import keep_house
from services.scheduler.settings import SchedulerSettings
from services.scheduler.store.flows import FlowVersions
from tests.integration.scheduler_app import Scheduler, scheduler

STILL = SchedulerSettings(due_poll=60, sweep_poll=60)


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    """Nothing moves by itself."""
    async with scheduler(database_dsn, tmp_path, settings=STILL) as running:
        yield running


TO_NOON = """
SELECT ((date_trunc('day', business_now() AT TIME ZONE 'Europe/Madrid') + interval '36 hours') AT TIME ZONE 'Europe/Madrid'
        - business_now())::text
"""


def step(step_id: str, **said: Any) -> dict[str, Any]:
    return {"id": step_id, "message": "overdue", "channels": ["email"], **said}


def act(step_id: str, **said: Any) -> dict[str, Any]:
    return {"id": step_id, **said}


async def accept(app: Scheduler, *steps: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An invoice due in ten days, under a flow of these steps. The flow is stored as it is, unverified."""
    await app.value(
        "INSERT INTO flow_version (name, version, spec) VALUES ('mine', 1, $1) RETURNING id",
        {"name": "mine", "steps": list(steps)},
    )
    await app.ahead(await app.value(TO_NOON))
    due = await app.value("SELECT (business_now() AT TIME ZONE 'Europe/Madrid')::date + 10")
    issue = await app.value("SELECT (business_now() AT TIME ZONE 'Europe/Madrid')::date")
    return await app.accept(flow="mine", issue_date=issue.isoformat(), due_date=due.isoformat(), **changes)


async def walk(app: Scheduler, days: int) -> None:
    """Day by day: all that is due leaves pending."""
    for _ in range(days):
        await app.ahead("1 day")
        await keep_house(app.db, 100)
        while await retime_late(app.db, FlowVersions(), 100) + (await due(app)):
            pass


async def due(app: Scheduler) -> int:
    return (await take_due(app.db, FlowVersions(), limit=100, max_queued=1000)).moved


async def rows(app: Scheduler) -> list[str]:
    found = await app.fetch("SELECT step, leg, occurrence, state, reason FROM reminder ORDER BY id")
    return [f"{r['step']}{'.' * bool(r['leg'])}{r['leg']} {r['occurrence']} {r['reason'] or r['state']}" for r in found]


async def told(app: Scheduler, kind: str) -> list[str]:
    items = (await app.http.get("/v1/invoices/INV-1/timeline?limit=100")).json()["items"]
    return [item["text"] for item in items if item["kind"] == kind]


async def test_each_message_of_a_broadcast_is_a_row_of_its_own(app: Scheduler):
    loud = step("loud", when={"days": 2, "after": "due"}, broadcast=["email", "sms"], repeat={"every": 3, "times": 2})
    body = await accept(app, {name: said for name, said in loud.items() if name != "channels"})
    assert [row["step"] for row in body["reminders"]] == ["loud.email", "loud.sms"]

    await walk(app, 17)

    expected = ["loud.email 1 queued", "loud.email 2 queued", "loud.sms 1 queued", "loud.sms 2 queued"]
    assert sorted(await rows(app)) == expected


async def test_an_invoice_is_handed_to_a_person_once_and_its_flow_goes_on(app: Scheduler):
    hand_over = act("hand-over", when={"days": 2, "after": "due"}, escalate={"to": "collections", "note": "call them"})
    await accept(app, hand_over, step("later", when={"days": 3, "after": "due"}))

    await walk(app, 15)

    assert await rows(app) == ["hand-over 1 escalated", "later 1 queued"]
    assert await told(app, "invoice.escalated") == ["'hand-over' hands the invoice to collections: call them."]
    await replan(app)
    assert [row for row in await rows(app) if row.startswith("hand-over")] == ["hand-over 1 escalated"]


async def test_a_stop_ends_the_follow_up_also_inside_a_hold_and_after_a_new_plan(app: Scheduler):
    calls = step("calls", when={"days": 1, "after": "due"}, repeat={"every": 2, "times": 50})
    end = act("enough", when={"days": 6, "after": "due"}, stop=True)
    await accept(app, calls, end)
    await walk(app, 13)
    await app.http.post("/v1/invoices/INV-1/hold", json={"reason": "on holiday"})

    await walk(app, 6)

    assert await rows(app) == [  # the first two were still queued: nobody sends here
        "calls 1 stopped", "enough 1 stopped", "calls 2 stopped", "calls 3 hold", "calls 4 stopped"
    ]  # fmt: skip
    assert await told(app, "invoice.stopped") == ["'enough' ended the follow-up; nothing more goes out by itself."]
    await replan(app)
    assert [row for row in await rows(app) if "pending" in row or "waiting" in row] == []


async def test_a_stop_takes_what_became_due_beside_it(app: Scheduler):
    both = {"days": 6, "after": "due"}
    await accept(app, step("last", when=both), act("enough", when=both, stop=True))

    await walk(app, 16)

    assert await rows(app) == ["last 1 stopped", "enough 1 stopped"]
    assert app.published == []


async def test_a_stop_with_a_condition_ends_only_what_it_means(app: Scheduler):
    end = act("small", when={"days": 1, "after": "due"}, stop=True, only_if="invoice.open_amount < 10.0")
    await accept(app, end, step("later", when={"days": 3, "after": "due"}))

    await walk(app, 15)

    assert await rows(app) == ["small 1 condition", "later 1 queued"]


async def test_a_broken_promise_has_its_own_message_each_time(app: Scheduler):
    await accept(app, step("broken", when={"on": "broken_promise"}))
    for _ in range(2):
        await promise(app)
        await walk(app, 3)

    assert await rows(app) == ["broken 1 queued", "broken 2 queued", "broken 3 waiting"]


async def test_a_broken_promise_is_answered_at_nine_of_the_next_day(app: Scheduler):
    await accept(app, step("broken", when={"on": "broken_promise"}))
    await promise(app)
    await app.ahead("36 hours 5 minutes")  # five past midnight, its day is over
    await keep_house(app.db, 100)
    await retime_late(app.db, FlowVersions(), 100)

    [row] = await app.fetch(
        "SELECT due_at AT TIME ZONE 'Europe/Madrid' AS local, (business_now() AT TIME ZONE 'Europe/Madrid')::date AS today "
        "FROM reminder WHERE state = 'pending'"
    )
    assert (row["local"].date(), f"{row['local']:%H:%M}") == (row["today"], "09:00")


async def test_a_condition_knows_what_was_sent_and_how_it_ended(app: Scheduler):
    patient = step(
        "patient", when={"days": 1, "after": "due"}, only_if="history.sent == 0 && history.last_outcome == ''"
    )
    hard = step("hard", when={"days": 2, "after": "due"}, only_if="history.sent > 3")
    await accept(app, patient, hard)

    await walk(app, 14)

    assert await rows(app) == ["patient 1 queued", "hard 1 condition"]


async def test_what_follows_the_issue_or_the_payment_later_goes_on_its_own_day(app: Scheduler):
    asked = step("arrived", when={"days": 3, "after": "issue", "at": "11:00"})
    thanks = step("thanks", when={"days": 2, "after": "payment"}, requires_open=False)
    body = await accept(app, asked, thanks)
    day = await app.value("SELECT (business_now() AT TIME ZONE 'Europe/Madrid')::date + 3")
    found = await app.value("SELECT (due_at AT TIME ZONE 'Europe/Madrid')::text FROM reminder WHERE step = 'arrived'")

    assert found == f"{day} 11:00:00"
    assert [row["state"] for row in body["reminders"]] == ["pending", "waiting"]


async def promise(app: Scheduler) -> None:
    """To pay until tomorrow."""
    tomorrow = "(date_trunc('day', business_now() AT TIME ZONE 'Europe/Madrid') + interval '2 days') AT TIME ZONE 'Europe/Madrid'"
    await app.value(
        f"SELECT place_promise(1, ARRAY[{tomorrow}], ARRAY[NULL]::numeric[], 'promise', 'clerk', '0 s', NULL)"
    )


async def replan(app: Scheduler) -> None:
    async with app.db.transaction() as tx:
        await plan_anew(tx, [1], FlowVersions())
