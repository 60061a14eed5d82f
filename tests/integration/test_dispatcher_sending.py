"""From a message on the bus to the wire and back into the ledger."""

import asyncio
import smtplib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from services.dispatcher.domain.tokens import ReturnPaths
from services.dispatcher.handlers.claim_and_send import ClaimAndSend
from services.dispatcher.store.cards import Cards
from shared.messages import BULK
from tests.doubles.smtp_sink import DROP, HANG
from tests.integration.dispatcher_running import Dispatcher, running

PHONE = "+4915112345678"
ALL_ACCEPTED = "SELECT bool_and(state = 'accepted') FROM reminder WHERE id = ANY ($1)"
HARD_BOUNCE = b"""From: MAILER-DAEMON@mx.example.net
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

Sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net

Final-Recipient: rfc822; jo@example.com
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 no such user
--b--
"""


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path) as made:
        yield made


async def test_a_reminder_leaves_as_one_mail_and_rests_accepted(dispatcher: Dispatcher) -> None:
    made, reminder = await dispatcher.due()

    await dispatcher.send(reminder)

    [mail] = dispatcher.mails()
    assert ("accepted", None) == await dispatcher.state(reminder)
    assert [("email", "accepted")] == await dispatcher.attempts(reminder)
    assert mail["Message-ID"].startswith(f"<r{reminder}.{made.contact_id}.")
    body = mail.get_body(("plain",))
    assert body is not None
    assert f"https://pay.example.com/pay/{made.token}" in body.get_content()
    assert "List-Unsubscribe=One-Click" == mail["List-Unsubscribe-Post"]


async def test_the_same_message_fifty_times_sends_once(dispatcher: Dispatcher) -> None:
    _, reminder = await dispatcher.due()

    await asyncio.gather(*(dispatcher.publish(reminder) for _ in range(50)))
    await dispatcher.send(reminder)

    assert 1 == len(dispatcher.smtp.mails)
    assert [("email", "accepted")] == await dispatcher.attempts(reminder)


async def test_the_invoice_travels_with_its_document(dispatcher: Dispatcher) -> None:
    pdf = b"%PDF-1.7 four hundred euros"
    key = await dispatcher.documents.put(pdf)
    _, reminder = await dispatcher.due(
        "deliver-invoice", document_key=key, document_name="invoice.pdf", document_type="application/pdf"
    )

    await dispatcher.send(reminder)

    [attachment] = dispatcher.mails()[0].iter_attachments()
    assert ("invoice.pdf", pdf) == (attachment.get_filename(), attachment.get_content())


async def test_a_delivery_waits_for_a_store_of_documents_that_is_away(dispatcher: Dispatcher, tmp_path: Path) -> None:
    key = await dispatcher.documents.put(b"%PDF-1.7")
    [file] = tmp_path.rglob(key)
    away = file.rename(tmp_path / "away")
    file.symlink_to(file)  # can be neither read nor called missing
    _, reminder = await dispatcher.due("deliver-invoice", document_key=key, document_name="invoice.pdf")

    await dispatcher.send(reminder)
    for _ in range(4):
        await dispatcher.queue_again(reminder)
        await dispatcher.send(reminder)
    assert ("pending", None) == await dispatcher.state(reminder)

    away.replace(file)
    await dispatcher.queue_again(reminder)
    await dispatcher.send(reminder)
    assert ("accepted", None) == await dispatcher.state(reminder)
    assert len(dispatcher.mails()) == 1


async def test_a_refused_recipient_bars_the_address_and_the_sms_says_why_it_comes(dispatcher: Dispatcher) -> None:
    _, reminder = await dispatcher.due(phone=PHONE)
    dispatcher.smtp.script["RCPT"] = "550 5.1.1 no such user"

    await dispatcher.send(reminder)
    assert [("email", "bounced")] == await dispatcher.suppressed()
    assert ("pending", None) == await dispatcher.state(reminder)
    await dispatcher.queue_again(reminder)
    await dispatcher.send(reminder)

    assert [("email", "rejected"), ("sms", "accepted")] == await dispatcher.attempts(reminder)
    [text] = dispatcher.twilio.requests
    assert PHONE == text["To"]
    assert "email" in text["Body"].lower()
    assert f"https://pay.example.com/v1/receipts/twilio?attempt={reminder}.2" == text["StatusCallback"]


