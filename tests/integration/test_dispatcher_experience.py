"""The order of a customer's channels follows what each of them did: from attempts and payments on a real database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from services.dispatcher.store.experience import fold
from tests import factories
from tests.integration.dispatcher_running import Dispatcher, running

PHONE = "+4915112345678"
LONG_AGO = timedelta(days=60)
NOT_YET = "UPDATE channel_fold SET upto = 'infinity'"
CAUGHT_UP = "SELECT upto > business_now() - interval '72 hours 10 seconds' FROM channel_fold"


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path) as made:
        await made.owner.execute(NOT_YET)  # the dispatcher counts by itself, too
        yield made


async def contact(
    dispatcher: Dispatcher,
    customer: int,
    point: int,
    channel: str,
    *,
    ago: timedelta,
    state: str = "accepted",
    paid_after: timedelta | None = None,
    step: str = "overdue",
) -> int:
    """One contact of the past, and a payment of its invoice some time after it."""
    owner, at = dispatcher.owner, datetime.now(UTC) - ago
    made = await factories.invoice(owner, ("100.00",), accepted_at=at - timedelta(days=30))
    await owner.execute("UPDATE invoice SET customer_id = $1 WHERE id = $2", customer, made.id)
    asks = step == "overdue"
    reminder = await factories.reminder(
        owner, made.id, made.installments[0] if asks else None, step, requires_open=asks, state="queued"
    )
    await factories.attempt(owner, reminder, point, state, channel=channel, at=at)
    await owner.execute("UPDATE reminder SET state = 'accepted', lease = NULL WHERE id = $1", reminder)
    if paid_after is not None:
        source = await factories.source(owner)
        payment = await owner.fetchval(
            "INSERT INTO payment (source_id, payment_ref, amount, allocated, currency, invoice_id, created_at)"
            " VALUES ($1, $2, 100, 100, 'EUR', $3, $4) RETURNING id",
            source, factories.unique("P"), made.id, at + paid_after,
        )  # fmt: skip
        await owner.execute("INSERT INTO allocation VALUES ($1, $2, 100)", payment, made.installments[0])
    return reminder


async def stat(dispatcher: Dispatcher, customer: int, channel: str) -> tuple[float, ...] | None:
    row = await dispatcher.owner.fetchrow(
        "SELECT tried, reached, asked, moved FROM channel_stat WHERE customer_id = $1 AND channel = $2",
        customer, channel,
    )  # fmt: skip
    return None if row is None else tuple(round(value, 3) for value in row)


async def count(dispatcher: Dispatcher, since: timedelta = timedelta(days=30)) -> None:
    """Everything that went out since then."""
    await dispatcher.owner.execute("UPDATE channel_fold SET upto = business_now() - $1::interval", since)
    while not await dispatcher.owner.fetchval(CAUGHT_UP):
        await fold(dispatcher.owner)
    await dispatcher.owner.execute(NOT_YET)


async def sent_by(dispatcher: Dispatcher, customer: int) -> str:
    """The channel that the next reminder of this customer takes, and takes in truth."""
    made, reminder = await dispatcher.due(email=False)
    await dispatcher.owner.execute("UPDATE invoice SET customer_id = $1 WHERE id = $2", customer, made.id)
    await dispatcher.send(reminder)
    [(channel, state)] = await dispatcher.attempts(reminder)
    assert "accepted" == state
    return channel


async def test_who_ignores_mails_and_pays_after_texts_moves_to_texts_and_back_when_they_stop_working(
    dispatcher: Dispatcher,
) -> None:
    made, _ = await dispatcher.due(phone=PHONE)
    customer, mail = made.customer_id, made.contact_id
    phone = await dispatcher.owner.fetchval(
        "SELECT id FROM contact_point WHERE customer_id = $1 AND kind = 'phone'", customer
    )
    assert "email" == await sent_by(dispatcher, customer)
    for n in range(6):
        await contact(dispatcher, customer, mail, "email", ago=LONG_AGO - timedelta(days=n))
    for n in range(3):
        paid = timedelta(hours=20)
        await contact(dispatcher, customer, phone, "sms", ago=timedelta(days=50 - n), paid_after=paid)
    await count(dispatcher, timedelta(days=90))
    assert "sms" == await sent_by(dispatcher, customer)
    why = await dispatcher.owner.fetchval("SELECT why FROM attempt WHERE channel = 'sms' ORDER BY started DESC LIMIT 1")
    assert '"by":"chance"' in why

    for n in range(6):
        await contact(dispatcher, customer, phone, "sms", ago=timedelta(days=20 - n))
    await count(dispatcher, timedelta(days=40))
    assert "email" == await sent_by(dispatcher, customer)


async def test_a_payment_counts_for_72_hours_and_what_went_before_it_counts_as_moved(dispatcher: Dispatcher) -> None:
    made, _ = await dispatcher.due()
    customer, mail = made.customer_id, made.contact_id
    for paid_after in (timedelta(hours=71), timedelta(hours=73)):
        await contact(dispatcher, customer, mail, "email", ago=timedelta(days=10), paid_after=paid_after)
    await count(dispatcher)
    tried, reached, asked, moved = await stat(dispatcher, customer, "email") or ()
    assert (1.9, 1.9, 1.9) == (tried, reached, asked)
    assert moved in (0.9, 1.0)


async def test_a_bounce_counts_against_reaching_and_a_delivery_asks_for_nothing(dispatcher: Dispatcher) -> None:
    made, _ = await dispatcher.due()
    customer, mail = made.customer_id, made.contact_id
    await contact(dispatcher, customer, mail, "email", ago=timedelta(days=9), state="undelivered")
    await count(dispatcher, timedelta(days=10))
    assert (1.0, 0.0, 0.0, 0.0) == await stat(dispatcher, customer, "email")
    await contact(dispatcher, customer, mail, "email", ago=timedelta(days=5), step="deliver-invoice")
    await count(dispatcher, timedelta(days=6))
    assert (1.9, 1.0, 0.0, 0.0) == await stat(dispatcher, customer, "email")


async def test_an_answer_or_a_click_moves_without_a_payment(dispatcher: Dispatcher) -> None:
    made, _ = await dispatcher.due()
    reminder = await contact(dispatcher, made.customer_id, made.contact_id, "email", ago=timedelta(days=5))
    for kind in ("opened", "clicked"):
        await dispatcher.owner.execute(
            "INSERT INTO receipt (reminder_id, fence, kind) VALUES ($1, 1, $2)", reminder, kind
        )
    other = await contact(dispatcher, made.customer_id, made.contact_id, "sms", ago=timedelta(days=5))
    await dispatcher.owner.execute("INSERT INTO receipt (reminder_id, fence, kind) VALUES ($1, 1, 'opened')", other)
    await count(dispatcher)
    assert (1.0, 1.0, 1.0, 1.0) == await stat(dispatcher, made.customer_id, "email")
    assert (1.0, 1.0, 1.0, 0.0) == await stat(dispatcher, made.customer_id, "sms")


async def test_each_contact_is_counted_once_and_only_when_its_time_is_over(dispatcher: Dispatcher) -> None:
    made, _ = await dispatcher.due()
    await contact(dispatcher, made.customer_id, made.contact_id, "email", ago=timedelta(hours=71))
    await count(dispatcher)
    assert await stat(dispatcher, made.customer_id, "email") is None
    await contact(dispatcher, made.customer_id, made.contact_id, "email", ago=timedelta(hours=73))
    await count(dispatcher)
    for _ in range(3):
        assert not await fold(dispatcher.owner)
    assert (1.0, 1.0, 1.0, 0.0) == await stat(dispatcher, made.customer_id, "email")
    group = await dispatcher.owner.fetchrow("SELECT tried, asked FROM channel_group WHERE channel = 'email'")
    assert group is not None
    assert (1.0, 1.0) == tuple(group)


async def test_a_stated_preference_beats_experience_and_a_single_way_is_no_question(dispatcher: Dispatcher) -> None:
    made, reminder = await dispatcher.due(phone=PHONE)
    await dispatcher.owner.execute("UPDATE customer SET preferred_channel = 'sms' WHERE id = $1", made.customer_id)
    _, single = await dispatcher.due()
    await dispatcher.send(reminder, single)
    assert [("sms", "accepted")] == await dispatcher.attempts(reminder)
    why = {row[0]: row[1] for row in await dispatcher.owner.fetch("SELECT reminder_id, why FROM attempt")}
    assert '"by":"preferred"' in why[reminder]
    assert '"by":"only"' in why[single]
    assert Decimal("0.10") == await dispatcher.owner.fetchval(  # of two segments
        "SELECT cost FROM attempt WHERE channel = 'sms' LIMIT 1"
    )
