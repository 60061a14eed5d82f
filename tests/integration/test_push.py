"""Push against doubles over real HTTP: what FCM and a browser's push service get, and how their answers are read."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import http_ece
import pytest
from google.auth import jwt
from py_vapid import Vapid02
from pydantic import SecretStr, ValidationError

from services.dispatcher.adapters.push import Push, PushConfig
from services.dispatcher.domain.outcomes import Accepted, Deferred, NotSent, Outcome, Rejected, SuppressReason, Unknown
from shared.content import Rendered
from shared.outgoing import Allowed, Guard
from tests.doubles.json_api import JsonApi
from tests.doubles.outgoing import closed_gate, facts, open_gate, outgoing
from tests.doubles.push_services import (
    BROWSER_KEY,
    BROWSER_SECRET,
    TOKEN,
    account,
    browser,
    push,
    push_api,
)

SEND = "/v1/projects/acme/messages:send"
FCM = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


@pytest.fixture
async def api() -> AsyncIterator[JsonApi]:
    async with push_api() as made:
        yield made


@pytest.fixture
async def channel(api: JsonApi) -> AsyncIterator[Push]:
    made = push(api.url)
    assert await made.probe()  # which gets the access token
    api.requests.clear()
    yield made
    await made.close()


async def test_an_app_gets_a_notification_that_opens_the_pay_page(channel: Push, api: JsonApi) -> None:
    outcome = await channel.send(outgoing(TOKEN, rendered=Rendered("Due today", "Hola\n")), open_gate())

    assert Accepted("projects/acme/messages/1", "201") == outcome
    [request] = api.requests
    assert (request.path, request.headers["authorization"]) == (SEND, "Bearer access")
    message = request.json["message"]
    assert message["token"] == TOKEN
    assert message["notification"] == {"title": "Due today", "body": "Hola"}
    assert message["data"]["url"] == message["webpush"]["fcm_options"]["link"] == outgoing(TOKEN).facts.pay_url
    assert message["data"]["attempt_id"] == "12.1"


async def test_the_access_token_is_asked_for_with_a_signed_grant_and_kept(api: JsonApi) -> None:
    channel = push(api.url)
    for _ in range(3):
        await channel.send(outgoing(TOKEN), open_gate())
    await channel.close()

    assert ["/token", SEND, SEND, SEND] == [request.path for request in api.requests]
    form = parse_qs(api.requests[0].body.decode())
    claims = jwt.decode(form["assertion"][0], verify=False)
    assert claims["aud"] == f"{api.url}/token"
    assert claims["iss"] == json.loads(account(api.url))["client_email"]
    assert 0 < claims["exp"] - claims["iat"] <= 3600


async def test_a_browser_gets_what_only_it_can_read_signed_with_our_key(channel: Push, api: JsonApi) -> None:
    to = browser(api.url)
    assert Accepted("https://push.example/message/1", "201") == await channel.send(outgoing(to), open_gate())

    [request] = api.requests
    assert request.path == urlsplit(to).path
    assert (request.headers["content-encoding"], request.headers["ttl"]) == ("aes128gcm", "86400")
    assert Vapid02.verify(request.headers["authorization"])
    shown = json.loads(
        http_ece.decrypt(request.body, private_key=BROWSER_KEY, auth_secret=BROWSER_SECRET, version="aes128gcm")
    )
    assert shown["url"] == outgoing(to).facts.pay_url
    assert (shown["title"], shown["body"]) == ("Su factura", "Hola\n.punto")
    assert b"Hola" not in request.body


def fcm_error(status: str, code: str | None, **more: Any) -> dict[str, Any]:
    details = [{"@type": FCM, "errorCode": code}] if code else []
    return {"error": {"status": status, "message": "said why", "details": [*details, *more.get("details", [])]}}


TOKEN_FIELD = {
    "@type": "type.googleapis.com/google.rpc.BadRequest",
    "fieldViolations": [{"field": "message.token", "description": "not a token"}],
}


@pytest.mark.parametrize(
    ("status", "body", "kind", "more"),
    [
        (404, fcm_error("NOT_FOUND", "UNREGISTERED"), Rejected, SuppressReason.INVALID),
        (
            400,
            fcm_error("INVALID_ARGUMENT", "INVALID_ARGUMENT", details=[TOKEN_FIELD]),
            Rejected,
            SuppressReason.INVALID,
        ),
        (400, fcm_error("INVALID_ARGUMENT", "INVALID_ARGUMENT"), Rejected, None),
        (404, fcm_error("NOT_FOUND", None), NotSent, True),
        (401, fcm_error("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), NotSent, True),
        (403, fcm_error("PERMISSION_DENIED", "SENDER_ID_MISMATCH"), NotSent, True),
        (429, fcm_error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), NotSent, False),
        (500, fcm_error("INTERNAL", "INTERNAL"), Unknown, None),
        (503, b"<html>", Unknown, None),
    ],
)
async def test_an_error_of_fcm_is_classed_by_its_code(
    channel: Push, api: JsonApi, status: int, body: Any, kind: type[Outcome], more: object
) -> None:
    api.answer(status, body)
    outcome = await channel.send(outgoing(TOKEN), open_gate())

    assert kind is type(outcome)
    assert more == getattr(outcome, "suppress", getattr(outcome, "misconfigured", None))
    assert 1 == len(api.requests)


@pytest.mark.parametrize(
    ("status", "kind", "more"),
    [
        (404, Rejected, SuppressReason.INVALID),
        (410, Rejected, SuppressReason.INVALID),
        (400, Rejected, None),
        (413, Rejected, None),
        (403, Rejected, None),
        (429, Deferred, None),
        (502, Unknown, None),
    ],
)
async def test_an_answer_of_a_browsers_push_service_is_classed_by_its_status(
    channel: Push, api: JsonApi, status: int, kind: type[Outcome], more: object
) -> None:
    api.answer(status, b"said why", Retry_After="9")
    outcome = await channel.send(outgoing(browser(api.url)), open_gate())

    assert kind is type(outcome)
    assert more == getattr(outcome, "suppress", getattr(outcome, "misconfigured", None))
    if status == 429:
        assert isinstance(outcome, Deferred)
        assert outcome.retry_in == timedelta(seconds=9)


async def test_an_endpoint_where_nobody_answers_stops_no_other(channel: Push) -> None:
    assert isinstance(await channel.send(outgoing(browser("http://127.0.0.1:1")), open_gate()), Deferred)


async def test_a_service_account_that_google_refuses_is_our_fault_and_no_tokens(api: JsonApi) -> None:
    api.answer(400, {"error": "invalid_grant"})
    channel = push(api.url)
    outcome = await channel.send(outgoing(TOKEN), open_gate())
    await channel.close()

    assert isinstance(outcome, NotSent)
    assert outcome.misconfigured
    assert "invalid_grant" in outcome.detail
    assert ["/token"] == [request.path for request in api.requests]


async def test_a_subscription_inside_the_network_is_refused_and_barred(api: JsonApi) -> None:
    channel = push(api.url, guard=Guard(Allowed()))
    outcome = await channel.send(outgoing(browser(api.url)), open_gate())
    await channel.close()

    assert isinstance(outcome, Rejected)
    assert outcome.suppress is SuppressReason.INVALID
    assert api.requests == []


async def test_the_gate_is_asked_when_the_token_is_there_and_the_connection_stands(api: JsonApi) -> None:
    channel = push(api.url)
    assert isinstance(await channel.send(outgoing(TOKEN), closed_gate()), NotSent)
    assert api.requests == []
    await channel.close()


async def test_each_kind_needs_its_own_configuration(api: JsonApi) -> None:
    channel = push(api.url, fcm_account=None)
    outcome = await channel.send(outgoing(TOKEN), open_gate())
    assert isinstance(outcome, Rejected)
    assert "DUNNOCK_PUSH_FCM_ACCOUNT" in outcome.detail
    assert outcome.suppress is None
    await channel.close()

    channel = push(api.url, vapid_key=None)
    outcome = await channel.send(outgoing(browser(api.url)), open_gate())
    assert isinstance(outcome, Rejected)
    assert "DUNNOCK_PUSH_VAPID_KEY" in outcome.detail
    await channel.close()


async def test_a_long_text_is_cut_for_a_browser(channel: Push, api: JsonApi) -> None:
    long = outgoing(browser(api.url), rendered=Rendered("t", "ñ" * 5000), facts=facts())
    assert isinstance(await channel.send(long, open_gate()), Accepted)
    assert len(api.requests[0].body) < 4096


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"fcm_account": SecretStr("{}")}, "service account"),
        ({"fcm_account": SecretStr("/nowhere/hunter2.json")}, "service account"),
        ({"vapid_key": SecretStr("hunter2"), "vapid_subject": "mailto:a@b.example"}, "P-256"),
        ({"vapid_key": SecretStr("mHnxxLeSm2A2dMv7oNWLOHbZRUwZAnTxHFwjLYhvy0w")}, "DUNNOCK_PUSH_VAPID_SUBJECT"),
    ],
)
def test_a_wrong_setting_is_named_and_never_shown(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PushConfig(**wrong)
    assert name in str(refused.value)
    assert "hunter2" not in str(refused.value)
