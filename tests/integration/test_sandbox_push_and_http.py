"""The doubles of push services and of any API: what they refuse, what they keep, what they report."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request, Response
from standardwebhooks import Webhook

from services.sandbox.twilio import Pace
from tests.servers.sandbox import PUBLIC_URL, Running, running_sandbox

TOKEN = "fcm-token-of-a-handset:APA91bexample"
MESSAGE = {"message": {"token": TOKEN, "notification": {"title": "t", "body": "b"}}}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_sandbox(tmp_path, pace=Pace(callback=0.005, delay=0.2, hang=20)) as made:
        yield made


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=running.url, timeout=10) as made:
        yield made


async def test_nobody_pushes_without_a_grant_of_the_service_account(
    running: Running, client: httpx.AsyncClient
) -> None:
    send = "/sandbox/fcm/v1/projects/sandbox/messages:send"
    assert (await client.post("/sandbox/fcm/token", data={"assertion": "made.up.grant"})).status_code == 400
    refused = await client.post(send, json=MESSAGE, headers={"Authorization": "Bearer made-up"})
    assert (refused.status_code, refused.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert await running.sandbox.store.messages("push") == []


async def test_a_browser_takes_only_what_is_signed_and_what_it_can_decrypt(
    running: Running, client: httpx.AsyncClient
) -> None:
    browser = (await client.post("/sandbox/browsers", json={"name": "ana"})).json()
    again = (await client.post("/sandbox/browsers", json={"name": "ana"})).json()
    assert browser == again
    assert len(base64.urlsafe_b64decode(browser["keys"]["p256dh"] + "=")) == 65
    assert (await client.post(browser["endpoint"], content=b"x", headers={"TTL": "60"})).status_code == 403
    forged = {"TTL": "60", "Authorization": "vapid t=a.b.c,k=AAAA"}
    assert (await client.post(browser["endpoint"], content=b"x", headers=forged)).status_code == 403
    assert await running.sandbox.store.messages("push") == []


async def test_an_api_takes_only_what_is_signed_and_reports_signed(running: Running, client: httpx.AsyncClient) -> None:
    reports = await listening(running)
    answer = await call(running, client, {"to": "https://hooks.sandbox.test/a", "text": "Hola", "attempt_id": "7.1"})
    assert answer.status_code == 202
    await until(lambda: running.sandbox.owes() == 0)
    assert [report["data"]["status"] for report in reports] == ["accepted", "delivered"]
    assert {report["data"]["attempt_id"] for report in reports} == {"7.1"}
    [message] = await running.sandbox.store.messages("http")
    assert (message.to, message.text, message.reminder_id) == ("https://hooks.sandbox.test/a", "Hola", 7)

    assert (await client.post("/sandbox/http/api", json={})).status_code == 401


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("double_callbacks", ["accepted", "accepted", "delivered", "delivered"]),
        ("reorder_callbacks", ["delivered", "accepted"]),
        ("no_callbacks", []),
    ],
)
async def test_reports_come_doubled_in_reverse_or_not_at_all(
    running: Running, client: httpx.AsyncClient, fault: str, expected: list[str]
) -> None:
    reports = await listening(running)
    await client.post("/sandbox/faults", json={"provider": "http", "fault": fault})
    await call(running, client, {"to": "x", "attempt_id": "7.1"})
    await until(lambda: running.sandbox.owes() == 0)
    assert [report["data"]["status"] for report in reports] == expected


@pytest.mark.parametrize(
    ("fault", "status", "kept"), [("too_many", 429, 0), ("server_error", 500, 0), ("accept_then_error", 500, 1)]
)
async def test_a_fault_that_was_ordered_meets_the_next_call(
    running: Running, client: httpx.AsyncClient, fault: str, status: int, kept: int
) -> None:
    await client.post("/sandbox/faults", json={"provider": "http", "fault": fault})
    assert (await call(running, client, {"to": "x"})).status_code == status
    assert len(await running.sandbox.store.messages("http")) == kept


async def listening(running: Running) -> list[Any]:
    """What is reported, once its signature was found good."""
    got: list[Any] = []

    async def take(request: Request) -> Response:
        got.append(Webhook(running.sandbox.http.reports).verify(await request.body(), dict(request.headers)))
        return Response(status_code=204)

    running.app.add_api_route("/v1/receipts/sandbox", take, methods=["POST"])
    return got


async def call(running: Running, client: httpx.AsyncClient, said: dict[str, Any]) -> httpx.Response:
    attempt = said.get("attempt_id", "7.1")
    body = json.dumps({**said, "callback_url": f"{PUBLIC_URL}/v1/receipts/sandbox?attempt={attempt}"})
    now = datetime.now(UTC)
    headers = {
        "webhook-id": attempt,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(running.sandbox.http.calls).sign(attempt, now, body),
        "idempotency-key": attempt,
    }
    return await client.post("/sandbox/http/api", content=body, headers=headers)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)