async def test_a_refused_recipient_without_another_channel_fails_at_once(dispatcher: Dispatcher) -> None:
    _, reminder = await dispatcher.due()
    dispatcher.smtp.script["RCPT"] = "550 5.1.1 no such user"

    await dispatcher.send(reminder)

    assert ("failed", "no_channel_left") == await dispatcher.state(reminder)


async def test_a_bounce_mail_to_the_signed_return_path_starts_the_next_channel(dispatcher: Dispatcher) -> None:
    _, reminder = await dispatcher.due(phone=PHONE)
    await dispatcher.send(reminder)
    return_path = dispatcher.smtp.mails[0].mail_from
    assert return_path is not None

    await bounce(dispatcher, return_path)

    assert [("email", "undelivered")] == await dispatcher.attempts(reminder)
    assert [("email", "bounced")] == await dispatcher.suppressed()
    await dispatcher.queue_again(reminder)
    await dispatcher.send(reminder)
    assert PHONE == dispatcher.twilio.requests[0]["To"]


async def test_a_bounce_that_somebody_made_up_is_kept_and_moves_nothing(dispatcher: Dispatcher) -> None:
    _, reminder = await dispatcher.due(phone=PHONE)
    await dispatcher.send(reminder)
    forged = ReturnPaths(b"another secret", "bounce.example.com").make(reminder, 1)

    await bounce(dispatcher, forged)

    assert [forged] == [item["recipient"] for item in (await dispatcher.http.get("/v1/bounce-mails")).json()["items"]]
    assert [("email", "accepted")] == await dispatcher.attempts(reminder)


async def test_the_next_reminder_starts_on_the_channel_that_is_left(dispatcher: Dispatcher) -> None:
    made, reminder = await dispatcher.due(phone=PHONE)
    await dispatcher.owner.execute(
        "INSERT INTO suppression (contact_point_id, channel, reason) VALUES ($1, 'email', 'bounced')", made.contact_id
    )

    await dispatcher.send(reminder)

    assert [] == dispatcher.smtp.mails
    assert [("sms", "accepted")] == await dispatcher.attempts(reminder)


async def test_nobody_to_reach_fails_with_the_reason(dispatcher: Dispatcher) -> None:
    _, reminder = await dispatcher.due(email=False)

    await dispatcher.send(reminder)

    assert ("failed", "no_usable_contact") == await dispatcher.state(reminder)


async def test_a_channel_without_a_provider_is_left_out(database_dsn: str, tmp_path: Path) -> None:
    async with running(database_dsn, tmp_path, channels=("sms",)) as dispatcher:
        _, reminder = await dispatcher.due(phone=PHONE)

        await dispatcher.send(reminder)

        assert [("sms", "accepted")] == await dispatcher.attempts(reminder)
        assert "absent" in (await dispatcher.http.get("/readyz")).json()["notices"]["dispatcher.channel.email"]


async def test_what_was_paid_while_queued_is_cancelled_and_not_sent(dispatcher: Dispatcher) -> None:
    made, reminder = await dispatcher.due()
    await dispatcher.owner.execute("UPDATE installment SET allocated = amount WHERE invoice_id = $1", made.id)

    await dispatcher.send(reminder)

    assert ("cancelled", "paid") == await dispatcher.state(reminder)
    assert [] == dispatcher.smtp.mails


async def test_an_answer_lost_after_the_dot_is_uncertain_and_never_sent_again(dispatcher: Dispatcher) -> None:
    _, reminder = await dispatcher.due(phone=PHONE)
    dispatcher.smtp.script["DOT"] = DROP

    await dispatcher.send(reminder)
    await dispatcher.publish(reminder)

    assert ("uncertain", "no_answer") == await dispatcher.state(reminder)
    assert [("email", "unknown")] == await dispatcher.attempts(reminder)
    assert [] == dispatcher.twilio.requests


