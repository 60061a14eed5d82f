"""What customers answer to texts: STOP in any language, START, and everything else."""

from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import httpx
import pytest
from twilio.request_validator import RequestValidator

from shared.content.replies import Wish, wish
from tests import factories
from tests.integration.dispatcher_running import PUBLIC, TOKEN, WINDOWS, Dispatcher, running

PHONE = "+4915112345678"


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path, channels=("sms", "rcs", "whatsapp", "voice")) as made:
        yield made


async def customer(dispatcher: Dispatcher, locale: str = "en", phone: str = PHONE) -> int:
    owner = await factories.customer(dispatcher.owner, locale=locale)
    await factories.contact_point(dispatcher.owner, owner, "phone", phone)
    return owner


async def reply(
    dispatcher: Dispatcher, text: str, *, sid: str = "SM1", channel: str = "", sign: bool = True, **more: str
) -> httpx.Response:
    path, scheme = "/v1/receipts/twilio", f"{channel}:" if channel else ""
    form = {
        "MessageSid": sid,
        "SmsStatus": "received",
        "From": scheme + PHONE,
        "To": f"{scheme}+1",
        "Body": text,
        **more,
    }
    signature = RequestValidator(TOKEN).compute_signature(PUBLIC + path, form) if sign else "bm90IHRoaXM="
    return await dispatcher.http.post(path, data=form, headers={"X-Twilio-Signature": signature})


async def kept(dispatcher: Dispatcher) -> list[str]:
    return [row[0] for row in await dispatcher.owner.fetch("SELECT body FROM reply ORDER BY id")]


async def told(dispatcher: Dispatcher) -> list[str]:
    rows = await dispatcher.owner.fetch("SELECT kind FROM event WHERE customer_id IS NOT NULL ORDER BY id")
    return [row[0] for row in rows]


async def test_a_stop_bars_texts_after_its_commit_and_a_window_and_is_confirmed_in_the_customers_language(
    dispatcher: Dispatcher,
) -> None:
    await customer(dispatcher, "es-CO")
    began = monotonic()

    answer = await reply(dispatcher, " Baja. ")

    assert monotonic() - began >= WINDOWS.handoff_window
    assert {("sms", "opted_out"), ("rcs", "opted_out")} == set(await dispatcher.suppressed())
    assert (200, "application/xml") == (answer.status_code, answer.headers["content-type"].partition(";")[0])
    assert "<Message>No recibirá más mensajes en este número. Responda ALTA" in answer.text
    assert ["contact.opted_out"] == await told(dispatcher)


async def test_what_twilio_took_for_a_stop_is_one_and_is_not_confirmed_twice(dispatcher: Dispatcher) -> None:
    await customer(dispatcher)

    answer = await reply(dispatcher, "genug", OptOutType="STOP")

    assert (204, "") == (answer.status_code, answer.text)
    assert ("sms", "opted_out") in await dispatcher.suppressed()


async def test_start_lifts_what_a_stop_barred_and_no_other_reason(dispatcher: Dispatcher) -> None:
    await customer(dispatcher)
    await reply(dispatcher, "STOP", sid="SM1")
    await dispatcher.owner.execute("UPDATE suppression SET reason = 'invalid' WHERE channel = 'rcs'")

    answer = await reply(dispatcher, "start", sid="SM2")

    assert "You will get our messages on this number again" in answer.text
    assert [("rcs", "invalid")] == await dispatcher.suppressed()
    assert ["contact.opted_out", "contact.restored"] == await told(dispatcher)


async def test_whatsapp_speaks_for_itself(dispatcher: Dispatcher) -> None:
    await customer(dispatcher)

    await reply(dispatcher, "parar", channel="whatsapp")

    assert [("whatsapp", "opted_out")] == await dispatcher.suppressed()


async def test_any_other_reply_is_kept_once_and_told_without_its_words(dispatcher: Dispatcher) -> None:
    owner = await customer(dispatcher)

    for _ in range(3):
        assert 204 == (await reply(dispatcher, "Please stop the machine, I paid\x01 yesterday")).status_code

    assert ["Please stop the machine, I paid\x01 yesterday"] == await kept(dispatcher)
    [event] = await dispatcher.owner.fetch("SELECT customer_id, data FROM event WHERE kind = 'reply.received'")
    assert owner == event["customer_id"]
    assert {"channel", "reply"} == event["data"].keys()
    assert [] == await dispatcher.suppressed()


async def test_a_number_of_two_customers_speaks_for_both(dispatcher: Dispatcher) -> None:
    await customer(dispatcher)
    await customer(dispatcher)

    await reply(dispatcher, "STOP")

    assert 4 == len(await dispatcher.suppressed())


async def test_a_stranger_is_acknowledged_and_a_forger_is_not(dispatcher: Dispatcher) -> None:
    assert 204 == (await reply(dispatcher, "STOP")).status_code
    await customer(dispatcher)
    assert 401 == (await reply(dispatcher, "STOP", sign=False)).status_code

    assert ([], []) == (await dispatcher.suppressed(), await kept(dispatcher))


@pytest.mark.parametrize("text", ["\x00", "x" * 5000, "", "STOP\x00"])
async def test_odd_replies_break_nothing(dispatcher: Dispatcher, text: str) -> None:
    await customer(dispatcher)

    assert (await reply(dispatcher, text)).status_code in (200, 204)

    assert all(len(body) <= 1600 for body in await kept(dispatcher))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("STOP", Wish.STOP),
        ("stop!", Wish.STOP),
        ("no más", Wish.STOP),
        ("Sair.", Wish.STOP),
        ("ALTA", Wish.START),
        ("stop calling my mother", None),
        ("", None),
        ("s" * 5000, None),
    ],
)
def test_only_a_whole_reply_is_a_wish(text: str, expected: Wish | None) -> None:
    assert wish(text) is expected
