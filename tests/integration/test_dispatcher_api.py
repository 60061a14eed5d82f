"""The dispatcher's HTTP side: receipts, opting out, suppressions, channels."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest
from twilio.request_validator import RequestValidator

from tests import factories
from tests.integration.dispatcher_running import PUBLIC, TOKEN, WINDOWS, Dispatcher, running

PHONE = "+4915112345678"


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path) as made:
        yield made


async def sent_sms(dispatcher: Dispatcher) -> int:
    _, reminder = await dispatcher.due(email=False, phone=PHONE)
    await dispatcher.send(reminder)
    return reminder


async def callback(dispatcher: Dispatcher, attempt: str, *, sign: bool = True, **fields: str) -> int:
    path = f"/v1/receipts/twilio?attempt={attempt}"
    signature = RequestValidator(TOKEN).compute_signature(PUBLIC + path, fields) if sign else "bm90IHRoaXM="
    answer = await dispatcher.http.post(path, data=fields, headers={"X-Twilio-Signature": signature})
    return answer.status_code


async def test_a_signed_delivered_moves_the_reminder_to_delivered(dispatcher: Dispatcher) -> None:
    reminder = await sent_sms(dispatcher)

    assert 204 == await callback(dispatcher, f"{reminder}.1", MessageSid="SM1", MessageStatus="delivered")

    assert ("delivered", "receipt") == await dispatcher.state(reminder)


async def test_undelivered_bars_the_number_and_fails_what_has_no_other_channel(dispatcher: Dispatcher) -> None:
    reminder = await sent_sms(dispatcher)

    assert 204 == await callback(dispatcher, f"{reminder}.1", MessageStatus="undelivered", ErrorCode="30005")

    assert ("failed", "no_channel_left") == await dispatcher.state(reminder)
    assert [("sms", "invalid")] == await dispatcher.suppressed()


async def test_doubled_and_unordered_callbacks_end_in_the_best_that_is_known(dispatcher: Dispatcher) -> None:
    reminder = await sent_sms(dispatcher)

    for status in ("delivered", "sent", "undelivered", "queued", "delivered"):
        assert 204 == await callback(dispatcher, f"{reminder}.1", MessageSid="SM1", MessageStatus=status)

    assert [("sms", "delivered")] == await dispatcher.attempts(reminder)
    assert ("delivered", "receipt") == await dispatcher.state(reminder)


async def test_a_wrong_signature_is_refused_and_changes_nothing(dispatcher: Dispatcher) -> None:
    reminder = await sent_sms(dispatcher)

    assert 401 == await callback(dispatcher, f"{reminder}.1", sign=False, MessageStatus="delivered")

    assert ("accepted", None) == await dispatcher.state(reminder)


@pytest.mark.parametrize("attempt", ["999999.1", "x", "", "1.1.1", "0.0", "99999999999999999999.1"])
async def test_a_receipt_about_nothing_is_acknowledged(dispatcher: Dispatcher, attempt: str) -> None:
    assert 204 == await callback(dispatcher, attempt, MessageSid="SM1", MessageStatus="delivered")


async def test_a_provider_that_is_not_configured_cannot_report(dispatcher: Dispatcher) -> None:
    answer = await dispatcher.http.post("/v1/receipts/nobody", data={"a": "b"})

    assert 401 == answer.status_code
    assert "application/problem+json" == answer.headers["content-type"]


async def test_opening_the_opt_out_page_changes_nothing_and_the_button_stops(dispatcher: Dispatcher) -> None:
    made, reminder = await dispatcher.due()
    token = await dispatcher.owner.fetchval("SELECT token FROM contact_point WHERE id = $1", made.contact_id)

    shown = await dispatcher.http.get(f"/u/{token}")
    assert 200 == shown.status_code
    assert "<button>" in shown.text
    assert [] == await dispatcher.suppressed()
    before = monotonic()
    done = await dispatcher.http.post(f"/u/{token}", data={"List-Unsubscribe": "One-Click"})

    assert 200 == done.status_code
    assert monotonic() - before >= WINDOWS.handoff_window
    assert [("email", "opted_out")] == await dispatcher.suppressed()
    await dispatcher.send(reminder)
    assert ("failed", "no_usable_contact") == await dispatcher.state(reminder)
    assert [] == dispatcher.smtp.mails


async def test_opting_out_twice_is_as_once(dispatcher: Dispatcher) -> None:
    made, _ = await dispatcher.due()
    token = await dispatcher.owner.fetchval("SELECT token FROM contact_point WHERE id = $1", made.contact_id)

    answers = await asyncio.gather(*(dispatcher.http.post(f"/u/{token}") for _ in range(2)))

    assert [200, 200] == [answer.status_code for answer in answers]
    assert [("email", "opted_out")] == await dispatcher.suppressed()
    said = await dispatcher.owner.fetchval("SELECT count(*) FROM event WHERE kind = 'contact.opted_out'")
    assert 1 == said


async def test_an_opt_out_link_that_is_not_ours_says_so(dispatcher: Dispatcher) -> None:
    for method in ("GET", "POST"):
        answer = await dispatcher.http.request(method, "/u/AAAAAAAAAAAAAAAAAAAAAA")
        assert 404 == answer.status_code
        assert "not valid" in answer.text


async def test_suppressions_are_listed_masked_and_can_be_lifted(dispatcher: Dispatcher) -> None:
    made, _ = await dispatcher.due()
    await dispatcher.owner.execute(
        "INSERT INTO suppression (contact_point_id, channel, reason) VALUES ($1, 'email', 'bounced')", made.contact_id
    )

    [item] = (await dispatcher.http.get("/v1/suppressions")).json()["items"]
    assert ("email", "bounced", "j***@example.com") == (item["channel"], item["reason"], item["address_masked"])
    assert 204 == (await dispatcher.http.delete(f"/v1/suppressions/{item['suppression_id']}")).status_code
    assert 404 == (await dispatcher.http.delete(f"/v1/suppressions/{item['suppression_id']}")).status_code

    assert {"items": [], "next_cursor": None} == (await dispatcher.http.get("/v1/suppressions")).json()


async def test_channels_show_shares_and_costs_of_what_was_sent(dispatcher: Dispatcher) -> None:
    reminder = await sent_sms(dispatcher)
    await callback(dispatcher, f"{reminder}.1", MessageSid="SM1", MessageStatus="delivered")

    items = (await dispatcher.http.get("/v1/channels")).json()["items"]

    by_channel = {item["channel"]: item for item in items}
    assert 1.0 == by_channel["sms"]["delivered_share"]
    assert "twilio" == by_channel["sms"]["provider"]
    assert float(by_channel["sms"]["cost"]) > 0
    assert by_channel["voice"]["provider"] is None


async def test_a_mail_that_has_not_come_back_counts_as_delivered_and_a_text_only_with_its_receipt(
    dispatcher: Dispatcher,
) -> None:
    ids = [(await dispatcher.due())[1] for _ in range(3)] + [await sent_sms(dispatcher)]
    await dispatcher.send(*ids[:3])
    dispatcher.smtp.script["RCPT"] = "550 5.1.1 no such user"
    await dispatcher.send((await dispatcher.due())[1])

    items = (await dispatcher.http.get("/v1/channels")).json()["items"]

    shares = {item["channel"]: item["delivered_share"] for item in items}
    assert (0.75, None) == (shares["email"], shares["sms"])
    [relay] = next(item for item in items if item["channel"] == "email")["providers"]
    assert (0.75, 3, 1) == (relay["delivered_share"], relay["accepted"], relay["failed"])


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/channels"), ("GET", "/v1/suppressions"), ("DELETE", "/v1/suppressions/1")]
)
async def test_without_a_key_nothing_is_told(dispatcher: Dispatcher, method: str, path: str) -> None:
    assert 401 == (await dispatcher.http.request(method, path, headers={"Authorization": ""})).status_code


async def test_a_hard_bounce_of_one_customer_does_not_bar_another(dispatcher: Dispatcher) -> None:
    made, _ = await dispatcher.due()
    other = await factories.customer(dispatcher.owner)
    same = await dispatcher.owner.fetchval("SELECT address FROM contact_point WHERE id = $1", made.contact_id)
    point = await factories.contact_point(dispatcher.owner, other, "email", same)
    await dispatcher.owner.execute(
        "INSERT INTO suppression (contact_point_id, channel, reason) VALUES ($1, 'email', 'bounced')", made.contact_id
    )

    barred = await dispatcher.owner.fetch("SELECT contact_point_id FROM suppression")

    assert [made.contact_id] == [row[0] for row in barred]
    assert point != made.contact_id
