"""Calls: what Twilio is asked, what it is told to say and to whom, what keys do, and when a follower goes."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import httpx
import pytest
from pydantic import SecretStr
from twilio.request_validator import RequestValidator

from services.dispatcher.adapters.twilio_account import TwilioConfig
from services.dispatcher.adapters.twilio_calls import Script, Seal
from services.dispatcher.adapters.voice_twilio import VoiceConfig, VoiceTwilio
from services.dispatcher.domain.outcomes import Rejected
from shared.content import Rendered
from shared.flow import FOREVER
from shared.ledger.due import expire_receipts
from tests import factories
from tests.doubles.outgoing import open_gate, outgoing
from tests.integration.dispatcher_running import PUBLIC, TOKEN, WINDOWS, Dispatcher, running

PHONE = "+4915112345678"
HUMAN = {"AnsweredBy": "human"}


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path, channels=("sms", "voice")) as made:
        yield made


class Call:
    """A delinquency call that Twilio has taken, and its follower."""

    def __init__(self, dispatcher: Dispatcher, reminder: int, follower: int | None) -> None:
        self.dispatcher, self.reminder, self.follower = dispatcher, reminder, follower
        self.attempt = f"{reminder}.1"
        self.asked = dispatcher.twilio.requests[-1]

    async def post(self, url: str, **fields: str) -> httpx.Response:
        path, form = url.removeprefix(PUBLIC), {"CallSid": "CA1", "From": "+15005550006", "To": PHONE, **fields}
        signed = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(PUBLIC + path, form)}
        return await self.dispatcher.http.post(path, data=form, headers=signed)

    async def turn(self, **fields: str) -> ElementTree.Element:
        answer = await self.post(self.asked["Url"], **fields)
        assert (200, "application/xml") == (answer.status_code, answer.headers["content-type"].partition(";")[0])
        return ElementTree.fromstring(answer.text)

    async def ends(self, status: str = "completed", **fields: str) -> None:
        answer = await self.post(self.asked["StatusCallback"], CallStatus=status, **fields)
        assert 204 == answer.status_code

    async def state(self) -> str:
        return (await self.dispatcher.state(self.reminder))[0]

    async def follows(self) -> str:
        assert self.follower is not None
        return (await self.dispatcher.state(self.follower))[0]


async def calling(dispatcher: Dispatcher, *, followed: bool = True, locale: str = "en", **columns: Any) -> Call:
    made, reminder = await dispatcher.due(
        "delinquent", phone=PHONE, email=False, customer_columns={"locale": locale, "name": "Ana Silva"}, **columns
    )
    follower = None
    if followed:
        await dispatcher.owner.execute("UPDATE reminder SET followed = true WHERE id = $1", reminder)
        follower = await factories.reminder(
            dispatcher.owner, made.id, made.installments[0], "delinquent", leg="then", anchor="parent",
            state="waiting", due_at=None, send_until=FOREVER,
        )  # fmt: skip
    await dispatcher.send(reminder)
    return Call(dispatcher, reminder, follower)


def words(document: ElementTree.Element) -> str:
    return " ".join(" ".join("".join(said.itertext()).split()) for said in document.iter("Say"))


async def test_a_call_is_asked_for_with_detection_and_nothing_to_read_in_its_url(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher, number="INV-7")

    assert "/2010-04-01/Accounts/AC1/Calls.json" == dispatcher.twilio.paths[-1]
    asked = dict(call.asked)
    url = asked.pop("Url")
    assert {
        "To": PHONE,
        "From": "+15005550006",
        "MachineDetection": "DetectMessageEnd",
        "Timeout": "25",
        "TimeLimit": "600",
        "StatusCallback": f"{PUBLIC}/v1/receipts/twilio?attempt={call.attempt}",
    } == asked
    assert re.fullmatch(rf"{PUBLIC}/v1/receipts/twilio/call\?attempt={call.attempt}&script=[\w-]+", url)
    assert len(url) < 2000


async def test_a_person_hears_name_invoice_amount_and_date_and_the_keys(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher, number="INV-7")

    document = await call.turn(**HUMAN)

    gather = document.find("Gather")
    assert gather is not None
    assert call.asked["Url"] == gather.get("action")
    said = words(gather)
    for fact in (
        "Hello Ana Silva",
        "INV-7",
        "over 1250 euros",
        "was due on",
        "press 1",
        "press 2",
        "press 3",
        "press 9",
    ):
        assert fact in said
    [spelled] = list(gather.iter("say-as"))
    assert ("INV-7", "characters") == (spelled.text, spelled.get("interpret-as"))
    assert "Thank you for your time. Goodbye." == words(document).removeprefix(said).strip()
    assert 1 == await dispatcher.owner.fetchval("SELECT count(*) FROM event WHERE kind = 'attempt.answered'")


@pytest.mark.parametrize(
    ("locale", "language", "said"),
    [
        ("es-CO", "es-MX", "pulse 1"),
        ("es-ES", "es-ES", "venció el"),
        ("pt-BR", "pt-BR", "prima 2"),
        ("de", "en-US", "press 9"),
    ],
)
async def test_a_call_speaks_the_customers_language_or_english(
    dispatcher: Dispatcher, locale: str, language: str, said: str
) -> None:
    call = await calling(dispatcher, locale=locale)

    document = await call.turn(**HUMAN)

    assert {language} == {one.get("language") for one in document.iter("Say")}
    assert said in words(document)


@pytest.mark.parametrize("machine", ["machine_end_beep", "machine_end_silence", "machine_end_other", "unknown"])
async def test_a_machine_hears_nothing_of_a_debt_and_is_called_again(dispatcher: Dispatcher, machine: str) -> None:
    call = await calling(dispatcher, number="INV-7")

    said = words(await call.turn(AnsweredBy=machine))

    assert "Please call us back at +4930123456" in said
    for secret in ("Ana", "Silva", "INV-7", "1,250", "invoice", "pay", "due"):
        assert secret not in said
    assert ("pending", "waiting") == (await call.state(), await call.follows())
    await call.ends(AnsweredBy=machine, CallDuration="12")
    assert [("voice", "missed")] == await dispatcher.attempts(call.reminder)


async def test_a_text_that_is_too_long_to_be_said_is_refused() -> None:
    account = TwilioConfig(account_sid="AC1", auth_token=SecretStr(TOKEN))
    voice = VoiceTwilio(account, VoiceConfig(voice_from="+15005550006"))

    outcome = await voice.send(outgoing(PHONE, rendered=Rendered("", "a" * 2001, locale="en")), open_gate())

    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.suppress) == ("too_long", None)
    await voice.close()


async def test_a_fax_hears_nothing(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher)

    assert "" == words(await call.turn(AnsweredBy="fax"))


async def test_the_follower_goes_when_the_call_has_ended_and_not_when_it_was_taken(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher)
    assert ("accepted", "waiting") == (await call.state(), await call.follows())
    await call.turn(**HUMAN)
    assert "waiting" == await call.follows()

    await call.ends(CallDuration="125")

    assert ("delivered", "pending") == (await call.state(), await call.follows())
    assert "0.0900" == str(await dispatcher.owner.fetchval("SELECT cost FROM attempt"))  # three started minutes


async def test_key_1_makes_the_follower_due_at_once_and_only_once(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher)
    await call.turn(**HUMAN)

    for _ in range(2):
        assert "The payment link is on its way" in words(await call.turn(Digits="1"))

    assert ("accepted", "pending") == (await call.state(), await call.follows())
    due_at, now = await dispatcher.owner.fetchrow(
        "SELECT due_at, business_now() FROM reminder WHERE id = $1", call.follower
    ) or (None, None)
    assert due_at <= now
    await call.ends()
    assert ("delivered", "pending") == (await call.state(), await call.follows())
    keys = await dispatcher.owner.fetch("SELECT data->>'key' FROM event WHERE kind = 'call.key'")
    assert ["pay_link"] == [row[0] for row in keys]


async def test_without_a_follower_key_1_is_not_offered_and_repeats(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher, followed=False)
    seal = Seal(TOKEN)
    script = seal.open(call.asked["Url"].rpartition("script=")[2], call.attempt)
    assert script is not None
    alone = Script(script.locale, script.message, script.voicemail, script.invoice_number, followed=False)
    call.asked["Url"] = (
        f"{PUBLIC}/v1/receipts/twilio/call?attempt={call.attempt}&script={seal.close(alone, call.attempt)}"
    )

    assert "press 1" not in words(await call.turn(**HUMAN))
    assert "is still open" in words(await call.turn(Digits="1"))


async def test_key_2_and_any_other_key_repeat(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher)
    first = words(await call.turn(**HUMAN))

    assert first == words(await call.turn(Digits="2")) == words(await call.turn(Digits="7"))
    assert "waiting" == await call.follows()


async def test_key_3_connects_to_a_person(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher)

    [dial] = list((await call.turn(Digits="3")).iter("Dial"))

    assert ("+4930123456", "+15005550006") == (dial.text, dial.get("callerId"))


async def test_key_9_bars_calls_and_nothing_else_before_it_says_so(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher)
    began = monotonic()

    assert "We will not call you again" in words(await call.turn(Digits="9"))

    assert monotonic() - began >= WINDOWS.handoff_window
    assert [("voice", "opted_out")] == await dispatcher.suppressed()
    assert 1 == await dispatcher.owner.fetchval("SELECT count(*) FROM event WHERE kind = 'contact.opted_out'")


async def test_a_turn_that_nobody_signed_or_sealed_says_nothing(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher)
    path = call.asked["Url"].removeprefix(PUBLIC)

    unsigned = await dispatcher.http.post(path, data={"CallSid": "CA1", "Digits": "1"})
    other = re.sub(r"attempt=\d+", "attempt=999999", call.asked["Url"])
    foreign = Seal("another token").close(Script("en", "Pay me", "Pay me", "1", True), call.attempt)
    forged = f"{PUBLIC}{urlsplit(path).path}?attempt={call.attempt}&script={foreign}"

    assert 401 == unsigned.status_code
    assert [401, 401] == [(await call.post(url, Digits="1")).status_code for url in (other, forged)]
    assert "waiting" == await call.follows()


async def test_nobody_is_called_again_with_spacing_so_often_a_day_and_then_no_more(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher)
    waits = []
    for fence in range(1, 5):
        call.asked = dispatcher.twilio.requests[-1]
        assert f"attempt={call.reminder}.{fence}" in call.asked["StatusCallback"]
        await call.ends("no-answer")
        if await call.state() == "pending":
            waits.append(await _wait(dispatcher, call.reminder))
            await dispatcher.owner.execute("UPDATE business_clock SET ahead = ahead + $1::interval", waits[-1])
            await dispatcher.queue_again(call.reminder)
            await dispatcher.owner.execute("UPDATE reminder SET send_until = 'infinity' WHERE id = $1", call.reminder)
            await dispatcher.send(call.reminder)

    hours = [round(wait / timedelta(hours=1)) for wait in waits]
    assert [2, 22, 2] == hours  # two calls in 24 hours
    assert [("voice", "missed")] * 3 + [("voice", "undelivered")] == await dispatcher.attempts(call.reminder)
    assert ("failed", "cancelled") == (await call.state(), await call.follows())


async def _wait(dispatcher: Dispatcher, reminder: int) -> timedelta:
    wait: timedelta = await dispatcher.owner.fetchval(
        "SELECT due_at - business_now() + interval '1 second' FROM reminder WHERE id = $1", reminder
    )
    return wait


async def test_a_call_whose_end_is_never_told_lets_its_follower_go_after_an_hour(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher)
    assert "waiting" == await call.follows()
    await dispatcher.owner.execute("UPDATE business_clock SET ahead = ahead + interval '61 minutes'")

    await expire_receipts(dispatcher.owner, 10)

    assert ("accepted", "pending") == (await call.state(), await call.follows())


async def test_a_turn_of_an_attempt_that_is_gone_is_answered_and_counted(dispatcher: Dispatcher) -> None:
    call = await calling(dispatcher)
    seal = Seal(TOKEN)
    script = seal.open(call.asked["Url"].rpartition("script=")[2], call.attempt)
    assert script is not None
    call.asked["Url"] = f"{PUBLIC}/v1/receipts/twilio/call?attempt=999999.1&script={seal.close(script, '999999.1')}"

    assert "is on its way" in words(await call.turn(Digits="1"))
    assert "waiting" == await call.follows()
