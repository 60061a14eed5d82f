"""The Twilio double, over HTTP: answers as Twilio gives them, callbacks that twilio's own validator accepts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import httpx
import pytest
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from services.sandbox.twilio import Pace
from tests.servers.sandbox import PUBLIC_URL, TOKEN, Callback, Running, running_sandbox

Form = Mapping[str, str]
NOTHING: Form = MappingProxyType({})
SID = "AC" + "0" * 32
CALLBACK = f"{PUBLIC_URL}/v1/receipts/twilio?attempt=12.3"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_sandbox(tmp_path, pace=Pace(callback=0.005, delay=0.4, hang=20)) as running:
        yield running


async def post(
    running: Running, to: str, *, auth: str = TOKEN, timeout: float = 5.0, fields: Form = NOTHING
) -> httpx.Response:
    form = {"To": to, "From": "+15005550006", "Body": "Pay 5 €", "StatusCallback": CALLBACK} | dict(fields)
    async with httpx.AsyncClient(auth=(SID, auth), timeout=timeout) as client:
        return await client.post(f"{running.sandbox.twilio_url}/2010-04-01/Accounts/{SID}/Messages.json", data=form)


async def settled(running: Running) -> list[str]:
    """The statuses called back, once nothing is owed."""
    await until(lambda: running.sandbox.owes() == 0)
    return [callback.params["MessageStatus"] for callback in running.callbacks.got]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def genuine(callback: Callback) -> bool:
    return bool(RequestValidator(TOKEN).validate(callback.url, callback.params, callback.signature))


async def test_an_accepted_message_is_listed_and_called_back_until_delivered(running: Running) -> None:
    answer = await post(running, "+4915112345678")
    assert (answer.status_code, answer.json()["status"]) == (201, "queued")
    assert answer.json()["sid"].startswith("SM")
    assert await settled(running) == ["queued", "sent", "delivered"]
    assert all(genuine(callback) and callback.url == CALLBACK for callback in running.callbacks.got)
    (message,) = await running.sandbox.store.messages("sms", "+4915112345678")
    assert (message.message_id, message.text, message.reminder_id) == (answer.json()["sid"], "Pay 5 €", 12)
    assert message.status == "delivered"


async def test_twilios_own_client_can_send_and_fetch(running: Running) -> None:
    def use() -> str:
        client = Client(SID, TOKEN)
        client.api.base_url = running.sandbox.twilio_url
        sent = client.messages.create(to="+4915112345678", from_="+15005550006", body="Hello")
        return str(client.messages(sent.sid).fetch().body)

    assert await asyncio.to_thread(use) == "Hello"


async def test_a_number_that_cannot_be_reached_is_undelivered_with_its_code(running: Running) -> None:
    assert (await post(running, "+15005550003")).status_code == 201
    assert await settled(running) == ["queued", "sent", "undelivered"]
    assert running.callbacks.got[-1].params["ErrorCode"] == "30005"
    assert genuine(running.callbacks.got[-1])


@pytest.mark.parametrize(
    ("to", "fields", "code"),
    [
        ("+15005550001", {}, 21211),
        ("+15005550009", {}, 21614),
        ("nonsense", {}, 21211),
        ("", {}, 21604),
        ("+4915112345678", {"Body": ""}, 21602),
        ("+4915112345678", {"Body": "x" * 1601}, 21617),
        ("+4915112345678", {"From": "+15005550001"}, 21212),
        ("+4915112345678", {"From": "+15005550007"}, 21606),
        ("+4915112345678", {"From": ""}, 21603),
        ("+4915112345678", {"StatusCallback": "ftp://x"}, 21609),
        ("+4915112345678", {"Bodi": "Pay"}, 20001),
        ("+4915112345678", {"ValidityPeriod": "four hours"}, 20422),
        ("+4915112345678", {"MessagingServiceSid": "MG1"}, 20422),
    ],
)
async def test_what_twilio_refuses_is_refused_with_its_code(
    running: Running, to: str, fields: dict[str, str], code: int
) -> None:
    answer = await post(running, to, fields=fields)
    assert answer.status_code == 400
    assert answer.json().keys() == {"code", "message", "more_info", "status"}
    assert answer.json()["code"] == code
    assert await running.sandbox.store.messages() == []


async def test_wrong_credentials_are_refused(running: Running) -> None:
    answer = await post(running, "+4915112345678", auth="wrong")
    assert (answer.status_code, answer.json()["code"]) == (401, 20003)
    assert await running.sandbox.store.messages() == []


@pytest.mark.parametrize(
    ("to", "status", "listed"),
    [("+15005550020", 429, 0), ("+15005550021", 500, 0), ("+15005550025", 500, 1), ("+15005550026", 201, 1)],
)
async def test_trouble_numbers_answer_as_they_should(running: Running, to: str, status: int, listed: int) -> None:
    assert (await post(running, to)).status_code == status
    assert len(await running.sandbox.store.messages()) == listed


async def test_a_hanging_answer_leaves_the_message_accepted(running: Running) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await post(running, "+15005550022", timeout=0.3)
    assert len(await running.sandbox.store.messages("sms")) == 1
    assert (await settled(running))[-1] == "delivered"


async def test_callbacks_come_doubled_or_reordered_or_not_at_all(running: Running) -> None:
    for to in ("+15005550023", "+15005550024", "+15005550029"):
        await post(running, to, fields={"StatusCallback": f"{CALLBACK}&to={to[-2:]}"})
    await settled(running)
    by_number = {
        tail: [c.params["MessageStatus"] for c in running.callbacks.got if c.url.endswith(tail)]
        for tail in ("23", "24", "29")
    }
    doubled = ["queued", "queued", "sent", "sent", "delivered", "delivered"]
    assert by_number == {"23": doubled, "24": ["delivered", "sent", "queued"], "29": []}
    (reordered,) = await running.sandbox.store.messages("sms", "+15005550024")
    assert reordered.status == "delivered"


async def test_a_callback_is_tried_again_while_the_receiver_fails(running: Running) -> None:
    running.callbacks.refuse = 3
    await post(running, "+4915112345678")
    assert await settled(running) == ["queued", "sent", "delivered"]
    assert running.callbacks.refused == 3


async def test_an_ordered_fault_meets_the_next_request_only(running: Running) -> None:
    order = {"provider": "twilio", "fault": "too_many", "times": 2}
    async with httpx.AsyncClient(base_url=running.url) as client:
        assert (await client.post("/sandbox/faults", json=order)).status_code == 204
        assert (await client.post("/sandbox/faults", json=order | {"fault": "fire"})).status_code == 422
        assert (await client.post("/sandbox/faults", json=order | {"provider": "x"})).status_code == 404
    statuses = [(await post(running, "+4915112345678")).status_code for _ in range(3)]
    assert statuses == [429, 429, 201]


async def test_stop_is_posted_signed_and_bars_the_number_until_start(running: Running) -> None:
    await running.sandbox.reply("+4915112345678", "Stop")
    await until(lambda: running.sandbox.owes() == 0)
    (incoming,) = running.callbacks.got
    assert genuine(incoming)
    assert incoming.url == f"{PUBLIC_URL}/v1/receipts/twilio"
    assert (incoming.params["From"], incoming.params["Body"]) == ("+4915112345678", "Stop")
    assert (await post(running, "+4915112345678")).json()["code"] == 21610
    await running.sandbox.reply("+4915112345678", "START")
    assert (await post(running, "+4915112345678")).status_code == 201


async def test_whatsapp_and_rcs_use_the_same_resource(running: Running) -> None:
    await post(running, "whatsapp:+4915112345678", fields={"From": "whatsapp:+15005550006"})
    await post(running, "rcs:+4915112345678", fields={"From": "", "MessagingServiceSid": "MG" + "1" * 32})
    assert [m.channel for m in await running.sandbox.store.messages(to="+4915112345678")] == ["whatsapp", "rcs"]
    await settled(running)
    assert running.callbacks.got[0].params["To"] == "whatsapp:+4915112345678"


async def test_many_messages_at_once_are_each_called_back_once_and_in_order(running: Running) -> None:
    for start in range(0, 120, 40):
        await asyncio.gather(*(post(running, f"+49151{number:08d}") for number in range(start, start + 40)))
    await until(lambda: running.sandbox.owes() == 0)
    called: dict[str, list[str]] = {}
    for callback in running.callbacks.got:
        called.setdefault(callback.params["To"], []).append(callback.params["MessageStatus"])
    assert called == {f"+49151{number:08d}": ["queued", "sent", "delivered"] for number in range(120)}
