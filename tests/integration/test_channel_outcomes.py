"""Each channel over Twilio x each class of outcome -> the reminder's next state, the attempt, who is barred, the cost, and
what the timeline is told. The customer prefers the channel; a mail would come next."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from twilio.request_validator import RequestValidator

from shared.flow import standard
from tests import factories
from tests.integration.dispatcher_running import PUBLIC, TOKEN, Dispatcher, running

PHONE = "+4915112345678"
MESSAGES = ("sms", "rcs", "whatsapp")
CHANNELS = (*MESSAGES, "voice")
# The text of an overdue invoice is two segments long.
PRICES = {"sms": Decimal("0.1"), "rcs": Decimal("0.03"), "whatsapp": Decimal("0.04"), "voice": Decimal("0.03")}


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path, channels=("email", *CHANNELS)) as made:
        yield made


@dataclass(frozen=True)
class After:
    """What there is to see."""

    reminder: str
    attempt: str
    barred: str | None
    cost: Decimal
    told: list[str]


async def due_on(dispatcher: Dispatcher, channel: str) -> int:
    made, reminder = await dispatcher.due(customer_columns={"preferred_channel": channel})
    await factories.contact_point(dispatcher.owner, made.customer_id, "phone", PHONE, channels=[channel])
    spec = standard().to_dict()
    for step in spec["steps"]:
        step["channels"] = [channel, "email"] if step["id"] == "overdue" else step["channels"]
    await dispatcher.owner.execute("UPDATE flow_version SET spec = $1 WHERE id = $2", spec, made.flow_version_id)
    return reminder


async def report(dispatcher: Dispatcher, channel: str, reminder: int, **fields: str) -> None:
    to = PHONE if channel in ("sms", "voice") else f"{channel}:{PHONE}"
    sid = {"CallSid": "CA1"} if channel == "voice" else {"MessageSid": "SM1"}
    path, form = f"/v1/receipts/twilio?attempt={reminder}.1", {**sid, "To": to, **fields}
    signed = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(PUBLIC + path, form)}
    assert 204 == (await dispatcher.http.post(path, data=form, headers=signed)).status_code


async def after(dispatcher: Dispatcher, reminder: int) -> After:
    attempt = await dispatcher.owner.fetchrow("SELECT state, cost FROM attempt WHERE reminder_id = $1", reminder)
    assert attempt is not None
    told = await dispatcher.owner.fetch("SELECT kind FROM event WHERE reminder_id = $1 ORDER BY id", reminder)
    barred = [f"{channel} {reason}" for channel, reason in await dispatcher.suppressed()]
    return After(
        (await dispatcher.state(reminder))[0],
        attempt["state"],
        barred[0] if barred else None,
        attempt["cost"].normalize(),
        [row[0] for row in told],
    )


@pytest.mark.parametrize("channel", CHANNELS)
async def test_taken(dispatcher: Dispatcher, channel: str) -> None:
    reminder = await due_on(dispatcher, channel)

    await dispatcher.send(reminder)

    expected = After("accepted", "accepted", None, PRICES[channel], ["attempt.accepted"])
    assert expected == await after(dispatcher, reminder)


REFUSALS = {
    "the number cannot be": (400, 21211, "pending", "rejected", "invalid"),
    "opted out": (400, 21610, "pending", "rejected", "opted_out"),
    "this message cannot be": (400, 21617, "pending", "rejected", None),
    "our own fault": (401, 20003, "pending", "notsent", None),
    "too many requests": (429, 20429, "pending", "notsent", None),
    "nobody knows": (500, 20500, "uncertain", "unknown", None),
}


@pytest.mark.parametrize("what", REFUSALS)
@pytest.mark.parametrize("channel", CHANNELS)
async def test_refused(dispatcher: Dispatcher, channel: str, what: str) -> None:
    status, code, reminder_state, attempt, reason = REFUSALS[what]
    reminder = await due_on(dispatcher, channel)
    dispatcher.twilio.refuse(status, code, "said why")

    await dispatcher.send(reminder)

    cost = PRICES[channel] if attempt == "unknown" else Decimal(0)
    barred = f"{channel} {reason}" if reason else None
    assert After(reminder_state, attempt, barred, cost, [f"attempt.{attempt}"]) == await after(dispatcher, reminder)


RECEIPTS = {
    "delivered": ({"MessageStatus": "delivered"}, "delivered", "delivered", None, []),
    "read": ({"MessageStatus": "read"}, "delivered", "delivered", None, ["attempt.opened"]),
    "not there": ({"MessageStatus": "undelivered", "ErrorCode": "63024"}, "pending", "undelivered", "invalid", []),
    "blocked": ({"MessageStatus": "undelivered", "ErrorCode": "63014"}, "pending", "undelivered", "opted_out", []),
    "cannot": ({"MessageStatus": "undelivered", "ErrorCode": "63106"}, "pending", "undelivered", None, []),
    "later": ({"MessageStatus": "undelivered", "ErrorCode": "30003"}, "pending", "missed", None, []),
    "on the way": ({"MessageStatus": "sent"}, "accepted", "accepted", None, []),
}


@pytest.mark.parametrize("what", RECEIPTS)
@pytest.mark.parametrize("channel", MESSAGES)
async def test_told_later_of_a_message(dispatcher: Dispatcher, channel: str, what: str) -> None:
    fields, reminder_state, attempt, reason, more = RECEIPTS[what]
    reminder = await due_on(dispatcher, channel)
    await dispatcher.send(reminder)

    for _ in range(2):  # doubled callbacks are as one
        await report(dispatcher, channel, reminder, **fields)

    news = [] if attempt == "accepted" else [f"attempt.{attempt}"]
    barred = f"{channel} {reason}" if reason else None
    expected = After(reminder_state, attempt, barred, PRICES[channel], ["attempt.accepted", *news, *more])
    assert expected == await after(dispatcher, reminder)


ENDS = {
    "nobody": ({"CallStatus": "no-answer"}, "missed", 0),
    "busy": ({"CallStatus": "busy"}, "missed", 0),
    "no connection": ({"CallStatus": "failed", "SipResponseCode": "404"}, "missed", 0),
    "a machine": ({"CallStatus": "completed", "AnsweredBy": "machine_end_beep", "CallDuration": "20"}, "missed", 1),
    "nothing was said": ({"CallStatus": "completed", "AnsweredBy": "human", "CallDuration": "61"}, "missed", 2),
}


@pytest.mark.parametrize("what", ENDS)
async def test_told_later_of_a_call(dispatcher: Dispatcher, what: str) -> None:
    fields, attempt, minutes = ENDS[what]
    reminder = await due_on(dispatcher, "voice")
    await dispatcher.send(reminder)

    for _ in range(2):
        await report(dispatcher, "voice", reminder, **fields)

    told = ["attempt.accepted", f"attempt.{attempt}"]
    expected = After("pending", attempt, None, (PRICES["voice"] * minutes).normalize(), told)
    assert expected == await after(dispatcher, reminder)


async def test_a_message_without_a_template_is_refused_with_the_reason_before_anything_is_asked(
    dispatcher: Dispatcher,
) -> None:
    reminder = await due_on(dispatcher, "whatsapp")
    await dispatcher.owner.execute("UPDATE customer SET locale = 'de'")
    spec = await dispatcher.owner.fetchval(
        "SELECT spec FROM flow_version WHERE id = (SELECT flow_version_id FROM reminder WHERE id = $1)", reminder
    )
    for step in spec["steps"]:
        step["message"] = "upcoming" if step["id"] == "overdue" else step["message"]
    await dispatcher.owner.execute("UPDATE flow_version SET spec = $1", spec)

    await dispatcher.send(reminder)

    detail = await dispatcher.owner.fetchval("SELECT detail FROM attempt WHERE reminder_id = $1", reminder)
    assert "no approved WhatsApp template for message 'upcoming' in 'de'" in detail
    assert [] == dispatcher.twilio.requests
    assert ("pending", None) == await dispatcher.state(reminder)
