"""The double of Twilio's calls, of WhatsApp and of rich SMS: what rings, who answers, what is heard, what is called back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import httpx
import pytest
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallInstance
from twilio.rest.api.v2010.account.message import MessageInstance

from services.sandbox.twilio import Pace
from services.sandbox.twilio_calls import listen
from services.sandbox.twilio_contents import RCS_SERVICE, contents_for
from tests.servers.sandbox import PUBLIC_URL, TOKEN, Running, running_sandbox

SID = "AC" + "0" * 32
ANA = "+4915112345678"
SAID = """<Response><Gather action="/v1/receipts/twilio/call?attempt=12.3&amp;script=x"><Say>Hello <say-as>A1</say-as>.</Say>
<Say>Press 1.</Say></Gather><Say>Goodbye.</Say></Response>"""
NOTHING: Mapping[str, str] = MappingProxyType({})


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_sandbox(tmp_path, pace=Pace(callback=0.005, ring=0.005, delay=0.4, hang=20)) as running:
        running.callbacks.says = SAID
        yield running


async def ask(running: Running, what: str, to: str, fields: Mapping[str, str], timeout: float = 5.0) -> httpx.Response:
    callback = f"{PUBLIC_URL}/v1/receipts/twilio?attempt=12.3"
    form = {"To": to, "From": "+15005550006", "StatusCallback": callback, **fields}
    async with httpx.AsyncClient(auth=(SID, TOKEN), timeout=timeout) as client:
        return await client.post(f"{running.sandbox.twilio_url}/2010-04-01/Accounts/{SID}/{what}.json", data=form)


async def call(running: Running, to: str, fields: Mapping[str, str] = NOTHING, timeout: float = 5.0) -> httpx.Response:
    url = f"{PUBLIC_URL}/v1/receipts/twilio/call?attempt=12.3&script=x"
    return await ask(running, "Calls", to, {"Url": url, "MachineDetection": "DetectMessageEnd", **fields}, timeout)


async def message(running: Running, to: str, fields: Mapping[str, str]) -> httpx.Response:
    return await ask(running, "Messages", to, fields)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def requests(running: Running) -> list[str]:
    """What was asked and told about the calls, in order."""
    await until(lambda: running.sandbox.owes() == 0)
    named = ("CallStatus", "AnsweredBy", "Digits")
    for one in running.callbacks.got:
        assert RequestValidator(TOKEN).validate(one.url, one.params, one.signature)
    return [
        " ".join(
            ["turn" if "/call?" in one.url else "end", *(one.params[name] for name in named if name in one.params)]
        )
        for one in running.callbacks.got
    ]


TURN = "turn in-progress human"
END = "end completed human"


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (ANA, [TURN, END]),
        ("+15005550010", ["end no-answer"]),
        ("+15005550011", ["end busy"]),
        ("+15005550012", ["turn in-progress machine_end_beep", "end completed machine_end_beep"]),
        ("+15005550013", [TURN, "turn in-progress 1", END]),
        ("+15005550017", [TURN, "turn in-progress 2", "turn in-progress 1", END]),
        ("+15005550018", ["end failed"]),
        ("+15005550023", [TURN, END, END]),
        ("+15005550024", [TURN, END, "end ringing"]),
        ("+15005550029", [TURN]),
    ],
)
async def test_the_number_decides_who_answers_and_what_is_pressed(
    running: Running, to: str, expected: list[str]
) -> None:
    answer = await call(running, to)

    assert (201, "queued") == (answer.status_code, answer.json()["status"])
    assert expected == await requests(running)


async def test_a_call_shows_what_was_spoken(running: Running) -> None:
    await call(running, "+15005550013")
    await requests(running)

    async with httpx.AsyncClient(base_url=running.url) as client:
        [shown] = (await client.get("/sandbox/messages?channel=voice")).json()["items"]
    assert ("completed", "+15005550013") == (shown["status"], shown["to"])
    assert "Hello A1.\nPress 1.\n[presses 1]\nHello A1.\nPress 1." == shown["text"]


@pytest.mark.parametrize(
    ("to", "fields", "code"),
    [
        ("", {}, 21201),
        ("nonsense", {}, 21211),
        ("+15005550001", {}, 21217),
        ("+15005550002", {}, 21214),
        ("+15005550003", {}, 21215),
        (ANA, {"From": "+15005550001"}, 21212),
        (ANA, {"From": "+15005550007"}, 21210),
        (ANA, {"Url": "ftp://x"}, 21205),
    ],
)
async def test_what_twilio_refuses_is_refused_with_its_code(
    running: Running, to: str, fields: dict[str, str], code: int
) -> None:
    answer = await call(running, to, fields)

    assert (400, code) == (answer.status_code, answer.json()["code"])
    assert [] == await running.sandbox.store.messages()


@pytest.mark.parametrize(
    ("to", "status", "listed"),
    [("+15005550020", 429, 0), ("+15005550021", 500, 0), ("+15005550025", 500, 1), ("+15005550026", 201, 1)],
)
async def test_trouble_numbers_answer_as_they_should(running: Running, to: str, status: int, listed: int) -> None:
    assert status == (await call(running, to)).status_code
    assert listed == len(await running.sandbox.store.messages())


async def test_a_hanging_answer_leaves_the_call_accepted(running: Running) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await call(running, "+15005550022", timeout=2.0)  # long enough to be heard

    assert [TURN, END] == await requests(running)


def test_silence_hears_the_rest_and_a_key_does_not() -> None:
    assert ("Hello A1.", "Press 1.") == listen(SAID).words
    assert ("Bye.",) == listen("<Response><Say>Bye.</Say><Hangup/></Response>").words
    assert ("One moment.", "[connected to +49]") == listen(
        "<Response><Say>One moment.</Say><Dial>+49</Dial></Response>"
    ).words


CONTENT = contents_for("whatsapp")["overdue/en"]["sid"]
FILLED = '{"1": "Ana", "2": "INV-1", "3": "EUR 5", "4": "today", "5": "https://pay/x", "6": "Acme"}'
OVER_WHATSAPP = {"From": "whatsapp:+15005550006"}


async def statuses(running: Running) -> list[str]:
    await until(lambda: running.sandbox.owes() == 0)
    got = [one.params for one in running.callbacks.got if "MessageStatus" in one.params]
    return [" ".join(filter(None, (one["MessageStatus"], one.get("ErrorCode")))) for one in got]


async def test_whatsapp_takes_a_template_any_time_and_a_text_only_after_the_customers_own(running: Running) -> None:
    await message(running, f"whatsapp:{ANA}", {**OVER_WHATSAPP, "Body": "Hello"})
    assert ["queued", "sent", "undelivered 63016"] == await statuses(running)
    await message(running, f"whatsapp:{ANA}", {**OVER_WHATSAPP, "ContentSid": CONTENT, "ContentVariables": FILLED})
    assert "delivered" == (await statuses(running))[-1]
    assert "Hello Ana, your invoice INV-1 from Acme" in (await running.sandbox.store.messages("whatsapp"))[-1].text

    await running.sandbox.reply(ANA, "Hi", "whatsapp")
    await message(running, f"whatsapp:{ANA}", {**OVER_WHATSAPP, "Body": "Hello"})
    assert "delivered" == (await statuses(running))[-1]


@pytest.mark.parametrize(
    ("sid", "variables", "code"),
    [("HX" + "9" * 32, FILLED, 21655), (CONTENT, "{}", 21656), (CONTENT, "no json", 21656)],
)
async def test_a_template_that_is_not_there_or_not_filled_is_refused(
    running: Running, sid: str, variables: str, code: int
) -> None:
    fields = {**OVER_WHATSAPP, "ContentSid": sid, "ContentVariables": variables}
    assert code == (await message(running, f"whatsapp:{ANA}", fields)).json()["code"]


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        (f"rcs:{ANA}", "delivered"),
        ("rcs:+15005550030", "undelivered 63014"),
        ("rcs:+15005550031", "undelivered 63106"),
        ("rcs:+15005550032", "read"),
        ("+15005550031", "delivered"),
        ("+15005550032", "delivered"),
    ],
)
async def test_a_handset_may_have_no_rcs_and_still_get_texts(running: Running, to: str, expected: str) -> None:
    await message(running, to, {"From": "", "MessagingServiceSid": RCS_SERVICE, "Body": "Hello"})

    assert expected == (await statuses(running))[-1]


async def test_a_text_in_the_answer_to_a_reply_reaches_the_handset(running: Running) -> None:
    running.callbacks.says = "<Response><Message>You will get no more.</Message></Response>"

    await running.sandbox.reply(ANA, "BAJA")
    await until(lambda: running.sandbox.owes() == 0)

    assert ["You will get no more."] == [one.text for one in await running.sandbox.store.messages("sms", ANA)]


async def test_the_double_answers_as_twilios_api_description_says(running: Running) -> None:
    """Twilio's client is generated from that description."""
    api = Client(SID, TOKEN).api.v2010
    made = (await call(running, ANA)).json()
    sent = (await message(running, ANA, {"Body": "Hello"})).json()
    described = vars(CallInstance(api, made, SID)), vars(MessageInstance(api, sent, SID))
    calls, messages = ({name.strip("_") for name in one} for one in described)

    assert (set(), set()) == (made.keys() - calls, sent.keys() - messages)
    ended = {"queued", "ringing", "in-progress", "completed", "busy", "no-answer", "failed"}
    assert set() == ended - set(vars(CallInstance.Status).values())
    assert set() == {"queued", "sent", "delivered", "read", "undelivered"} - set(vars(MessageInstance.Status).values())
