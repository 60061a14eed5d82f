"""How to make each class of outcome happen on each channel: what its provider answers, and what it reports later.

`HAPPENS[channel][what]` is what is done before the hand-off and after it; what a channel cannot do is not in it.
"""

import asyncio
import base64
import json
import smtplib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook
from twilio.request_validator import RequestValidator

from services.dispatcher.adapters.events_postmark import PostmarkEvents
from services.dispatcher.domain.ports import Channel
from shared.flow import Flow
from tests import factories
from tests.doubles.bounces import dsn
from tests.doubles.json_api import JsonApi, json_api
from tests.doubles.push_services import TOKEN as APP
from tests.doubles.push_services import browser, push, push_api
from tests.doubles.smtp_sink import DROP
from tests.integration.dispatcher_running import PUBLIC, TOKEN, Dispatcher, running

PHONE, HOOK = "+4915112345678", "https://hooks.example/ana"
SECRET = "whsec_" + base64.b64encode(b"the secret that signs its words.").decode()
POSTMARK = "postmark:a-long-enough-password"
FCM = "type.googleapis.com/google.firebase.fcm.v1.FcmError"


class What(StrEnum):
    """The classes of outcome: of the hand-off, then of what is reported later."""

    TAKEN = "taken"
    ADDRESS_REFUSED = "address refused"
    MESSAGE_REFUSED = "message refused"
    LATER = "told to come later"
    SERVER_ERROR = "server error"
    SILENCE = "no answer"
    ARRIVED = "reported as arrived"
    READ = "reported as read or answered"
    DID_NOT_ARRIVE = "reported as not arrived"
    ADDRESS_DEAD = "reported as a dead address"
    MISSED = "reported as missed this time"
    UNWANTED = "reported as unwanted"
    NO_RECEIPT = "no report in time"
    MISCONFIGURED = "misconfigured"  # last, for it stops the provider


@dataclass
class World:
    dispatcher: Dispatcher
    channel: str
    api: JsonApi

    async def reported(self, path: str, **request: Any) -> None:
        answer = await self.dispatcher.http.post(path, **request)
        assert answer.status_code < 300, answer.text

    async def twilio(self, path: str, form: Mapping[str, str]) -> None:
        signature = RequestValidator(TOKEN).compute_signature(PUBLIC + path, form)
        await self.reported(path, data=form, headers={"X-Twilio-Signature": signature})

    async def message(self, reminder: int, status: str, code: str = "") -> None:
        scheme = {"sms": "", "rcs": "rcs:", "whatsapp": "whatsapp:"}[self.channel]
        form = {"MessageSid": "SM1", "MessageStatus": status, "To": scheme + PHONE}
        await self.twilio(f"/v1/receipts/twilio?attempt={reminder}.1", form | ({"ErrorCode": code} if code else {}))

    async def call(self, reminder: int, status: str, **form: str) -> None:
        said = {"CallSid": "CA1", "CallStatus": status, **form}
        await self.twilio(f"/v1/receipts/twilio?attempt={reminder}.1", said)

    async def turn(self, **form: str) -> None:
        url = self.dispatcher.twilio.requests[-1]["Url"].removeprefix(PUBLIC)
        await self.twilio(url, {"CallSid": "CA1", "From": PHONE, "AnsweredBy": "human", **form})

    async def postmark(self, reminder: int, kind: str) -> None:
        event = {"RecordType": kind, "Metadata": {"attempt": f"{reminder}.1"}}
        await self.reported("/v1/receipts/postmark", json=event, auth=tuple(POSTMARK.split(":")))

    async def bounced(self, status: str, said: str, to: str | None = None) -> None:
        mail = self.dispatcher.smtp.mails[-1]
        report = dsn(status, said, to=to or mail.rcpt_tos[0])

        def deliver() -> None:
            with smtplib.SMTP("127.0.0.1", self.dispatcher.bounce_port, timeout=10) as peer:
                peer.sendmail("", [str(mail.mail_from)], report)

        await asyncio.to_thread(deliver)

    async def word(self, reminder: int, status: str) -> None:
        now, content = datetime.now(UTC), json.dumps({"data": {"attempt_id": f"{reminder}.1", "status": status}})
        signed = {
            "webhook-id": f"w{reminder}",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(SECRET).sign(f"w{reminder}", now, content),
        }
        await self.reported("/v1/receipts/acme", content=content, headers=signed)


