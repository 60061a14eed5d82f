"""Push and http, each with each class of outcome, over the real queue and ledger: what becomes of the attempt, of the
reminder, of the address, and what it costs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.dispatcher.adapters.http_api import HttpChannel
from services.dispatcher.domain.http_api import HttpApi
from shared.flow import standard
from tests import factories
from tests.doubles.json_api import JsonApi, json_api
from tests.doubles.push_services import HOME, TOKEN, browser, push, push_api
from tests.integration.dispatcher_running import Dispatcher, running

Answer = tuple[int, Any]
FCM = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
HANG: Answer = (0, None)


def fcm(code: str) -> Any:
    return {"error": {"details": [{"@type": FCM, "errorCode": code}]}}


@asynccontextmanager
async def rig(name: str, seconds: float) -> AsyncIterator[tuple[JsonApi, Any, str, str]]:
    """(double, channel, kind of address, address)"""
    if name == "http":
        described: dict[str, Any] = {
            "body": {"to": "{{ address }}"},
            "refusals": {"invalid_address": "error == 'nobody'"},
            "timeout": seconds,
        }
        async with json_api(200, {"id": "m"}) as api:
            described |= {"url": api.url, "price": "0.02"}
            made = HttpChannel("acme", HttpApi.model_validate(described), HOME)
            yield api, made, "url", "https://hooks.example/ana"
        return
    async with push_api() as api:
        channel = push(api.url, price=Decimal("0.0003"), timeout=seconds)
        await channel.probe()  # which gets the access token
        api.requests.clear()
        yield api, channel, "push", TOKEN if name == "app" else browser(api.url)


OUTCOMES = [
    ("http", (200, {"id": "m"}), "accepted", "accepted", [], "0.0200"),
    ("http", (422, {"error": "nobody"}), "rejected", "failed", [("http", "invalid")], None),
    ("http", (410, None), "rejected", "failed", [("http", "invalid")], None),
    ("http", (400, None), "rejected", "failed", [], None),
    ("http", (429, None), "notsent", "pending", [], None),
    ("http", (401, None), "notsent", "pending", [], None),
    ("http", (500, None), "unknown", "uncertain", [], "0.0200"),
    ("http", HANG, "unknown", "uncertain", [], "0.0200"),
    ("app", (200, {"name": "m"}), "accepted", "accepted", [], "0.0003"),
    ("app", (404, fcm("UNREGISTERED")), "rejected", "failed", [("push", "invalid")], None),
    ("app", (400, fcm("INVALID_ARGUMENT")), "rejected", "failed", [], None),
    ("app", (429, fcm("QUOTA_EXCEEDED")), "notsent", "pending", [], None),
    ("app", (403, fcm("SENDER_ID_MISMATCH")), "notsent", "pending", [], None),
    ("app", (503, None), "unknown", "uncertain", [], "0.0003"),
    ("app", HANG, "unknown", "uncertain", [], "0.0003"),
    ("browser", (201, None), "accepted", "accepted", [], "0.0003"),
    ("browser", (410, None), "rejected", "failed", [("push", "invalid")], None),
    ("browser", (403, None), "rejected", "failed", [], None),
    ("browser", (429, None), "notsent", "pending", [], None),
    ("browser", (500, None), "unknown", "uncertain", [], "0.0003"),
]


@pytest.mark.parametrize(("name", "answer", "attempt", "reminder", "barred", "cost"), OUTCOMES)
async def test_each_class_of_outcome_has_its_consequence(
    database_dsn: str,
    tmp_path: Path,
    name: str,
    answer: Answer,
    attempt: str,
    reminder: str,
    barred: Any,
    cost: str | None,
) -> None:
    async with rig(name, 3.0 if answer is HANG else 15.0) as (api, channel, kind, address):
        api.hang = answer is HANG
        if answer is not HANG:
            api.answer(*answer)
        async with running(database_dsn, tmp_path, channels=(), further=[channel]) as dispatcher:
            queued = await due(dispatcher, channel.name, kind, address)
            await dispatcher.send(queued)

            row = await dispatcher.owner.fetchrow(
                "SELECT state, cost, provider FROM attempt WHERE reminder_id = $1", queued
            )
            assert (row["state"], row["provider"]) == (attempt, channel.provider)
            assert (await dispatcher.state(queued))[0] == reminder
            assert await dispatcher.suppressed() == barred
            assert len(api.requests) == 1
            if cost is not None:
                assert str(row["cost"]) == cost
            told = await dispatcher.owner.fetchval("SELECT count(*) FROM event WHERE reminder_id = $1", queued)
            assert told >= 1


async def due(dispatcher: Dispatcher, channel: str, kind: str, address: str) -> int:
    made, queued = await dispatcher.due("overdue", email=False)
    spec = standard().to_dict()
    for step in spec["steps"]:
        step["channels"] = [channel]
    await dispatcher.owner.execute("UPDATE flow_version SET spec = $1 WHERE id = $2", spec, made.flow_version_id)
    await factories.contact_point(dispatcher.owner, made.customer_id, kind, address)
    return queued
