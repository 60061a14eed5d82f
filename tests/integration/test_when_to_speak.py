"""When a reminder must wait or must not go: a channel's own hours, a flow's own caps, a stop of everything, a clock that is set back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from shared.ledger.due import queue_due
from shared.ledger.money import Stop, place_hold
from tests.integration.dispatcher_running import WINDOWS, Dispatcher, running
from tests.integration.test_dispatcher_sending import PHONE

SET = "UPDATE flow_version SET spec = spec || $1::jsonb"
WAITS = "SELECT state = 'pending' AND due_at > business_now() + interval '1 minute' FROM reminder WHERE id = $1"


@pytest.fixture
async def dispatcher(database_dsn: str, tmp_path: Path) -> AsyncIterator[Dispatcher]:
    async with running(database_dsn, tmp_path) as made:
        yield made


def closed_now() -> dict[str, str]:
    """Hours that are over or have not begun, whatever the time is."""
    return {"from": "00:00", "to": "01:00"} if datetime.now(UTC).hour >= 12 else {"from": "22:00", "to": "23:00"}


async def test_a_channel_waits_for_its_own_hours_while_another_goes(dispatcher: Dispatcher) -> None:
    _, text = await dispatcher.due(email=False, phone=PHONE)
    _, mail = await dispatcher.due()
    await dispatcher.owner.execute(SET, {"channel_windows": {"sms": closed_now()}, "contact_window": None})

    await dispatcher.send(text, mail)

    assert await dispatcher.owner.fetchval(WAITS, text)
    assert ("accepted", None) == await dispatcher.state(mail)
    assert [] == dispatcher.twilio.requests


async def test_a_flows_own_cap_holds_back_what_comes_after_it_and_says_why(dispatcher: Dispatcher) -> None:
    made, first = await dispatcher.due()
    _, second = await dispatcher.due(customer_id=made.customer_id)
    await dispatcher.owner.execute(SET, {"caps": {"per_day": 1}})

    await dispatcher.send(first)
    await dispatcher.send(second)

    assert ("accepted", None) == await dispatcher.state(first)
    assert await dispatcher.owner.fetchval(WAITS, second)
    told = await dispatcher.owner.fetchval(
        "SELECT data FROM event WHERE reminder_id = $1 AND kind = 'reminder.capped'", second
    )
    assert {"step": "overdue", "today": 1, "this_week": 1, "per_day": 1} == told


async def test_a_stop_of_everything_lets_nothing_out_after_its_answer(dispatcher: Dispatcher) -> None:
    reminders = [(await dispatcher.due())[1] for _ in range(120)]
    batches = [reminders[at : at + 10] for at in range(0, len(reminders), 10)]

    async def keep_publishing() -> None:
        for batch in batches:
            await dispatcher.publish(*batch)
            await asyncio.sleep(0.25)

    load = asyncio.create_task(keep_publishing())
    async with asyncio.timeout(20):
        while len(dispatcher.smtp.mails) < 10:
            await asyncio.sleep(0.01)
    asked = monotonic()
    until = datetime.now(UTC) + timedelta(days=1)
    window = timedelta(seconds=WINDOWS.handoff_window)
    _, wait = await place_hold(dispatcher.owner, Stop("hold", None, None, "stop", until), window=window)
    await asyncio.sleep(wait)
    assert monotonic() - asked < 3, "the answer comes within a hand-off window"
    sent = len(dispatcher.smtp.mails)
    await load
    await dispatcher.until("SELECT count(*) = 0 FROM reminder WHERE state IN ('queued', 'sending')")

    assert 10 <= sent < 120
    assert sent == len(dispatcher.smtp.mails), "no mail after the answer"
    counted = await dispatcher.owner.fetch("SELECT state, count(*) FROM reminder GROUP BY state ORDER BY state")
    assert [("accepted", sent), ("skipped", 120 - sent)] == [tuple(row) for row in counted]


async def test_a_clock_that_is_set_back_sends_nothing_twice_and_gives_no_second_day(
    database_dsn: str, tmp_path: Path
) -> None:
    async with running(database_dsn, tmp_path, cap_per_day=1) as dispatcher:
        await dispatcher.owner.execute("UPDATE business_clock SET ahead = interval '2 days'")
        made, first = await dispatcher.due()
        _, second = await dispatcher.due(customer_id=made.customer_id)
        await dispatcher.owner.execute("UPDATE reminder SET send_until = send_until + interval '5 days'")
        await dispatcher.send(first)
        await dispatcher.owner.execute("UPDATE business_clock SET ahead = interval '0'")

        assert [] == await queue_due(dispatcher.owner, limit=10, max_queued=10)
        await dispatcher.send(first, second)

        assert 1 == len(dispatcher.smtp.mails)
        assert ("accepted", None) == await dispatcher.state(first)
        assert "pending" == (await dispatcher.state(second))[0], "its day is used up, whatever the clock says"