Before = Callable[[World], object]
After = Callable[[World, int], Awaitable[object]]


async def nothing(_world: World, _reminder: int) -> None:
    return None


def twilio_says(status: int, code: int) -> tuple[Before, After]:
    return lambda world: world.dispatcher.twilio.refuse(status, code, "no"), nothing


def smtp_says(stage: str, answer: str) -> tuple[Before, After]:
    return lambda world: world.dispatcher.smtp.script.update({stage: answer}), nothing


def api_says(status: int, body: Any = None) -> tuple[Before, After]:
    return lambda world: world.api.answer(status, body), nothing


def later(after: After) -> tuple[Before, After]:
    return lambda _: None, after


def fcm(code: str) -> Any:
    return {"error": {"details": [{"@type": FCM, "errorCode": code}]}}


async def six_hours_pass(world: World, _reminder: int) -> None:
    await world.dispatcher.owner.execute("SELECT expire_receipts(business_now() + interval '7 hours', 10)")


async def told(world: World) -> None:
    """The dispatcher has the channel's standing of now; receipts are expected within six hours from whom promises them."""
    items = (await world.dispatcher.http.get("/v1/channels")).json()["items"]
    [found] = [item for item in items if item["channel"] == world.channel]
    body: dict[str, Any] = {"providers": [{"provider": one["provider"]} for one in found["providers"]]}
    if found["promises_receipts"]:
        body["fallback_after"] = "PT6H"
    answer = await world.dispatcher.http.put(f"/v1/channels/{world.channel}", json=body)
    assert answer.status_code == 200, answer.text


async def stopped(world: World, _reminder: int) -> None:
    """The provider, for the whole deployment: which is noted a moment after the message."""
    await world.dispatcher.until(
        "SELECT EXISTS (SELECT FROM provider_state WHERE channel = $1 AND open_until > clock_timestamp())",
        world.channel,
    )
    await told(world)


TAKEN = later(nothing)
TWILIO_HANGS = (lambda world: setattr(world.dispatcher.twilio, "hang", True), nothing)
API_HANGS = (lambda world: setattr(world.api, "hang", True), nothing)
NO_RECEIPT = later(six_hours_pass)


async def heard(world: World, reminder: int) -> None:
    await world.turn()
    await world.call(reminder, "completed", CallDuration="61")


async def picked_up(world: World, _reminder: int) -> None:
    await world.turn()


async def wants_no_calls(world: World, reminder: int) -> None:
    await world.turn()
    await world.turn(Digits="9")
    await world.call(reminder, "completed", CallDuration="20")


def messages(bad_number: str, dead: str, blocked: str, missed: str, read: bool) -> dict[What, tuple[Before, After]]:
    seen = {What.READ: later(lambda world, one: world.message(one, "read"))} if read else {}
    return {
        What.TAKEN: TAKEN,
        What.ADDRESS_REFUSED: twilio_says(400, int(bad_number)),
        What.MESSAGE_REFUSED: twilio_says(400, 21617),
        What.LATER: twilio_says(429, 20429),
        What.SERVER_ERROR: twilio_says(500, 20500),
        What.SILENCE: TWILIO_HANGS,
        What.ARRIVED: later(lambda world, one: world.message(one, "delivered")),
        **seen,
        What.DID_NOT_ARRIVE: later(lambda world, one: world.message(one, "undelivered", "30008")),
        What.ADDRESS_DEAD: later(lambda world, one: world.message(one, "undelivered", dead)),
        What.MISSED: later(lambda world, one: world.message(one, "undelivered", missed)),
        What.UNWANTED: later(lambda world, one: world.message(one, "failed", blocked)),
        What.NO_RECEIPT: NO_RECEIPT,
        What.MISCONFIGURED: (twilio_says(401, 20003)[0], stopped),
    }


