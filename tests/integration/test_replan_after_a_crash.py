"""What a dispatcher learnt of a cancelled reminder is planned for, also when it died right after it had recorded it."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from shared.db.engine import Database
from shared.kernel.caps import Caps
from shared.ledger.due import sweep_replans
from shared.ledger.send import Receipt, Wanted, claim, receive, request_replan
from tests import factories

DYING = """
import asyncio, sys
from datetime import timedelta
from services.dispatcher.handlers.recorder import Recorder
from shared.db.engine import Database
from shared.ledger.send import Recorded

async def main(dsn, reminder, fence):
    recorder = Recorder(Database(dsn, role="dunnock_dispatcher"))
    recorder.put(Recorded(int(reminder), int(fence), "notsent", retry_in=timedelta(0)))
    await recorder.run()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
async def owner(database_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    async with AsyncExitStack() as stack:
        db = Database(database_dsn)
        stack.push_async_callback(db.close)
        yield await stack.enter_async_context(db.connection())


async def cancelled_in_flight(owner: asyncpg.Connection) -> tuple[int, int, int]:
    """(invoice, reminder, fence): claimed, and cancelled before anybody knew what became of it."""
    made = await factories.invoice(owner, ("100.00",))
    key = await factories.reminder(
        owner,
        made.id,
        made.installments[0],
        "overdue",
        state="queued",
        due_at=datetime.now(UTC) - timedelta(seconds=1),
        send_until=datetime.now(UTC) + timedelta(hours=5),
    )
    wanted = [Wanted(key, "email", made.contact_id, "smtp", Decimal(0), 0)]
    [one] = await claim(owner, wanted, worker="w", lease=timedelta(seconds=60), caps=Caps())
    assert one.verdict == "claimed"
    await owner.execute(
        "UPDATE reminder SET state = 'cancelled', reason = 'replanned', lease = NULL WHERE id = $1", key
    )
    return made.id, key, one.fence


async def wishes(owner: asyncpg.Connection) -> int:
    return int(await owner.fetchval("SELECT count(*) FROM replan_wanted"))


async def test_a_dispatcher_that_dies_before_it_asks_for_a_new_plan_is_stood_in_for(
    owner: asyncpg.Connection, database_dsn: str
) -> None:
    invoice, key, fence = await cancelled_in_flight(owner)
    flags = {"DUNNOCK_TEST_FLAGS": "1", "DUNNOCK_CRASH_AT": "before_replan"}

    ended = subprocess.run(
        [sys.executable, "-c", DYING, database_dsn, str(key), str(fence)],
        check=False,
        env={**os.environ, **flags},
        timeout=120,
    )

    assert ended.returncode == -signal.SIGKILL
    assert await owner.fetchval("SELECT state FROM attempt WHERE reminder_id = $1", key) == "notsent"
    assert await owner.fetchval("SELECT replan_at FROM invoice WHERE id = $1", invoice) is None

    assert await sweep_replans(owner, timedelta(0), 100) == 1
    assert await owner.fetchval("SELECT replan_at IS NOT NULL FROM invoice WHERE id = $1", invoice)
    assert await sweep_replans(owner, timedelta(0), 100) == 0


async def test_a_receipt_leaves_the_wish_until_it_was_asked(owner: asyncpg.Connection) -> None:
    invoice, key, fence = await cancelled_in_flight(owner)

    late = await receive(
        owner, [Receipt(key, fence, "undelivered")], retry_missed=timedelta(minutes=30), missed_limit=3
    )

    assert (late, await wishes(owner)) == ([invoice], 1)
    assert await sweep_replans(owner, timedelta(hours=1), 100) == 0  # who learnt it may still ask
    await request_replan(owner, late)
    assert await wishes(owner) == 0
