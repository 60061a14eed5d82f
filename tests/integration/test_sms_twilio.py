"""SMS against an HTTP double that speaks Twilio's protocol."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import SecretStr, ValidationError
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from services.dispatcher.adapters.sms_twilio import SmsTwilio
from services.dispatcher.adapters.twilio_account import TwilioConfig
from services.dispatcher.adapters.twilio_answers import read_callback
from services.dispatcher.domain.outcomes import (
    Accepted,
    Delivered,
    Engaged,
    Engagement,
    Missed,
    NotSent,
    Outcome,
    Receipt,
    Rejected,
    SuppressReason,
    Unknown,
)
from services.dispatcher.domain.ports import Gate, GateClosed
from shared.content import Rendered
from tests.doubles.outgoing import facts, open_gate, outgoing
from tests.doubles.twilio_api import TwilioApi, twilio_api

TO = "+573001234567"


@pytest.fixture
async def api() -> AsyncIterator[TwilioApi]:
    async with twilio_api() as made:
        yield made


@pytest.fixture
async def sms(api: TwilioApi) -> AsyncIterator[SmsTwilio]:
    channel = sms_to(api)
    yield channel
    await channel.close()


def sms_to(api: TwilioApi, messaging_service_sid: str | None = None) -> SmsTwilio:
    return SmsTwilio(
        TwilioConfig(
            account_sid="AC42",
            auth_token=SecretStr("token"),
            base_url=api.url,
            timeout=20.0,
            connect_timeout=10.0,
            price=Decimal("0.05"),
            messaging_service_sid=messaging_service_sid,
        )
    )


async def test_a_message_is_created_once_with_its_callback(sms: SmsTwilio, api: TwilioApi) -> None:
    outcome = await sms.send(outgoing(TO, rendered=Rendered("", "Hola ñ")), open_gate())

    assert Accepted("SM" + "1".zfill(32), "queued, 1 GSM-7") == outcome
    assert ["/2010-04-01/Accounts/AC42/Messages.json"] == api.paths
    [request] = api.requests
    assert {
        "To": TO,
        "From": "+15005550006",
        "Body": "Hola ñ",
        "StatusCallback": "http://127.0.0.1:1/v1/receipts/twilio?attempt=12.1",
    } == request
    assert "Basic " + base64.b64encode(b"AC42:token").decode() == api.headers[0]["authorization"]


async def test_a_messaging_service_sends_where_the_creditor_has_no_number(api: TwilioApi) -> None:
    sms = sms_to(api, messaging_service_sid="MG" + "7" * 32)

    outcome = await sms.send(outgoing(TO, facts=facts(sms_from=None)), open_gate())

    assert isinstance(outcome, Accepted)
    assert "MG" + "7" * 32 == api.requests[0]["MessagingServiceSid"]
    assert "From" not in api.requests[0]
    await sms.close()


async def test_without_any_sender_nothing_is_asked_of_the_provider(sms: SmsTwilio, api: TwilioApi) -> None:
    outcome = await sms.send(outgoing(TO, facts=facts(sms_from=None)), open_gate())

    assert isinstance(outcome, NotSent)
    assert outcome.misconfigured
    assert [] == api.requests


async def test_a_parameter_that_twilio_does_not_describe_is_refused_and_stops_the_channel(
    sms: SmsTwilio, api: TwilioApi
) -> None:
    made = await sms._create(
        open_gate(), lambda client: client.messages.create_async(TO, from_="+15005550006", body="x")
    )
    assert not isinstance(made, Outcome)

    async def misspelt(client: Client) -> object:
        version = client.api.v2010
        fields = {"To": TO, "From": "+15005550006", "Body": "x", "StatusCallBack": "https://x.test"}
        return await version.create_async("POST", "/Accounts/AC42/Messages.json", data=fields)

    outcome = await sms._create(open_gate(), misspelt)

    assert isinstance(outcome, NotSent)
    assert outcome.misconfigured
    assert "unknown parameter StatusCallBack" in outcome.detail


@pytest.mark.parametrize("sid", ["MG7", "AC" + "7" * 32])
def test_a_malformed_messaging_service_stops_the_start(sid: str) -> None:
    with pytest.raises(ValidationError, match="messaging_service_sid"):
        TwilioConfig(account_sid="AC42", auth_token=SecretStr("token"), messaging_service_sid=sid)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 21610, (Rejected, SuppressReason.OPTED_OUT)),
        (400, 21211, (Rejected, SuppressReason.INVALID)),
        (400, 21614, (Rejected, SuppressReason.INVALID)),
        (400, 21635, (Rejected, SuppressReason.INVALID)),
        (400, 21617, (Rejected, None)),
        (401, 20003, (NotSent, True)),
        (400, 21408, (NotSent, True)),
        (400, 21606, (NotSent, True)),
        (400, 30034, (NotSent, True)),
        (400, 21611, (NotSent, False)),
        (500, 20500, (Unknown, None)),
        (503, 20503, (Unknown, None)),
    ],
)
async def test_an_error_answer_is_classed_by_its_code(
    sms: SmsTwilio, api: TwilioApi, status: int, code: int, expected: tuple[type[Outcome], object]
) -> None:
    api.refuse(status, code, "said why")

    outcome = await sms.send(outgoing(TO), open_gate())

    assert expected[0] is type(outcome)
    assert expected[1] == getattr(outcome, "suppress", getattr(outcome, "misconfigured", None))
    assert 1 == len(api.requests)


async def test_too_many_requests_wait_as_long_as_the_provider_says(sms: SmsTwilio, api: TwilioApi) -> None:
    api.refuse(429, 20429, "slow down", Retry_After="7")

    outcome = await sms.send(outgoing(TO), open_gate())

    assert isinstance(outcome, NotSent)
    assert timedelta(seconds=7) == outcome.retry_in
    assert not outcome.misconfigured


async def test_a_gate_that_closes_during_the_connect_lets_no_request_be_written(
    api: TwilioApi, sms: SmsTwilio, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([None, GateClosed("window over")])

    def check(_gate: Gate) -> None:
        if (closed := next(answers)) is not None:
            raise closed

    monkeypatch.setattr(Gate, "check", check)

    assert NotSent("window over") == await sms.send(outgoing(TO), open_gate())
    assert [] == api.requests


async def test_a_connection_cut_after_the_request_leaves_it_unknown() -> None:
    finished = asyncio.Event()

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.close()
        await writer.wait_closed()
        finished.set()

    async with await asyncio.start_server(cut, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        sms = SmsTwilio(TwilioConfig(account_sid="AC1", auth_token=SecretStr("t"), base_url=url, timeout=2))

        assert isinstance(await sms.send(outgoing(TO), open_gate()), Unknown)
        await finished.wait()
        await sms.close()


def test_a_long_text_costs_by_its_segments() -> None:
    sms = SmsTwilio(TwilioConfig(account_sid="AC1", auth_token=SecretStr("t"), price=Decimal("0.05")))

    assert Decimal("0.05") == sms.cost(outgoing(TO, rendered=Rendered("", "a" * 160)))
    assert Decimal("0.10") == sms.cost(outgoing(TO, rendered=Rendered("", "a" * 161)))
    assert Decimal("0.10") == sms.cost(outgoing(TO, rendered=Rendered("", "ж" * 71)))


async def test_a_text_of_too_many_segments_is_left_to_the_next_channel(sms: SmsTwilio, api: TwilioApi) -> None:
    outcome = await sms.send(outgoing(TO, rendered=Rendered("", "ж" * 403)), open_gate())

    assert isinstance(outcome, Rejected)
    assert "the text is 7 segments long (UCS-2), more than the 6" in outcome.detail
    assert outcome.suppress is None
    assert [] == api.requests


async def test_only_what_twilio_signed_is_a_callback(sms: SmsTwilio) -> None:
    url = "https://dunnock.example/v1/receipts/twilio?attempt=12.1"
    params = {"MessageSid": "SM1", "MessageStatus": "delivered"}
    signature = RequestValidator("token").compute_signature(url, params)

    assert sms.verify_callback(url, params, signature)
    assert not sms.verify_callback(url.replace("12.1", "13.1"), params, signature)
    assert not sms.verify_callback(url, params | {"MessageStatus": "failed"}, signature)
    assert not sms.verify_callback(url, params, "")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("delivered", "", Delivered("SM1", "delivered")),
        ("sent", "", Accepted("SM1", "sent")),
        ("read", "", Delivered("SM1", "read")),
        ("queued", "", None),
        ("undelivered", "30003", Missed("undelivered 30003")),
        ("undelivered", "30006", Rejected("undelivered 30006", "30006", SuppressReason.INVALID)),
        ("undelivered", "30007", Rejected("undelivered 30007", "30007")),
        ("failed", "21610", Rejected("failed 21610", "21610", SuppressReason.OPTED_OUT)),
        ("failed", "30034", Rejected("failed 30034", "30034")),
        ("failed", "", Rejected("failed", "0")),
    ],
)
def test_a_callback_says_what_became_of_the_message(status: str, code: str, expected: Receipt | None) -> None:
    words = read_callback({"MessageSid": "SM1", "MessageStatus": status, "ErrorCode": code})

    opened = [Engaged(Engagement.OPENED)] if status == "read" else []
    assert ([expected] if expected else []) + opened == words


@pytest.mark.parametrize(
    ("code", "suppressed"),
    [
        (63014, SuppressReason.OPTED_OUT),
        (63024, SuppressReason.INVALID),
        (63003, SuppressReason.INVALID),
        (63016, None),
    ],
)
def test_a_channels_own_refusals_say_whether_to_ask_there_again(code: int, suppressed: SuppressReason | None) -> None:
    [word] = read_callback({"MessageSid": "SM1", "MessageStatus": "undelivered", "ErrorCode": str(code)})

    assert isinstance(word, Rejected)
    assert suppressed == word.suppress