HAPPENS: dict[str, dict[What, tuple[Before, After]]] = {
    "email": {
        What.TAKEN: TAKEN,
        What.ADDRESS_REFUSED: smtp_says("RCPT", "550 5.1.1 no such user"),
        What.MESSAGE_REFUSED: smtp_says("DOT", "554 5.6.0 content refused"),
        What.LATER: smtp_says("RCPT", "451 4.7.1 greylisted"),
        What.SERVER_ERROR: smtp_says("DOT", "451 4.3.0 out of disk"),
        What.SILENCE: smtp_says("DOT", DROP),
        What.ARRIVED: later(lambda world, one: world.postmark(one, "Delivery")),
        What.READ: later(lambda world, one: world.postmark(one, "Open")),
        What.DID_NOT_ARRIVE: later(lambda world, _: world.bounced("5.1.1", "gone", to="ana@elsewhere.test")),
        What.ADDRESS_DEAD: later(lambda world, _: world.bounced("5.1.1", "no such user")),
        What.MISSED: later(lambda world, _: world.bounced("4.2.2", "mailbox full")),
        What.UNWANTED: later(lambda world, one: world.postmark(one, "SpamComplaint")),
        What.NO_RECEIPT: NO_RECEIPT,
        What.MISCONFIGURED: (smtp_says("MAIL", "550 5.7.1 sender not allowed here")[0], stopped),
    },
    "sms": messages("21211", dead="30005", blocked="21610", missed="30003", read=False),
    "rcs": messages("21211", dead="30006", blocked="63014", missed="63010", read=True),
    "whatsapp": messages("21211", dead="63024", blocked="63014", missed="63018", read=True),
    "voice": {
        What.TAKEN: TAKEN,
        What.ADDRESS_REFUSED: twilio_says(400, 21217),
        What.MESSAGE_REFUSED: twilio_says(400, 21214),
        What.LATER: twilio_says(429, 20429),
        What.SERVER_ERROR: twilio_says(500, 20500),
        What.SILENCE: TWILIO_HANGS,
        What.ARRIVED: later(heard),
        What.READ: later(picked_up),
        What.MISSED: later(lambda world, one: world.call(one, "busy")),
        What.UNWANTED: later(wants_no_calls),
        What.NO_RECEIPT: NO_RECEIPT,
        What.MISCONFIGURED: (twilio_says(401, 20003)[0], stopped),
    },
    "push to an app": {
        What.TAKEN: TAKEN,
        What.ADDRESS_REFUSED: api_says(404, fcm("UNREGISTERED")),
        What.MESSAGE_REFUSED: api_says(400, fcm("INVALID_ARGUMENT")),
        What.LATER: api_says(429, fcm("QUOTA_EXCEEDED")),
        What.SERVER_ERROR: api_says(503),
        What.SILENCE: API_HANGS,
        What.NO_RECEIPT: NO_RECEIPT,
        What.MISCONFIGURED: (api_says(403, fcm("SENDER_ID_MISMATCH"))[0], stopped),
    },
    "push to a browser": {
        What.TAKEN: TAKEN,
        What.ADDRESS_REFUSED: api_says(410),
        What.MESSAGE_REFUSED: api_says(403),
        What.LATER: api_says(429),
        What.SERVER_ERROR: api_says(500),
        What.SILENCE: API_HANGS,
        What.NO_RECEIPT: NO_RECEIPT,
    },
    "http": {
        What.TAKEN: TAKEN,
        What.ADDRESS_REFUSED: api_says(422, {"error": "nobody"}),
        What.MESSAGE_REFUSED: api_says(400),
        What.LATER: api_says(429),
        What.SERVER_ERROR: api_says(500),
        What.SILENCE: API_HANGS,
        What.ARRIVED: later(lambda world, one: world.word(one, "ok")),
        What.DID_NOT_ARRIVE: later(lambda world, one: world.word(one, "not ok")),
        What.ADDRESS_DEAD: later(lambda world, one: world.word(one, "gone")),
        What.MISSED: later(lambda world, one: world.word(one, "asleep")),
        What.UNWANTED: later(lambda world, one: world.word(one, "no more")),
        What.NO_RECEIPT: NO_RECEIPT,
        What.MISCONFIGURED: (api_says(401)[0], stopped),
    },
}
WORDS = {"ok": "delivered", "not ok": "undelivered", "gone": "invalid", "asleep": "missed", "no more": "opted_out"}


