"""The channel http against an API over real HTTP: what is written, how answers are read, whose faults they are."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook

from services.dispatcher.adapters.http_api import HttpChannel
from services.dispatcher.domain.http_api import HttpApi
from services.dispatcher.domain.outcomes import (
    Accepted,
    Deferred,
    Delivered,
    Missed,
    NotSent,
    Outcome,
    Rejected,
    SuppressReason,
    Unknown,
)
from services.dispatcher.domain.ports import NotSigned, Report, Reported
from shared.content import Rendered
from shared.outgoing import LOOPBACK, Allowed, Guard
from tests.doubles.json_api import JsonApi, json_api
from tests.doubles.outgoing import facts, open_gate, outgoing

TO = "https://hooks.customer.example/dunnock"
SECRET = "whsec_" + base64.b64encode(b"the secret that signs our calls.").decode()
OTHER = "whsec_" + base64.b64encode(b"another secret, soon the old one").decode()
HOME = Guard(Allowed.parse(LOOPBACK))


@pytest.fixture
async def api() -> AsyncIterator[JsonApi]:
    async with json_api(200, {"id": "msg-1"}) as made:
        yield made


def channel(api: JsonApi, path: str = "/send", guard: Guard = HOME, **described: Any) -> HttpChannel:
    url = described.pop("url", api.url + path)
    return HttpChannel("acme", HttpApi.model_validate({"url": url, "message_id": "id", **described}), guard)


async def sent(made: HttpChannel, to: str = TO, **changes: Any) -> Outcome:
    outcome = await made.send(outgoing(to, **changes), open_gate())
    await made.close()
    return outcome


async def test_a_request_is_what_was_described_with_the_messages_values(api: JsonApi) -> None:
    made = channel(
        api,
        path="/v1/{{ locale }}/messages?ref={{ invoice_id }}",
        method="PUT",
        headers={"X-Invoice": "no {{ invoice_number }}"},
        body={
            "to": "{{ address }}",
            "lines": ["{{ text }}", {"open": "{{ open_amount }} {{ currency }}"}],
            "test": True,
        },
    )

    assert Accepted("msg-1", "200 OK") == await sent(made, rendered=Rendered("", "Hola ñ\n"))

    [request] = api.requests
    assert ("PUT", "/v1/es-CO/messages", "ref=INV-1") == (request.method, request.path, request.query)
    assert request.json == {"to": TO, "lines": ["Hola ñ", {"open": "1250000.00 COP"}], "test": True}
    assert request.headers["x-invoice"] == "no F-2026/001"
    assert request.headers["idempotency-key"] == "12.1"
    assert request.headers["content-type"] == "application/json"


async def test_what_is_inserted_never_becomes_structure(api: JsonApi) -> None:
    """A name is data in a path, in a query, in a header and in JSON; a template in it is text."""
    evil = 'x"},"admin":true,{"\r\nX-Admin: 1\r\n{{ 7*7 }}/../../?a=b&c#d'
    made = channel(
        api, path="/u/{{ customer_name }}?n={{ customer_name }}", headers={"X-Name": "{{ customer_name }}"},
        body={"name": "{{ customer_name }}"},
    )  # fmt: skip

    assert isinstance(await sent(made, facts=facts(customer_name=evil)), Accepted)

    [request] = api.requests
    assert request.json == {"name": evil}
    assert request.path.count("/") == 2
    assert request.query.count("=") == 1
    assert "x-admin" not in request.headers
    assert request.headers["x-name"] == 'x"},"admin":true,{" X-Admin: 1 {{ 7*7 }}/../../?a=b&c#d'


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"kind": "none"}, {}),
        ({"kind": "bearer", "token": "t0k"}, {"authorization": "Bearer t0k"}),
        ({"kind": "basic", "username": "u", "password": "p:w"}, {"authorization": "Basic dTpwOnc="}),
        ({"kind": "header", "name": "X-Api-Key", "value": "k"}, {"x-api-key": "k"}),
    ],
)
async def test_credentials_go_where_their_kind_says(api: JsonApi, auth: Any, expected: dict[str, str]) -> None:
    await sent(channel(api, auth=auth))

    [request] = api.requests
    assert expected == {
        name: request.headers[name] for name in ("authorization", "x-api-key") if name in request.headers
    }


async def test_a_signed_request_is_a_standard_webhook_about_the_attempt(api: JsonApi) -> None:
    auth = {"kind": "standard_webhook", "secret": SECRET}
    await sent(channel(api, auth=auth, body={"text": "{{ text }}"}))

    [request] = api.requests
    assert Webhook(SECRET).verify(request.body, request.headers) == request.json
    assert request.headers["webhook-id"] == "12.1"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (201, {"id": 7}, Accepted("7", "201 Created")),
        (202, b"not json", Accepted("12.1", "202 Accepted")),
        (200, {"id": "x", "error": {"code": "no_such_user"}}, Rejected("200 OK", suppress=SuppressReason.INVALID)),
        (400, {"error": {"code": "no_such_user"}}, Rejected("400 Bad Request", suppress=SuppressReason.INVALID)),
        (400, {"error": {"code": "blocked"}}, Rejected("400 Bad Request", suppress=SuppressReason.OPTED_OUT)),
        (400, {"error": {"code": "busy"}}, NotSent("400 Bad Request")),
        (400, {}, Rejected("400 Bad Request")),
        (404, {}, Rejected("404 Not Found")),
        (410, {}, Rejected("410 Gone", suppress=SuppressReason.INVALID)),
        (401, {}, NotSent("401 Unauthorized", misconfigured=True)),
        (403, {}, NotSent("403 Forbidden", misconfigured=True)),
        (302, {}, NotSent("302 Found; redirects are not followed", misconfigured=True)),
        (500, {}, Unknown("500 Internal Server Error")),
        (503, {}, Unknown("503 Service Unavailable")),
    ],
)
async def test_an_answer_is_classed_by_its_status_and_by_the_rules(
    api: JsonApi, status: int, body: Any, expected: Outcome
) -> None:
    api.answer(status, body)
    refusals = {
        "invalid_address": "error.code == 'no_such_user'",
        "opted_out": "error.code == 'blocked'",
        "try_later": "error.code == 'busy'",
    }
    assert expected == await sent(channel(api, refusals=refusals))
    assert 1 == len(api.requests)


async def test_a_success_is_what_the_rule_calls_one(api: JsonApi) -> None:
    success = {"statuses": [200], "rule": "status == 'queued'"}
    api.answer(200, {"status": "failed"})
    api.answer(201, {"status": "queued"})
    api.answer(200, {"status": "queued", "id": "m"})
    made = [await sent(channel(api, success=success)) for _ in range(3)]
    assert [Rejected, Rejected, Accepted] == [type(one) for one in made]


async def test_a_rule_that_breaks_on_an_answer_makes_nobody_send_again(api: JsonApi) -> None:
    api.answer(200, {"id": "msg-1", "error": "none", "code": 0})

    outcome = await sent(channel(api, refusals={"try_later": "contains(error, code)"}))

    assert Accepted("msg-1", "200 OK") == outcome


async def test_too_many_requests_wait_as_long_as_the_api_says(api: JsonApi) -> None:
    api.answer(429, {}, Retry_After="7")
    assert NotSent("429 Too Many Requests", timedelta(seconds=7)) == await sent(channel(api))


async def test_an_api_inside_the_network_is_refused_at_the_call_and_nobodys_address_is_blamed(api: JsonApi) -> None:
    outcome = await sent(channel(api, guard=Guard(Allowed())))

    assert isinstance(outcome, NotSent)
    assert outcome.misconfigured
    assert "loopback" in outcome.detail
    assert api.requests == []


async def test_a_customers_own_address_inside_the_network_is_invalid_for_this_customer_alone(api: JsonApi) -> None:
    made = channel(api, url="{{ address }}", guard=Guard(Allowed()))
    outcome = await sent(made, to=api.url + "/hook")

    assert isinstance(outcome, Rejected)
    assert outcome.suppress is SuppressReason.INVALID
    assert api.requests == []


async def test_a_customers_own_address_is_called_as_it_is(api: JsonApi) -> None:
    made = channel(api, url="{{ address }}", body={"text": "{{ text }}"})
    assert isinstance(await sent(made, to=api.url + "/hook?key=a%2Fb"), Accepted)
    assert ("/hook", "key=a%2Fb") == (api.requests[0].path, api.requests[0].query)


async def test_a_customers_own_address_that_cannot_be_found_is_asked_again_later_and_then_given_up(
    api: JsonApi,
) -> None:
    async def nowhere(host: str, port: int) -> list[str]:
        raise OSError("unknown name")

    made = channel(api, url="{{ address }}", guard=Guard(Allowed(), nowhere))
    assert isinstance(await sent(made, to="https://hooks.example/"), Deferred)


async def test_a_customers_own_address_that_is_busy_or_away_stops_no_other(api: JsonApi) -> None:
    api.answer(429, {}, Retry_After="9")
    busy = await sent(channel(api, url="{{ address }}"), to=api.url)
    assert busy == Deferred("429 Too Many Requests", timedelta(seconds=9))
    away = await sent(channel(api, url="{{ address }}"), to="http://127.0.0.1:1/")
    assert isinstance(away, Deferred)


async def test_a_value_that_a_customer_lacks_gives_way_to_the_next_channel(api: JsonApi) -> None:
    outcome = await sent(channel(api, body={"chat": "{{ attributes.chat_id }}"}), facts=facts(attributes={}))

    assert isinstance(outcome, Rejected)
    assert "chat_id" in outcome.detail
    assert outcome.suppress is None
    assert api.requests == []


@pytest.mark.parametrize(
    ("described", "place"),
    [
        ({"url": "ftp://api.example.com"}, "url"),
        ({"url": "https://{{ address }}/x"}, "url"),
        ({"url": "https://api.example.com@{{ address }}/"}, "url"),
        ({"url": "https://user:pass@api.example.com/"}, "url"),
        ({"url": "{{ attributes.url }}"}, "url"),
        ({"url": "https://api.example.com/{{ nothing }}"}, "url"),
        ({"url": "https://api.example.com/{{"}, "url"),
        ({"headers": {"Host": "x"}}, "headers"),
        ({"headers": {"Authorization": "x"}}, "headers"),
        ({"headers": {"X-A": "a\r\nb"}}, "headers"),
        ({"headers": {"X A": "a"}}, "headers"),
        ({"body": {"a": "{{ ''.__class__ }}{{ text * 1000 }}{{ nobody }}"}}, "body"),
        ({"body": {"a": [[[[[[[[["deep"]]]]]]]]]}}, "body"),
        ({"body": {"a": ["x"] * 300}}, "body"),
        ({"message_id": "data.[id"}, "message_id"),
        ({"success": {"rule": "&&"}}, "success"),
        ({"success": {"rule": "!" * 499 + "a"}}, "success"),
        ({"auth": {"kind": "bearer", "token": "a\r\nb"}}, "auth"),
        ({"auth": {"kind": "standard_webhook", "secret": "whsec_x"}}, "auth"),
        ({"receipts": {"secrets": []}}, "receipts"),
        ({"receipts": {"secrets": [SECRET], "words": {"DONE": "finished"}}}, "receipts"),
        ({"unknown": 1}, "unknown"),
    ],
)  # fmt: skip
def test_a_description_that_cannot_work_is_refused_with_its_place(described: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as refused:
        HttpApi.model_validate({"url": "https://api.example.com/", **described})
    assert {place} == {str(error["loc"][0]) for error in refused.value.errors()}


async def test_a_template_that_reaches_for_the_machinery_gives_nothing(api: JsonApi) -> None:
    outcome = await sent(channel(api, body={"a": "{{ text.__class__.__mro__ }}"}))
    assert isinstance(outcome, Rejected)
    assert api.requests == []


def test_the_description_never_shows_its_secrets() -> None:
    api = HttpApi.model_validate({"url": "https://a.example/", "auth": {"kind": "bearer", "token": "hunter2"}})
    assert "hunter2" not in repr(api)


# --- receipts


def reported(made: HttpChannel, body: Any, secret: str = SECRET, query: dict[str, str] | None = None) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "r1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("r1", now, content.decode()),
    }
    return made.read_report(Report("https://x/v1/receipts/acme", query or {}, headers, {}, content))


async def test_a_signed_receipt_is_read_by_the_described_rules(api: JsonApi) -> None:
    words = {"DELIVERED": "delivered", "FAILED": "undelivered", "UNKNOWN_USER": "invalid", "ASLEEP": "missed"}
    described = {
        "secrets": [OTHER, SECRET],
        "attempt": "ref",
        "status": "event.state",
        "detail": "event.why",
        "words": words,
    }
    made = channel(api, receipts=described)

    def word(state: str) -> Any:
        return reported(made, {"ref": "12.1", "event": {"state": state, "why": "so"}})

    assert [Reported("12.1", Delivered("", "DELIVERED so"))] == word("DELIVERED")
    assert [Reported("12.1", Rejected("FAILED so"))] == word("FAILED")
    assert [Reported("12.1", Rejected("UNKNOWN_USER so", suppress=SuppressReason.INVALID))] == word("UNKNOWN_USER")
    assert [Reported("12.1", Missed("ASLEEP so"))] == word("ASLEEP")
    assert [] == word("SOMETHING_NEW")
    assert [Reported("7.2", Delivered("", "delivered"))] == reported(
        channel(api, receipts={"secrets": [SECRET]}), {"data": {"status": "delivered"}}, query={"attempt": "7.2"}
    )


async def test_only_what_is_signed_with_a_secret_of_this_api_is_a_receipt(api: JsonApi) -> None:
    body = {"data": {"attempt_id": "12.1", "status": "delivered"}}
    with pytest.raises(NotSigned):
        reported(channel(api, receipts={"secrets": [SECRET]}), body, secret=OTHER)
    with pytest.raises(NotSigned):
        reported(channel(api), body)
    good = channel(api, receipts={"secrets": [SECRET]})
    with pytest.raises(NotSigned):
        good.read_report(Report("", {}, {}, {}, b"\xff"))
    signed = Report("", {}, {"webhook-id": "1", "webhook-timestamp": "x", "webhook-signature": "v1,ä"}, {}, b"{}")
    with pytest.raises(NotSigned):
        good.read_report(signed)


def test_its_price_is_that_of_the_description() -> None:
    api = HttpApi.model_validate({"url": "https://a.example/", "price": "0.025", "concurrency": 3})
    made = HttpChannel("acme", api, HOME)
    assert (Decimal("0.025"), Decimal("0.025"), 3) == (made.price(TO), made.cost(outgoing(TO)), made.concurrency)
