"""What every channel keeps, whatever its provider: each against a real server of its own protocol."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from functools import partial
from importlib import import_module
from time import monotonic
from typing import Any

import pytest
from pydantic import SecretStr

from services.dispatcher.adapters.email_smtp import EmailSmtp, SmtpConfig
from services.dispatcher.adapters.http_api import HttpChannel
from services.dispatcher.adapters.rcs_twilio import RcsConfig, RcsTwilio
from services.dispatcher.adapters.registry import CHANNELS
from services.dispatcher.adapters.sms_twilio import SmsTwilio
from services.dispatcher.adapters.twilio_account import TwilioConfig
from services.dispatcher.adapters.twilio_contents import ContentTemplate
from services.dispatcher.adapters.voice_twilio import VoiceConfig, VoiceTwilio
from services.dispatcher.adapters.whatsapp_twilio import WhatsAppConfig, WhatsAppTwilio
from services.dispatcher.domain.http_api import HttpApi
from services.dispatcher.domain.outcomes import Accepted, NotSent, Rejected, Unknown
from services.dispatcher.domain.ports import Channel
from tests.doubles.fax_acme import FaxAcme
from tests.doubles.json_api import JsonApi, json_api
from tests.doubles.outgoing import closed_gate, open_gate, outgoing
from tests.doubles.push_services import HOME, TOKEN, browser, push, push_api
from tests.doubles.rig import Rig
from tests.doubles.smtp_sink import HANG, smtp_sink
from tests.doubles.twilio_api import twilio_api


def _smtp(port: int) -> EmailSmtp:
    return EmailSmtp(
        SmtpConfig(url=SecretStr(f"smtp://127.0.0.1:{port}"), timeout=60.0, connect_timeout=10.0, helo="me.test")
    )


def _account(url: str) -> TwilioConfig:
    return TwilioConfig(account_sid="AC1", auth_token=SecretStr("t"), base_url=url, timeout=60.0, connect_timeout=10.0)


HOOK = "https://hooks.example/ana"
_TEMPLATES = {"overdue/es": ContentTemplate(sid="HX" + "1" * 32, variables={"1": "customer_name"})}
_OVER_TWILIO: dict[str, Callable[[str], Channel]] = {
    "sms_twilio": lambda url: SmsTwilio(_account(url)),
    "rcs_twilio": lambda url: RcsTwilio(_account(url), RcsConfig(rcs_service_sid="MG" + "1" * 32)),
    "whatsapp_twilio": lambda url: WhatsAppTwilio(
        _account(url), WhatsAppConfig(whatsapp_from="+15005550006", whatsapp_templates=_TEMPLATES)
    ),
    "voice_twilio": lambda url: VoiceTwilio(_account(url), VoiceConfig(voice_from="+15005550006")),
}


@asynccontextmanager
async def _email_rig() -> AsyncIterator[Rig]:
    async with smtp_sink() as sink:
        yield Rig(
            _smtp(sink.port),
            "ana@customer.test",
            lambda: len(sink.mails),
            lambda: sink.script.update(DOT=HANG),
            lambda: sink.script.update(RCPT="550 5.1.1 no such user"),
            sink.script.clear,
        )


@asynccontextmanager
async def _twilio_rig(name: str) -> AsyncIterator[Rig]:
    async with twilio_api() as api:
        yield Rig(
            _OVER_TWILIO[name](api.url),
            "+573001234567",
            lambda: len(api.requests),
            lambda: setattr(api, "hang", True),
            lambda: api.refuse(400, 21211, "Invalid 'To' Phone Number"),
            lambda: setattr(api, "hang", False),
        )


def _http(url: str) -> HttpChannel:
    body = {"to": "{{ address }}", "text": "{{ text }}"}
    refusals = {"invalid_address": "error == 'nobody'"}
    described = {"url": f"{url}/send", "body": body, "message_id": "id", "refusals": refusals, "timeout": 30}
    return HttpChannel("acme", HttpApi.model_validate(described), HOME, connect_timeout=10.0)


@asynccontextmanager
async def _http_rig() -> AsyncIterator[Rig]:
    async with json_api(200, {"id": "m1"}) as api:
        yield _json_rig(api, _http(api.url), HOOK, (422, {"error": "nobody"}))


@asynccontextmanager
async def _fcm_rig() -> AsyncIterator[Rig]:
    unregistered = {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "UNREGISTERED"}
    async with push_api() as api:
        channel = push(api.url)
        await channel.probe()  # which gets the access token
        api.requests.clear()
        yield _json_rig(api, channel, TOKEN, (404, {"error": {"details": [unregistered]}}))


@asynccontextmanager
async def _browser_rig() -> AsyncIterator[Rig]:
    async with push_api() as api:
        yield _json_rig(api, push(api.url, fcm_account=None), browser(api.url), (410, None))


def _json_rig(api: JsonApi, channel: Channel, to: str, refusal: tuple[int, Any]) -> Rig:
    return Rig(
        channel,
        to,
        lambda: len(api.requests),
        lambda: setattr(api, "hang", True),
        lambda: api.answer(*refusal),
        lambda: setattr(api, "hang", False),
    )


_RIGS: dict[str, Callable[[], AbstractAsyncContextManager[Rig]]] = {
    "email_smtp": _email_rig,
    **{name: partial(_twilio_rig, name) for name in _OVER_TWILIO},
    "http_api": _http_rig,
    "push_fcm_web": _fcm_rig,
    "push_fcm_web to a browser": _browser_rig,
}


# As if somebody had added it today: an adapter and its line in the registry, nothing here.
EVERY: dict[str, type[Channel]] = {**CHANNELS, "fax_acme": FaxAcme}


def _brought(name: str) -> Any:
    """What came with a channel that this file does not know."""
    return import_module(f"tests.doubles.{name}")


@pytest.fixture(params=sorted({*_RIGS, *EVERY}))
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    make = _RIGS[request.param] if request.param in _RIGS else _brought(request.param).rig
    async with make() as made:
        yield made
        await made.channel.close()


async def test_what_the_provider_takes_is_accepted_with_its_reference(rig: Rig) -> None:
    outcome = await rig.channel.send(outgoing(rig.to), open_gate())

    assert isinstance(outcome, Accepted)
    assert outcome.provider_ref
    assert rig.taken() == 1


async def test_behind_a_closed_gate_nothing_reaches_the_provider(rig: Rig) -> None:
    outcome = await rig.channel.send(outgoing(rig.to), closed_gate())

    assert isinstance(outcome, NotSent)
    assert not outcome.misconfigured
    assert rig.taken() == 0


async def test_silence_after_the_hand_off_is_unknown_within_the_limit_of_the_deployment(rig: Rig) -> None:
    rig.hang_after_taking()
    started = monotonic()

    outcome = await rig.channel.send(outgoing(rig.to), open_gate(timeout=3.0))

    assert isinstance(outcome, Unknown)
    assert rig.taken() == 1
    assert monotonic() - started < 25


async def test_a_limit_that_is_over_before_the_hand_off_means_not_sent(rig: Rig) -> None:
    outcome = await rig.channel.send(outgoing(rig.to), open_gate(timeout=0.0))

    assert isinstance(outcome, NotSent)
    assert not outcome.misconfigured
    assert rig.taken() == 0


async def test_a_refused_address_is_rejected_and_suppressed(rig: Rig) -> None:
    rig.refuse_address()

    outcome = await rig.channel.send(outgoing(rig.to), open_gate())

    assert isinstance(outcome, Rejected)
    assert outcome.suppress is not None


async def test_a_cancelled_send_leaves_a_channel_that_works(rig: Rig) -> None:
    rig.hang_after_taking()
    sending = asyncio.create_task(rig.channel.send(outgoing(rig.to), open_gate()))
    while rig.taken() == 0:
        await asyncio.sleep(0.005)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending

    rig.recover()
    assert isinstance(await rig.channel.send(outgoing(rig.to), open_gate()), Accepted)


async def test_many_at_once_are_all_taken_once(rig: Rig) -> None:
    outcomes = await asyncio.gather(*(rig.channel.send(outgoing(rig.to), open_gate()) for _ in range(40)))

    assert {Accepted} == {type(outcome) for outcome in outcomes}
    assert rig.taken() == 40


async def test_a_probe_tells_whether_the_provider_answers(rig: Rig) -> None:
    assert await rig.channel.probe()


async def test_a_message_costs_at_least_the_price_of_one(rig: Rig) -> None:
    price = rig.channel.price(rig.to)

    assert price > Decimal(0)
    assert rig.channel.cost(outgoing(rig.to)) >= price
    assert rig.channel.concurrency > 0


def _at(name: str, port: int) -> tuple[Channel, str]:
    """The channel with its provider at this port, and an address."""
    url = f"http://127.0.0.1:{port}"
    match name:
        case "email_smtp":
            return _smtp(port), "ana@customer.test"
        case "http_api":
            return _http(url), HOOK
        case "push_fcm_web":
            return push(url), TOKEN
        case _ if name in _OVER_TWILIO:
            return _OVER_TWILIO[name](url), "+573001234567"
        case _:
            brought: tuple[Channel, str] = _brought(name).at(port)
            return brought


@pytest.mark.parametrize("name", sorted(EVERY))
async def test_an_unreachable_provider_means_not_sent(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    channel, to = _at(name, port)

    outcome = await channel.send(outgoing(to), open_gate())

    assert isinstance(outcome, NotSent)
    assert not outcome.misconfigured
    assert not await channel.probe()
    await channel.close()


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_channel_without_settings_is_absent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("DUNNOCK_")]:
        monkeypatch.delenv(variable)

    assert EVERY[name].from_settings() is None


def test_the_registry_names_each_channel_by_what_it_carries_and_through_whom() -> None:
    assert {f"{channel.name}_{channel.provider}" for channel in EVERY.values()} == set(EVERY)