@asynccontextmanager
async def world_of(way: str, dsn: str, amqp_url: str, folder: Path) -> AsyncIterator[World]:
    """A dispatcher behind RabbitMQ with this channel and, where that fails, mails (texts, where it is the mails)."""
    channel = way.partition(" ")[0]
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(push_api() if channel == "push" else json_api(200, {"id": "m1"}))
        further: list[Channel] = []
        if channel == "push":
            further = [push(api.url, price=Decimal("0.0003"), timeout=5.0)]
            await further[0].probe()  # which gets the access token
        plain = [channel] if channel in ("sms", "rcs", "whatsapp", "voice") else ["sms"]
        dispatcher = await stack.enter_async_context(
            running(
                dsn,
                folder,
                channels=["email", *plain],
                further=further,
                reporters=[PostmarkEvents(POSTMARK)],
                amqp_url=amqp_url,
            )
        )
        world = World(dispatcher, channel, api)
        if channel == "http":
            await _describe(world)
        await told(world)
        yield world


async def _describe(world: World) -> None:
    described = {
        "url": world.api.url,
        "body": {"to": "{{ address }}"},
        "message_id": "id",
        "refusals": {"invalid_address": "error == 'nobody'"},
        "receipts": {"secrets": [SECRET], "words": WORDS},
        "timeout": 5,
        "price": "0.02",
    }
    answer = await world.dispatcher.http.put("/v1/channels/http/providers/acme", json=described)
    assert answer.status_code == 201, answer.text


async def reminded(way: str, world: World) -> int:
    """A reminder that goes over this channel first, and can go over another."""
    dispatcher, channel = world.dispatcher, world.channel
    other = "sms" if channel == "email" else "email"
    made, reminder = await dispatcher.due()
    await dispatcher.owner.execute(
        "UPDATE customer SET preferred_channel = $2 WHERE id = $1", made.customer_id, channel
    )
    message = "delinquent-call" if channel == "voice" else "overdue"
    step = {"id": "overdue", "when": {"on": "due"}, "message": message, "channels": [channel, other]}
    flow = Flow.parse({"name": "one", "steps": [step]}).to_dict()
    key = await dispatcher.owner.fetchval(
        "INSERT INTO flow_version (name, version, spec) VALUES ($1, 1, $2) RETURNING id", factories.unique("f"), flow
    )
    await dispatcher.owner.execute("UPDATE reminder SET flow_version_id = $1 WHERE id = $2", key, reminder)
    kind, address = {
        "push to an app": ("push", APP),
        "push to a browser": ("push", browser(world.api.url)),
        "http": ("url", HOOK),
    }.get(way, ("phone", PHONE))
    named = {"channels": [channel]} if channel in ("rcs", "whatsapp") else {}
    await factories.contact_point(dispatcher.owner, made.customer_id, kind, address, **named)
    return reminder


def recover(world: World) -> None:
    """What was ordered is over."""
    world.dispatcher.smtp.script.clear()
    world.dispatcher.twilio.answers.clear()
    world.dispatcher.twilio.hang = False
    world.api.answers.clear()
    world.api.hang = False
