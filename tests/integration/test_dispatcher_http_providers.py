"""APIs as operators describe them: through PUT, over the real queue and ledger, to receipts."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from shared.flow import standard
from tests import factories
from tests.doubles.json_api import JsonApi, json_api
from tests.integration.dispatcher_running import Dispatcher, running

PATH = "/v1/channels/http/providers"
SECRET = "whsec_" + base64.b64encode(b"the secret that signs our calls.").decode()
HOOK = "https://hooks.customer.example/ana"


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path, channels=()) as made:
        yield made


@pytest.fixture
async def api() -> AsyncIterator[JsonApi]:
    async with json_api(202, {"id": "msg-1"}) as made:
        yield made


def described(url: str, **more: Any) -> dict[str, Any]:
    refusals = {"invalid_address": "error == 'nobody'"}
    body = {"to": "{{ address }}", "text": "{{ text }}", "report": "{{ callback_url }}"}
    return {"url": url, "body": body, "message_id": "id", "refusals": refusals, **more}


async def due(dispatcher: Dispatcher) -> int:
    """A reminder whose step goes over http alone, to a customer with a web address."""
    made, queued = await dispatcher.due("overdue", email=False)
    spec = standard().to_dict()
    for step in spec["steps"]:
        step["channels"] = ["http"]
    await dispatcher.owner.execute("UPDATE flow_version SET spec = $1 WHERE id = $2", spec, made.flow_version_id)
    await factories.contact_point(dispatcher.owner, made.customer_id, "url", HOOK)
    return queued


def signed(body: dict[str, Any]) -> dict[str, Any]:
    now, content = datetime.now(UTC), json.dumps(body)
    return {
        "content": content,
        "headers": {
            "webhook-id": "r1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign("r1", now, content),
            "content-type": "application/json",
        },
    }


async def test_a_described_api_carries_reminders_at_once_and_reports_about_them(
    dispatcher: Dispatcher, api: JsonApi
) -> None:
    answer = await dispatcher.http.put(
        f"{PATH}/acme", json=described(api.url, price="0.02", receipts={"secrets": [SECRET]})
    )
    assert answer.status_code == 201, answer.text

    queued = await due(dispatcher)
    await dispatcher.send(queued)

    assert await dispatcher.state(queued) == ("accepted", None)
    [request] = api.requests
    assert request.json["to"] == HOOK
    assert request.json["report"] == f"https://pay.example.com/v1/receipts/acme?attempt={queued}.1"
    row = await dispatcher.owner.fetchrow("SELECT channel, provider, provider_ref, cost FROM attempt")
    assert [str(value) for value in row] == ["http", "acme", "msg-1", "0.0200"]

    report = {"data": {"attempt_id": f"{queued}.1", "status": "delivered"}}
    assert (await dispatcher.http.post("/v1/receipts/acme", **signed(report))).status_code == 204
    assert (await dispatcher.state(queued))[0] == "delivered"


async def test_an_unsigned_receipt_changes_nothing_and_an_unknown_attempt_is_taken(
    dispatcher: Dispatcher, api: JsonApi
) -> None:
    await dispatcher.http.put(f"{PATH}/acme", json=described(api.url, receipts={"secrets": [SECRET]}))
    queued = await due(dispatcher)
    await dispatcher.send(queued)

    report = {"data": {"attempt_id": f"{queued}.1", "status": "delivered"}}
    forged = await dispatcher.http.post("/v1/receipts/acme", json=report)
    assert forged.status_code == 401
    assert await dispatcher.state(queued) == ("accepted", None)

    unknown = signed({"data": {"attempt_id": "999999.1", "status": "delivered"}})
    assert (await dispatcher.http.post("/v1/receipts/acme", **unknown)).status_code == 204
    broken = {**signed({}), "content": b"{"}
    broken["headers"]["webhook-signature"] = Webhook(SECRET).sign("r1", datetime.now(UTC), "{")
    assert (await dispatcher.http.post("/v1/receipts/acme", **broken)).status_code == 400


async def test_a_refused_address_is_barred_with_what_the_api_said(dispatcher: Dispatcher, api: JsonApi) -> None:
    await dispatcher.http.put(f"{PATH}/acme", json=described(api.url))
    api.answer(422, {"error": "nobody"})
    queued = await due(dispatcher)
    await dispatcher.send(queued)

    assert await dispatcher.state(queued) == ("failed", "no_channel_left")
    assert await dispatcher.suppressed() == [("http", "invalid")]


async def test_a_changed_description_is_what_the_next_reminder_goes_by(dispatcher: Dispatcher, api: JsonApi) -> None:
    first = await dispatcher.http.put(f"{PATH}/acme", json=described(f"{api.url}/one"))
    second = await dispatcher.http.put(f"{PATH}/acme", json=described(f"{api.url}/two"))
    assert (first.status_code, second.status_code) == (201, 200)
    await dispatcher.send(await due(dispatcher))
    assert ["/two"] == [request.path for request in api.requests]

    assert (await dispatcher.http.delete(f"{PATH}/acme")).status_code == 204
    assert (await dispatcher.http.get(f"{PATH}/acme")).status_code == 404
    assert (await dispatcher.http.delete(f"{PATH}/acme")).status_code == 404
    queued = await due(dispatcher)
    await dispatcher.send(queued)
    assert await dispatcher.state(queued) == ("failed", "no_provider")


async def test_what_another_process_describes_is_heard_within_seconds(dispatcher: Dispatcher, api: JsonApi) -> None:
    config = described(api.url)
    later = {**config, "a field of a later version": 1}
    await dispatcher.owner.execute("INSERT INTO http_api (name, config) VALUES ('later', $1)", later)
    await dispatcher.owner.execute("INSERT INTO http_api (name, config) VALUES ('other', $1)", config)
    await dispatcher.until(
        "SELECT EXISTS (SELECT FROM provider WHERE (channel, name) = ('http', 'other'))", within=90.0
    )
    queued = await due(dispatcher)
    await dispatcher.send(queued)
    assert await dispatcher.state(queued) == ("accepted", None)


async def test_secrets_are_never_shown(dispatcher: Dispatcher, api: JsonApi) -> None:
    for auth, shown in (
        ({"kind": "bearer", "token": "hunter2"}, {"kind": "bearer"}),
        ({"kind": "basic", "username": "u", "password": "hunter2"}, {"kind": "basic", "username": "u"}),
        ({"kind": "header", "name": "X-Key", "value": "hunter2"}, {"kind": "header", "name": "X-Key"}),
        ({"kind": "standard_webhook", "secret": SECRET}, {"kind": "standard_webhook"}),
    ):
        body = described(api.url, auth=auth, receipts={"secrets": [SECRET]})
        put = await dispatcher.http.put(f"{PATH}/acme", json=body)
        assert put.json()["auth"] == shown
        assert put.json()["receipts"]["secrets"] == 1
        for answer in (put, await dispatcher.http.get(f"{PATH}/acme"), await dispatcher.http.get(PATH)):
            assert answer.is_success
            assert "hunter2" not in answer.text
            assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("name", "changes", "status", "pointer"),
    [
        ("acme", {"url": "https://10.0.0.1/send"}, 422, "/url"),
        ("acme", {"url": "https://169.254.169.254/latest/"}, 422, "/url"),
        ("acme", {"url": "https://0x7f000001/"}, 422, "/url"),
        ("acme", {"url": "https://[::ffff:10.0.0.1]/"}, 422, "/url"),
        ("acme", {"url": "http://8.8.8.8/"}, 422, "/url"),
        ("acme", {"url": "https://api.example.com/{{ nobody }}"}, 422, "/url"),
        ("acme", {"body": {"to": "{% for"}}, 422, "/body"),
        ("acme", {"auth": {"kind": "bearer", "token": "a b"}}, 422, "/auth/token"),
        ("acme", {"auth": {"kind": "magic"}}, 422, "/auth/kind"),
        ("acme", {"success": {"rule": "a ||"}}, 422, "/success/rule"),
        ("acme", {"nick": 1}, 422, "/nick"),
        ("postmark", {}, 409, None),
        ("Acme!", {}, 422, ""),
    ],
)  # fmt: skip
async def test_a_wrong_description_is_refused_at_its_place(
    dispatcher: Dispatcher, name: str, changes: dict[str, Any], status: int, pointer: str | None
) -> None:
    answer = await dispatcher.http.put(f"{PATH}/{name}", json=described("https://8.8.8.8/send") | changes)

    assert answer.status_code == status, answer.text
    if pointer is not None:
        assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert await dispatcher.owner.fetchval("SELECT count(*) FROM http_api") == 0


async def test_without_the_scope_nobody_sees_or_sets_any(dispatcher: Dispatcher) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await dispatcher.http.request(method, f"{PATH}/acme", headers={"Authorization": "Bearer nobody"})
        assert answer.status_code == 401


async def test_a_reminder_waits_while_the_described_apis_are_not_known_yet(
    database_dsn: str, tmp_path: Path, api: JsonApi
) -> None:
    async with running(database_dsn, tmp_path, channels=()) as first:
        assert (await first.http.put(f"{PATH}/acme", json=described(api.url))).status_code == 201
        await first.owner.execute("ALTER TABLE http_api RENAME TO http_api_away")
        queued = await due(first)
    async with running(database_dsn, tmp_path, channels=()) as second:
        await second.send(queued)
        assert (await second.state(queued), api.requests) == (("pending", None), [])

        await second.owner.execute("ALTER TABLE http_api_away RENAME TO http_api")
        async with asyncio.timeout(30):
            while (await second.state(queued))[0] != "accepted":
                await second.queue_again(queued)
                await second.send(queued)
        assert len(api.requests) == 1