async def test_an_sms_for_an_invoice_waits_for_the_contact_window(dispatcher: Dispatcher) -> None:
    _, reminder = await dispatcher.due("deliver-invoice", phone=PHONE, email=False)
    sunday = datetime(2027, 1, 3, 3, 0, tzinfo=UTC)
    await dispatcher.owner.execute("UPDATE business_clock SET ahead = $1 - clock_timestamp()", sunday)

    await dispatcher.send(reminder)

    due_at = await dispatcher.owner.fetchval("SELECT due_at FROM reminder WHERE id = $1", reminder)
    assert ("pending", None) == await dispatcher.state(reminder)
    assert datetime(2027, 1, 4, 8, 0, tzinfo=UTC) == due_at
    assert [] == dispatcher.twilio.requests


async def test_a_provider_that_hangs_does_not_hold_up_another(dispatcher: Dispatcher) -> None:
    dispatcher.smtp.script["RCPT"] = HANG
    slow = [(await dispatcher.due())[1] for _ in range(60)]
    quick = [(await dispatcher.due(email=False, phone=f"+49151123456{n:02d}"))[1] for n in range(10)]

    await dispatcher.publish(*slow[:30], *quick[:5])
    await dispatcher.publish(*slow[30:], *quick[5:])
    await dispatcher.until(
        "SELECT count(*) = 10 FROM reminder WHERE id = ANY ($1) AND state = 'accepted'", quick, within=10
    )

    assert 10 == len(dispatcher.twilio.requests)
    assert 0 == len(dispatcher.smtp.mails)


async def test_more_than_the_slots_can_take_goes_back_and_is_due_again_soon(dispatcher: Dispatcher) -> None:
    dispatcher.smtp.script["RCPT"] = HANG
    ids = [(await dispatcher.due())[1] for _ in range(60)]

    await dispatcher.publish(*ids)
    await dispatcher.until("SELECT count(*) > 0 FROM reminder WHERE id = ANY ($1) AND state = 'pending'", ids)

    waits = await dispatcher.owner.fetchval(
        "SELECT max(due_at) - business_now() FROM reminder WHERE id = ANY ($1) AND state = 'pending'", ids
    )
    assert waits < timedelta(seconds=6)


async def test_a_reminder_whose_text_cannot_be_made_fails_alone(dispatcher: Dispatcher) -> None:
    _, good = await dispatcher.due()
    _, poison = await dispatcher.due(attributes={})
    await dispatcher.owner.execute("UPDATE reminder SET step = 'upcoming' WHERE id = $1", poison)
    spec = {
        "name": "odd",
        "steps": [{"id": "upcoming", "when": {"on": "due"}, "message": "no-text", "channels": ["email"]}],
    }
    flow = await dispatcher.owner.fetchval(
        "INSERT INTO flow_version (name, version, spec) VALUES ('odd', 1, $1) RETURNING id", spec
    )
    await dispatcher.owner.execute("UPDATE reminder SET flow_version_id = $1 WHERE id = $2", flow, poison)

    await dispatcher.send(poison, good)
    for _ in range(2):
        await dispatcher.queue_again(poison)
        await dispatcher.send(poison)

    assert ("accepted", None) == await dispatcher.state(good)
    assert ("failed", "cannot_be_made") == await dispatcher.state(poison)


async def test_an_answer_that_is_no_utf8_is_recorded_and_holds_up_nobody(dispatcher: Dispatcher) -> None:
    _, refused = await dispatcher.due()
    dispatcher.smtp.script["DATA"] = cast(str, b"554 5.6.0 zur\xfcckgewiesen")
    await dispatcher.send(refused)
    dispatcher.smtp.script.clear()
    _, next_one = await dispatcher.due()

    await dispatcher.send(next_one)

    assert [("failed", "no_channel_left"), ("accepted", None)] == [
        await dispatcher.state(each) for each in (refused, next_one)
    ]
    detail = await dispatcher.owner.fetchval("SELECT detail FROM attempt WHERE reminder_id = $1", refused)
    assert "data: 554 5.6.0 zur\ufffdckgewiesen" == detail


