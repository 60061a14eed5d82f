"""Browsers that customers subscribe, and reminders that reach them over the real queue and ledger."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import http_ece
import pytest

from shared.flow import standard
from shared.push import Subscription
from tests import factories
from tests.doubles.json_api import JsonApi
from tests.doubles.push_services import BROWSER_KEY, BROWSER_POINT, BROWSER_SECRET, TOKEN, push, push_api
from tests.integration.dispatcher_running import Dispatcher, running


def text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def browser(endpoint: str) -> dict[str, Any]:
    keys = {"p256dh": text(BROWSER_POINT), "auth": text(BROWSER_SECRET)}
    return {"endpoint": endpoint, "expirationTime": None, "keys": keys}


@pytest.fixture
async def api() -> AsyncIterator[JsonApi]:
    async with push_api() as made:
        yield made


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path, api: JsonApi) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path, channels=("email",), further=[push(api.url)]) as made:
        yield made


async def due(dispatcher: Dispatcher) -> tuple[factories.Made, int, str]:
    """A reminder over push, then email; and the token of the invoice's pay link."""
    made, queued = await dispatcher.due("overdue")
    spec = standard().to_dict()
    for step in spec["steps"]:
        step["channels"] = ["push", "email"]
    await dispatcher.owner.execute("UPDATE flow_version SET spec = $1 WHERE id = $2", spec, made.flow_version_id)
    token = await dispatcher.owner.fetchval("SELECT token FROM invoice WHERE id = $1", made.id)
    return made, queued, token


async def test_a_browser_that_the_customer_subscribes_gets_the_next_reminder(
    dispatcher: Dispatcher, api: JsonApi
) -> None:
    made, queued, token = await due(dispatcher)
    page = await dispatcher.http.get(f"/push/{token}")
    assert (page.status_code, page.text.count(token)) == (200, 1)
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert await dispatcher.owner.fetchval("SELECT count(*) FROM contact_point WHERE kind = 'push'") == 0

    given = browser(f"{api.url}/browser/1")
    first = await dispatcher.http.post(f"/push/{token}", json=given)
    again = await dispatcher.http.post(f"/push/{token}", json=given)
    assert (first.status_code, again.status_code) == (201, 200)
    address = str(Subscription(f"{api.url}/browser/1", BROWSER_POINT, BROWSER_SECRET))
    assert await dispatcher.owner.fetchval("SELECT address FROM contact_point WHERE kind = 'push'") == address
    [told] = await dispatcher.owner.fetch("SELECT data FROM event WHERE kind = 'contact.subscribed'")
    assert told["data"]["link_of"] == made.ref

    await dispatcher.send(queued)
    assert await dispatcher.attempts(queued) == [("push", "accepted")]
    [request] = api.requests
    shown = json.loads(
        http_ece.decrypt(request.body, private_key=BROWSER_KEY, auth_secret=BROWSER_SECRET, version="aes128gcm")
    )
    assert shown["url"] == f"https://pay.example.com/pay/{token}"


async def test_the_deployment_knows_that_browsers_can_be_told_something(dispatcher: Dispatcher) -> None:
    rows = await dispatcher.owner.fetch("SELECT name, browsers FROM provider ORDER BY name")
    assert [tuple(row) for row in rows] == [("fcm_web", True), ("smtp", False)]


async def test_a_browser_that_is_gone_is_barred_and_the_mail_goes(dispatcher: Dispatcher, api: JsonApi) -> None:
    _, queued, token = await due(dispatcher)
    await dispatcher.http.post(f"/push/{token}", json=browser(f"{api.url}/browser/1"))
    api.answer(410)
    await dispatcher.send(queued)
    await dispatcher.queue_again(queued)
    await dispatcher.send(queued)

    assert await dispatcher.attempts(queued) == [("push", "rejected"), ("email", "accepted")]
    assert await dispatcher.suppressed() == [("push", "invalid")]

    await dispatcher.http.post(f"/push/{token}", json=browser(f"{api.url}/browser/1"))  # it asks anew
    assert await dispatcher.suppressed() == []


