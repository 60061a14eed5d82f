"""What a customer owes rides on one message: claimed, recorded and received for each, sent once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path

import pytest
from twilio.request_validator import RequestValidator

from shared.kernel.caps import Caps
from shared.ledger.due import sweep_leases
from shared.ledger.money import Stop, place_hold
from shared.ledger.send import Wanted, carry, claim, riders
from tests import factories
from tests.integration.dispatcher_running import PUBLIC, TOKEN, Dispatcher, running
from tests.integration.test_dispatcher_sending import PHONE, bounce

GROUP = "UPDATE flow_version SET spec = jsonb_set(spec, '{group}', '\"customer\"')"
CARRIED = "SELECT carried_by, carried_fence, cost FROM attempt WHERE reminder_id = $1 ORDER BY fence DESC LIMIT 1"
TOLD = "SELECT data FROM event WHERE reminder_id = $1 AND kind = 'reminder.grouped'"


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path) as made:
        yield made


async def owed(dispatcher: Dispatcher, *steps: str, **first: object) -> list[tuple[factories.Made, int]]:
    """Invoices of one customer whose reminders of these steps are queued, in a flow that groups."""
    made, reminder = await dispatcher.due(steps[0], **first)  # type: ignore[arg-type]
    rows = [(made, reminder)]
    for number, step in enumerate(steps[1:], 1):
        due = (factories.TODAY + timedelta(days=number),)
        rows.append(await dispatcher.due(step, customer_id=made.customer_id, due_dates=due))
    await dispatcher.owner.execute(GROUP)
    return rows


def text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def links(mail: EmailMessage, made: factories.Made) -> int:
    return sum(line.endswith(f"https://pay.example.com/pay/{made.token}") for line in text(mail).splitlines())


async def test_reminders_of_one_customer_leave_as_one_mail_that_lists_every_invoice(dispatcher: Dispatcher) -> None:
    rows = await owed(dispatcher, "overdue", "overdue", "overdue")
    (_, carrier), *others = rows

    await dispatcher.send(carrier, *(reminder for _, reminder in others))

    [mail] = dispatcher.mails()
    assert "3 invoices" in mail["Subject"]
    assert "3,750.00" in mail["Subject"]
    assert [True] * 3 == [f"No {made.ref}" in text(mail) for made, _ in rows]
    assert [2, 1, 1] == [links(mail, made) for made, _ in rows], "one for each, and the button opens the oldest"
    assert [("accepted", None)] * 3 == [await dispatcher.state(reminder) for _, reminder in rows]


async def test_every_reminder_keeps_its_own_attempt_and_only_the_carrier_costs(dispatcher: Dispatcher) -> None:
    rows = await owed(dispatcher, "overdue", "overdue", email=False, phone=PHONE)
    (_, carrier), (_, rider) = rows

    await dispatcher.send(rider)

    assert 1 == len(dispatcher.twilio.requests)
    [paid] = await dispatcher.owner.fetch(CARRIED, carrier)
    [carried] = await dispatcher.owner.fetch(CARRIED, rider)
    assert (None, None, True) == (paid["carried_by"], paid["carried_fence"], paid["cost"] > 0)
    assert (carrier, 1, Decimal(0)) == tuple(carried)
    told = await dispatcher.owner.fetchval(TOLD, rider)
    assert (2, "overdue") == (told["invoices"], told["says"])
    assert rows[0][0].ref == told["carried_by"]


async def test_one_paid_and_one_disputed_drop_out_without_the_rest(dispatcher: Dispatcher) -> None:
    rows = await owed(dispatcher, "overdue", "overdue", "overdue", "overdue")
    paid, disputed, *left = rows
    await dispatcher.owner.execute("UPDATE installment SET credited = amount WHERE invoice_id = $1", paid[0].id)
    until = datetime.now(UTC) + timedelta(days=5)
    await place_hold(dispatcher.owner, Stop("dispute", disputed[0].id, None, "wrong", until), window=timedelta(0))

    await dispatcher.send(*(reminder for _, reminder in rows))

    [mail] = dispatcher.mails()
    assert "2 invoices" in mail["Subject"]
    assert [False, False, True, True] == [f"No {made.ref}" in text(mail) for made, _ in rows]
    assert [("cancelled", "paid"), ("skipped", "dispute")] == [await dispatcher.state(row) for _, row in rows[:2]]
    assert [("accepted", None)] * 2 == [await dispatcher.state(row) for _, row in left]


async def test_what_is_left_alone_goes_in_the_words_for_one(dispatcher: Dispatcher) -> None:
    (paid, first), (left, second) = await owed(dispatcher, "overdue", "overdue")
    await dispatcher.owner.execute("UPDATE installment SET credited = amount WHERE invoice_id = $1", paid.id)

    await dispatcher.send(first, second)

    [mail] = dispatcher.mails()
    assert f"Reminder: invoice No {left.ref} is still open" == mail["Subject"]
    assert await dispatcher.owner.fetchval(TOLD, second) is None


async def test_the_most_severe_speaks_and_the_others_ride_along(dispatcher: Dispatcher) -> None:
    (_, milder), (_, severe) = await owed(dispatcher, "upcoming", "overdue")

    await dispatcher.send(milder)

    [mail] = dispatcher.mails()
    assert mail["Subject"].startswith("Reminder: 2 invoices are still open")
    assert f"<r{severe}." in mail["Message-ID"]
    assert severe == await dispatcher.owner.fetchval(CARRIED, milder)


async def test_a_bounce_of_the_mail_brings_one_text_for_all(dispatcher: Dispatcher) -> None:
    rows = await owed(dispatcher, "overdue", "overdue", "overdue", phone=PHONE)
    reminders = [reminder for _, reminder in rows]
    await dispatcher.send(*reminders)
    return_path = dispatcher.smtp.mails[0].mail_from
    assert return_path is not None

    await bounce(dispatcher, return_path)
    await dispatcher.until(
        "SELECT count(*) = 3 FROM attempt WHERE reminder_id = ANY ($1) AND state = 'undelivered'", reminders
    )
    await dispatcher.queue_again(*reminders)
    await dispatcher.send(*reminders)

    [sms] = dispatcher.twilio.requests
    assert "3 invoices" in sms["Body"]
    assert "email" in sms["Body"]
    for reminder in reminders:
        assert [("email", "undelivered"), ("sms", "accepted")] == await dispatcher.attempts(reminder)


async def test_a_receipt_of_the_text_counts_for_all(dispatcher: Dispatcher) -> None:
    rows = await owed(dispatcher, "overdue", "overdue", email=False, phone=PHONE)
    reminders = [reminder for _, reminder in rows]
    await dispatcher.send(*reminders)

    path = dispatcher.twilio.requests[0]["StatusCallback"].removeprefix(PUBLIC)
    form = {"MessageSid": "SM1", "To": PHONE, "MessageStatus": "delivered"}
    signed = {"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(PUBLIC + path, form)}
    assert 204 == (await dispatcher.http.post(path, data=form, headers=signed)).status_code

    assert [("delivered", "receipt")] * 2 == [await dispatcher.state(reminder) for reminder in reminders]


async def test_doubled_messages_send_once(dispatcher: Dispatcher) -> None:
    rows = await owed(dispatcher, *["overdue"] * 5)
    reminders = [reminder for _, reminder in rows]

    await asyncio.gather(*(dispatcher.publish(*part) for n in range(10) for part in (reminders[n % 5 :], reminders)))
    await dispatcher.send(*reminders)

    assert 1 == len(dispatcher.smtp.mails)
    assert [[("email", "accepted")]] * 5 == [await dispatcher.attempts(reminder) for reminder in reminders]


async def test_forty_invoices_are_one_contact_under_a_cap(database_dsn: str, tmp_path: Path) -> None:
    async with running(database_dsn, tmp_path, cap_per_day=1) as dispatcher:
        rows = await owed(dispatcher, *["overdue"] * 40)
        await dispatcher.send(rows[7][1])
        other, late = await dispatcher.due(customer_id=rows[0][0].customer_id)
        await dispatcher.send(late)

        [mail] = dispatcher.mails()
        assert "40 invoices" in mail["Subject"]
        assert f"No {other.ref}" not in text(mail)
        [counted] = await dispatcher.owner.fetch("SELECT day_n, week_n FROM customer_contact")
        assert (1, 1) == tuple(counted)
        assert [("accepted", None)] * 40 == [await dispatcher.state(reminder) for _, reminder in rows]
        assert ("pending", None) == await dispatcher.state(late)


async def test_two_currencies_are_never_added(dispatcher: Dispatcher) -> None:
    made, first = await dispatcher.due()
    _, second = await dispatcher.due(customer_id=made.customer_id, currency="USD")
    await dispatcher.owner.execute(GROUP)

    await dispatcher.send(first, second)

    [mail] = dispatcher.mails()
    assert mail["Subject"].endswith("€1,250.00 and $1,250.00")


async def test_another_creditors_invoice_goes_in_a_message_of_its_own(dispatcher: Dispatcher) -> None:
    made, first = await dispatcher.due()
    _, second = await dispatcher.due(
        customer_id=made.customer_id, creditor_columns={"ref": "other", "name": "Other Ltd"}
    )
    await dispatcher.owner.execute(GROUP)

    await dispatcher.send(first, second)

    assert 2 == len(dispatcher.smtp.mails)


async def test_a_flow_that_does_not_group_sends_each_by_itself(dispatcher: Dispatcher) -> None:
    made, first = await dispatcher.due()
    _, second = await dispatcher.due(customer_id=made.customer_id)

    await dispatcher.send(first, second)

    assert 2 == len(dispatcher.smtp.mails)


async def test_a_worker_that_dies_before_the_hand_off_leaves_all_uncertain_and_none_is_doubled(
    dispatcher: Dispatcher,
) -> None:
    rows = await owed(dispatcher, "overdue", "overdue", "overdue")
    reminders, contact = [reminder for _, reminder in rows], rows[0][0].contact_id
    wanted = [Wanted(each, "email", contact, "smtp", Decimal(0), 0, together=0) for each in reminders]
    claims = await claim(dispatcher.owner, wanted, worker="lost", lease=timedelta(0), caps=Caps(per_day=1))
    await carry(dispatcher.owner, [claims])

    assert 3 == await sweep_leases(dispatcher.owner, 100)
    await dispatcher.send(*reminders)

    assert [("uncertain", "worker_lost")] * 3 == [await dispatcher.state(each) for each in reminders]
    assert [] == dispatcher.smtp.mails
    assert 2 == len(await riders(dispatcher.owner, claims[0].reminder_id, 1))
