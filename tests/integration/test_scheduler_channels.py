"""What the scheduler says of channels: a customer's order and its reason, decisions behind attempts, channels that are
new."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.scheduler.handlers.learn_channels import learn_channels
from tests import factories
from tests.integration.scheduler_app import Scheduler, scheduler

POINTS = [{"kind": "email", "address": "ana@example.com"}, {"kind": "phone", "address": "+4915112345678"}]
PROVIDERS = """
INSERT INTO provider (channel, name, own_price) VALUES ('email', 'smtp', 0.0001), ('sms', 'twilio', 0.05), ('voice', 'twilio', 0.1)
"""
DECIDED = '{"by":"chance","ways":[["sms","twilio","0.05",0.62],["email","smtp","0.0001",0.04]],"out":[["push","no provider"]]}'


@pytest.fixture
async def app(database_dsn: str, tmp_path: Path) -> AsyncIterator[Scheduler]:
    async with scheduler(database_dsn, tmp_path) as running:
        await running.value("UPDATE channel_fold SET upto = 'infinity'")
        for name, kind in (("email", "email"), ("sms", "phone"), ("voice", "phone"), ("push", "push")):
            await running.value(
                "INSERT INTO channel (name, reaches, discreet) VALUES ($1, $2, $1 = 'email')", name, kind
            )
        await running.value(PROVIDERS)
        yield running


async def customer(app: Scheduler, **changes: Any) -> None:
    body = {"name": "Ana", "country": "DE", "contact_points": POINTS, **changes}
    assert (await app.http.put("/v1/customers/C-1", json=body)).is_success


async def channels(app: Scheduler) -> dict[str, Any]:
    body: dict[str, Any] = (await app.http.get("/v1/customers/C-1/channels")).raise_for_status().json()
    return body


async def learnt(app: Scheduler, channel: str, *counts: float) -> None:
    await app.value(
        "INSERT INTO channel_stat SELECT id, $1, 9, $2, $3, $4, $5 FROM customer WHERE ref = 'C-1'", channel, *counts
    )


async def test_without_experience_the_order_is_that_of_cost_and_says_so(app: Scheduler) -> None:
    await customer(app)
    found = await channels(app)
    assert ["email", "sms", "voice"] == [item["channel"] for item in found["items"]]
    assert 1 == len({item["chance"] for item in found["items"]})
    assert "the cheapest" in found["items"][0]["reason"]
    assert "a***@example.com" == found["items"][0]["address_masked"]
    assert "EUR" == found["currency"]


async def test_experience_changes_the_order_and_the_reason_shows_the_sum(app: Scheduler) -> None:
    await customer(app)
    await learnt(app, "email", 9, 9, 9, 0)
    await learnt(app, "sms", 3, 3, 3, 3)
    found = await channels(app)
    first = found["items"][0]
    assert ["sms", "email", "voice"] == [item["channel"] for item in found["items"]]
    assert first["reason"].startswith("not the cheapest, but the least for each success (0.05 and 0.01 for the contact")
    assert first["per_success"] < found["items"][1]["per_success"]
    assert 3 == first["own"]["moved"]


async def test_preference_comes_before_experience_and_what_is_barred_is_left_out(app: Scheduler) -> None:
    await customer(app, preferred_channel="voice")
    await learnt(app, "voice", 9, 0, 0, 0)
    await app.value("INSERT INTO suppression (contact_point_id, channel, reason)"
                    " SELECT id, 'sms', 'opted_out' FROM contact_point WHERE kind = 'phone'")  # fmt: skip
    found = await channels(app)
    assert ["voice", "email"] == [item["channel"] for item in found["items"]]
    assert "the customer prefers call" == found["items"][0]["reason"]
    left = [item for item in found["left_out"] if item["channel"] == "sms"]
    assert [("sms", "opted_out", "+4*****5678")] == [
        (one["channel"], one["reason"], one["address_masked"]) for one in left
    ]


async def test_nobody_is_a_404_and_asks_for_a_key(app: Scheduler) -> None:
    assert 404 == (await app.http.get("/v1/customers/nobody/channels")).status_code
    assert 401 == (await app.http.get("/v1/customers/nobody/channels", headers={"Authorization": ""})).status_code


WORDING = "invoice/sms/pt-BR@3"


async def test_the_decision_behind_an_attempt_is_in_the_invoice_and_on_the_timeline(app: Scheduler) -> None:
    await app.accept()
    async with app.owner.connection() as owner:
        row = await owner.fetchrow(
            "SELECT r.id, r.invoice_id, p.id FROM reminder r JOIN invoice i ON i.id = r.invoice_id"
            " JOIN contact_point p ON p.customer_id = i.customer_id WHERE i.ref = 'INV-1' ORDER BY r.id LIMIT 1"
        )
        assert row is not None
        reminder, invoice, point = row
        await owner.execute("UPDATE reminder SET send_until = now() + interval '1 day' WHERE id = $1", reminder)
        await factories.attempt(
            owner, reminder, point, "accepted", channel="sms", provider="twilio", why=DECIDED, wording=WORDING
        )
        await owner.execute(
            "INSERT INTO event (invoice_id, reminder_id, kind, data) VALUES ($1, $2, 'attempt.accepted', $3)",
            invoice,
            reminder,
            {"channel": "sms", "fence": 1},
        )
    why = "SMS moves this customer more than email for what it costs (SMS 62%, email 4%)"
    [attempt] = [one for shown in (await app.read())["reminders"] for one in shown["attempts"]]
    assert f"{why}; left out push: no provider" == attempt["decision"]
    items = (await app.http.get("/v1/invoices/INV-1/timeline")).json()["items"]
    [said] = [item for item in items if item["kind"] == "attempt.accepted"]
    assert said["text"].endswith(f": {why} [flow 'standard', version 1; text 'invoice' in pt-BR, version 3].")
    assert (attempt["decision"], WORDING) == (said["data"]["decision"], said["data"]["wording"])
    listed = (await app.http.get("/v1/reminders?limit=100")).json()["items"]
    assert [WORDING] == [one["wording"] for shown in listed for one in shown["attempts"]]


async def test_a_channel_that_a_dispatcher_brought_may_be_named_in_flows_and_by_customers(app: Scheduler) -> None:
    flow = {"steps": [{"id": "a", "when": {"days": 1, "after": "due"}, "message": "overdue", "channels": ["telex"]}]}
    points = [{"kind": "phone", "address": "+4915112345678", "channels": ["telex"]}]
    person = {"name": "Ana", "contact_points": points, "preferred_channel": "telex"}
    refused = await app.http.put("/v1/flows/telexes", json={"name": "telexes", **flow})
    assert 422 == refused.status_code
    assert 422 == (await app.http.put("/v1/customers/C-9", json=person)).status_code

    await app.value("INSERT INTO channel (name, reaches) VALUES ('telex', 'phone')")
    await app.value("INSERT INTO provider (channel, name, own_price) VALUES ('telex', 'acme', 0.02)")
    async with app.db.connection() as connection:
        await learn_channels(connection)

    answer = await app.http.put("/v1/flows/telexes", json={"name": "telexes", **flow})
    assert 201 == answer.status_code, answer.text
    assert (await app.http.put("/v1/customers/C-9", json=person)).is_success
    shown = (await app.http.get("/v1/customers/C-9/channels")).json()
    assert [("telex", "0.02")] == [(item["channel"], item["cost"]) for item in shown["items"]]