async def test_what_a_browsers_service_says_holds_up_nobody(dispatcher: Dispatcher, api: JsonApi) -> None:
    """Whoever holds a pay link names the service; no database keeps U+0000."""
    _, queued, token = await due(dispatcher)
    await dispatcher.http.post(f"/push/{token}", json=browser(f"{api.url}/browser/1"))
    api.answer(400, b"no\0way")
    await dispatcher.send(queued)
    await dispatcher.queue_again(queued)
    await dispatcher.send(queued)

    assert await dispatcher.attempts(queued) == [("push", "rejected"), ("email", "accepted")]


async def test_an_apps_token_that_is_unregistered_is_barred(dispatcher: Dispatcher, api: JsonApi) -> None:
    made, queued, _ = await due(dispatcher)
    await factories.contact_point(dispatcher.owner, made.customer_id, "push", TOKEN)
    unregistered = {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "UNREGISTERED"}
    api.answer(200, {"access_token": "a", "expires_in": 3600})
    api.answer(404, {"error": {"details": [unregistered]}})
    await dispatcher.send(queued)

    assert await dispatcher.suppressed() == [("push", "invalid")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (browser("https://10.0.0.1/x"), 422),
        (browser("https://169.254.169.254/x"), 422),
        (browser("ftp://push.example/x"), 422),
        ({"endpoint": "https://push.example/x"}, 422),
        ({**browser("https://push.example/x"), "keys": {"p256dh": "x", "auth": "y"}}, 422),
        ([], 422),
    ],
)
async def test_what_cannot_be_sent_to_is_not_kept(dispatcher: Dispatcher, body: Any, status: int) -> None:
    _, _, token = await due(dispatcher)
    answer = await dispatcher.http.post(f"/push/{token}", json=body)
    assert answer.status_code == status, answer.text
    assert await dispatcher.owner.fetchval("SELECT count(*) FROM contact_point WHERE kind = 'push'") == 0


async def test_what_the_operator_allows_for_itself_is_not_open_to_customers(
    database_dsn: str, tmp_path: Path, api: JsonApi
) -> None:
    async with running(database_dsn, tmp_path, further=[push(api.url)], browsers="") as dispatcher:
        _, _, token = await due(dispatcher)
        answer = await dispatcher.http.post(f"/push/{token}", json=browser(f"{api.url}/x"))
    assert (answer.status_code, api.requests) == (422, [])


async def test_only_who_holds_a_pay_link_subscribes(dispatcher: Dispatcher, api: JsonApi) -> None:
    unknown = "a" * 22
    assert (await dispatcher.http.get(f"/push/{unknown}")).status_code == 404
    assert (await dispatcher.http.post(f"/push/{unknown}", json=browser(f"{api.url}/x"))).status_code == 404
    made, _, token = await due(dispatcher)
    await dispatcher.owner.execute("UPDATE invoice SET token_until = now() - interval '1 day' WHERE id = $1", made.id)
    assert (await dispatcher.http.post(f"/push/{token}", json=browser(f"{api.url}/x"))).status_code == 404


async def test_scripts_and_key_are_served_to_the_page(dispatcher: Dispatcher) -> None:
    for name in ("subscribe.js", "worker.js"):
        script = await dispatcher.http.get(f"/push/{name}")
        assert script.headers["Content-Type"].startswith("text/javascript")
    key = (await dispatcher.http.get("/push/key")).json()["public_key"]
    assert base64.urlsafe_b64decode(key + "=")[0] == 4


async def test_without_a_vapid_key_nothing_is_offered(database_dsn: str, tmp_path: Path) -> None:
    async with running(database_dsn, tmp_path, channels=("email",)) as made:
        _, _, token = await due(made)
        assert (await made.http.get("/push/key")).status_code == 404
        assert (await made.http.get(f"/push/{token}")).status_code == 404
        assert (await made.http.post(f"/push/{token}", json=browser("https://push.example/x"))).status_code == 404