async def test_a_relay_that_refuses_us_in_latin_1_is_stopped_everywhere(dispatcher: Dispatcher) -> None:
    _, reminder = await dispatcher.due()
    dispatcher.smtp.script["MAIL"] = cast(str, b"535 5.7.8 nicht angemeldet, Zugang gesperrt f\xfcr uns")

    await dispatcher.send(reminder)

    await dispatcher.until("SELECT cause = 'misconfigured' FROM provider_state WHERE channel = 'email'")


async def test_a_claim_that_cannot_be_followed_up_is_no_message_that_may_have_gone(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, reminder = await dispatcher.due()

    async def lost(*_: object) -> None:
        raise ConnectionError("the database is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Cards, "load", lost)
        await dispatcher.publish(reminder)
        await dispatcher.until("SELECT state = 'pending' FROM reminder WHERE id = $1", reminder)
    await dispatcher.queue_again(reminder)
    await dispatcher.send(reminder)

    assert [("email", "notsent"), ("email", "accepted")] == await dispatcher.attempts(reminder)
    assert 1 == len(dispatcher.smtp.mails)


async def test_what_is_being_claimed_goes_on_when_its_handler_is_cancelled(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, reminder = await dispatcher.due()
    handlers: list[asyncio.Task[None]] = []
    handle = ClaimAndSend.handle

    async def noted(self: ClaimAndSend, ids: Sequence[int]) -> None:
        handlers.append(cast(asyncio.Task[None], asyncio.current_task()))
        await handle(self, ids)

    monkeypatch.setattr(ClaimAndSend, "handle", noted)
    async with dispatcher.owner.transaction():
        await dispatcher.owner.execute("SELECT FROM invoice WHERE id = $1 FOR UPDATE", made.id)
        await dispatcher.publish(reminder)
        await dispatcher.until(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        handlers[0].cancel()
        await asyncio.wait(handlers[:1])

    await dispatcher.until(
        "SELECT bool_and(state IN ('accepted', 'notsent')) FROM attempt WHERE reminder_id = $1", reminder
    )


async def test_a_message_that_is_none_is_parked_and_the_next_one_is_sent(dispatcher: Dispatcher) -> None:
    _, reminder = await dispatcher.due()

    await dispatcher.bus.publish(BULK, b"\x00 no message")
    await dispatcher.send(reminder)

    assert ("accepted", None) == await dispatcher.state(reminder)
    assert [b"\x00 no message"] == [parked.body for parked in await dispatcher.bus.browse()]


async def test_two_dispatchers_share_the_work_and_double_nothing(database_dsn: str, tmp_path: Path) -> None:
    async with running(database_dsn, tmp_path) as one, running(database_dsn, tmp_path) as other:
        ids = [(await one.due())[1] for _ in range(150)]

        for start in range(0, 150, 50):
            await asyncio.gather(*(each.publish(*ids[start : start + 50]) for each in (one, other)))
        async with asyncio.timeout(60):
            while not await one.owner.fetchval(ALL_ACCEPTED, ids):  # a busy machine puts some of them off
                await one.queue_again(*ids)
                for start in range(0, 150, 50):
                    await asyncio.gather(*(each.publish(*ids[start : start + 50]) for each in (one, other)))
                await asyncio.sleep(0.2)

        sent = [mail["Message-ID"] for each in (one, other) for mail in each.mails()]
        assert 150 == len(sent) == len(set(sent))


async def bounce(dispatcher: Dispatcher, return_path: str) -> None:
    mailed = str(dispatcher.smtp.mails[0].rcpt_tos[0]).encode()

    def post() -> None:
        with smtplib.SMTP("127.0.0.1", dispatcher.bounce_port, timeout=10) as client:
            client.sendmail("", [return_path], HARD_BOUNCE.replace(b"jo@example.com", mailed))

    await asyncio.to_thread(post)
