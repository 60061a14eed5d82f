"""Running invoices move to another version of their flow, after somebody saw what that changes for whom."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.scheduler_app import Scheduler, scheduler


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with scheduler(database_dsn, tmp_path) as running:
        yield running


def step(step_id: str, days: int, message: str = "overdue", **more: Any) -> dict[str, Any]:
    return {"id": step_id, "when": {"days": days, "after": "due"}, "message": message, "channels": ["email"], **more}


async def put(app: Scheduler, *steps: dict[str, Any]) -> int:
    answer = await app.http.put("/v1/flows/mine", json={"steps": list(steps)})
    assert answer.status_code == 201, answer.text
    version: int = answer.json()["version"]
    return version


async def migrate(app: Scheduler, **body: Any) -> dict[str, Any]:
    answer = await app.http.post("/v1/flows/mine/migrate", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ahead(app: Scheduler, invoice_id: str = "INV-1") -> dict[str, str]:
    rows = (await app.read(invoice_id))["reminders"]
    return {row["step"]: row["due_at"][:10] for row in rows if row["state"] == "pending"}


async def settled(app: Scheduler) -> None:
    while await app.value("SELECT count(*) FROM invoice WHERE replan_at IS NOT NULL"):
        await asyncio.sleep(0.02)


async def test_a_preview_says_what_would_change_for_whom_and_changes_nothing(app: Scheduler):
    await put(app, step("a", 1), step("b", 5), step("c", 9))
    await app.accept(flow="mine")
    await app.accept(flow="mine", invoice_id="INV-2", due_date="2030-04-15")
    await put(app, step("a", 1), step("b", 7), step("d", 20))

    found = await migrate(app)

    assert (found["to_version"], found["applied"], found["invoices"], found["by_version"]) == (2, False, 2, {"1": 2})
    assert [(one["invoice_id"], one["customer_id"], one["from_version"]) for one in found["items"]] == [
        ("INV-1", "C-1", 1), ("INV-2", "C-1", 1),
    ]  # fmt: skip
    changes = [(one["change"], one["step"], one["due_at"] and one["due_at"][:10], one["new_due_at"] and one["new_due_at"][:10])
               for one in found["items"][0]["changes"]]  # fmt: skip
    assert changes == [
        ("moved", "b", "2030-03-20", "2030-03-22"), ("removed", "c", "2030-03-24", None), ("added", "d", None, "2030-04-04"),
    ]  # fmt: skip
    assert await ahead(app) == {"a": "2030-03-16", "b": "2030-03-20", "c": "2030-03-24"}
    assert (await app.read())["flow_version"] == 1


async def test_what_was_foreseen_is_what_happens(app: Scheduler):
    await put(app, step("a", 1), step("b", 5), step("c", 9))
    await app.accept(flow="mine")
    await put(app, step("a", 1), step("b", 7), step("d", 20))
    foreseen = {one["step"]: one["new_due_at"] for one in (await migrate(app))["items"][0]["changes"]}

    found = await migrate(app, apply=True)
    await settled(app)

    assert (found["applied"], found["invoices"], found["items"]) == (True, 1, [])
    body = await app.read()
    assert body["flow_version"] == 2
    assert await ahead(app) == {"a": "2030-03-16", "b": foreseen["b"][:10], "d": foreseen["d"][:10]}
    lines = [item["text"] for item in (await app.http.get("/v1/invoices/INV-1/timeline")).json()["items"]]
    assert "The invoice follows version 2 of flow 'mine' now; until then it was version 1." in lines
    assert (await migrate(app, apply=True))["invoices"] == 0


async def test_what_went_out_does_not_go_again_under_the_new_version(app: Scheduler):
    await put(app, step("a", 1), step("b", 5))
    await app.accept(flow="mine")
    await app.fetch("UPDATE reminder SET state = 'accepted', fence = 1 WHERE step = 'a'")
    await app.fetch(
        "INSERT INTO attempt (reminder_id, fence, invoice_id, channel, contact_point_id, provider, state, lease) "
        "SELECT r.id, 1, r.invoice_id, 'email', 1, 'smtp', 'accepted', now() FROM reminder r WHERE step = 'a'"
    )
    await put(app, step("a", 2), step("b", 5))

    assert (await migrate(app))["items"][0]["changes"] == []
    await migrate(app, apply=True)
    await settled(app)

    rows = [(row["step"], row["state"]) for row in (await app.read())["reminders"]]
    assert rows.count(("a", "accepted")) == 1
    assert ("a", "pending") not in rows


async def test_paid_and_closed_invoices_and_other_flows_stay_where_they_are(app: Scheduler):
    await put(app, step("a", 1))
    for number in (1, 2, 3):
        await app.accept(flow="mine", invoice_id=f"INV-{number}")
    await app.accept(invoice_id="INV-4")
    await app.http.post("/v1/invoices/INV-2/void")
    await app.fetch("UPDATE invoice SET settled_at = now(), settled_n = 1 WHERE ref = 'INV-3'")
    await put(app, step("a", 2))

    assert (await migrate(app, apply=True))["invoices"] == 1
    assert [(await app.read(f"INV-{number}"))["flow_version"] for number in (1, 2, 3, 4)] == [2, 1, 1, 1]


async def test_one_can_go_back_and_move_the_invoices_of_one_version_only(app: Scheduler):
    await put(app, step("a", 1))
    await app.accept(flow="mine")
    await put(app, step("a", 2))
    await app.accept(flow="mine", invoice_id="INV-2")
    await put(app, step("a", 3))

    assert (await migrate(app, only_from=2))["by_version"] == {"2": 1}
    assert (await migrate(app, to=1))["by_version"] == {"2": 1}
    first = (await app.http.post("/v1/flows/mine/migrate?limit=1", json={})).json()
    rest = (await app.http.post(f"/v1/flows/mine/migrate?limit=1&cursor={first['next_cursor']}", json={})).json()
    assert [one["items"][0]["invoice_id"] for one in (first, rest)] == ["INV-1", "INV-2"]
    assert rest["next_cursor"] is None


async def test_a_version_that_does_not_exist_is_refused(app: Scheduler):
    await put(app, step("a", 1))
    beyond = [({"to": 2**31}, "/to"), ({"only_from": 2**40}, "/only_from")]
    for body, pointer in (
        ({"to": 7}, "/to"),
        ({"to": 0}, "/to"),
        ({"apply": "yes"}, "/apply"),
        ({"x": 1}, "/x"),
        *beyond,
    ):
        answer = await app.http.post("/v1/flows/mine/migrate", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert (await app.http.post("/v1/flows/nobody/migrate", json={})).status_code == 404
