"""What a polled source says is owed, beside what banks say: the same money counts once, whoever speaks first; and a
reminder that has to be checked goes only when it was."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations

import asyncpg
import pytest

from shared.kernel.caps import Caps
from shared.ledger.due import queue_due
from shared.ledger.money import PaymentSaid, Polled, record_payment, record_poll
from shared.ledger.send import Wanted, claim
from tests import factories
from tests.integration.ledger_database import connect

WINDOW = timedelta(seconds=0.2)
FRESH = timedelta(minutes=10)
Act = Callable[["Polling"], Awaitable[None]]


class Polling:
    """One invoice of 100.00, an ERP that is polled and a bank that speaks by itself."""

    def __init__(self, db: asyncpg.Connection) -> None:
        self.db = db
        self.now = datetime.now(UTC)
        self.said = 0

    async def begin(self) -> None:
        self.bank, self.erp = await factories.source(self.db), await factories.source(self.db, "erp", "http_poll")
        self.invoice = await factories.invoice(self.db, ("60.00", "40.00"), reminders=1, thank_you=True)

    async def poll(self, open_amount: str | None, asked: datetime | None = None) -> list[Polled]:
        self.now += timedelta(seconds=1)
        word = {self.invoice.id: None if open_amount is None else Decimal(open_amount)}
        return await record_poll(self.db, self.erp, word, asked or self.now, window=WINDOW, now=self.now)

    async def pay(self, amount: str, kind: str = "confirmed", ref: str = "P-1") -> None:
        self.now += timedelta(seconds=1)
        self.said += 1
        said = PaymentSaid(
            self.bank,
            ref,
            kind,
            f"m{self.said}",
            Decimal(amount),
            "EUR",
            self.invoice.ref,
            None,
            None,
            None,
            None,
            None,
        )
        await record_payment(self.db, said, window=WINDOW, now=self.now)

    async def state(self) -> tuple[list[int], int, bool]:
        """(what is open of each installment, money that is over, whether it counts as paid)"""
        rows = await self.db.fetch(
            "SELECT open_amount FROM installment WHERE invoice_id = $1 ORDER BY no", self.invoice.id
        )
        over = await self.db.fetchval(
            "SELECT sum(amount - allocated) FROM payment WHERE invoice_id = $1", self.invoice.id
        )
        paid = await self.db.fetchval("SELECT settled_at IS NOT NULL FROM invoice WHERE id = $1", self.invoice.id)
        return [int(row[0]) for row in rows], int(over or 0), paid

    async def states(self) -> list[tuple[str, str | None]]:
        sql = "SELECT state, reason FROM reminder WHERE invoice_id = $1 ORDER BY id"
        return [(row[0], row[1]) for row in await self.db.fetch(sql, self.invoice.id)]

    async def check(self, age: timedelta, column: str = "checked_at") -> None:
        await self.db.execute(f"UPDATE installment SET {column} = $1", self.now - age)


@pytest.fixture
async def polling(database_dsn: str) -> AsyncIterator[Polling]:
    db = await connect(database_dsn)
    yield Polling(db)
    await db.close()


async def test_what_the_erp_calls_paid_is_paid_and_stops_what_was_planned(polling: Polling) -> None:
    await polling.begin()

    (polled,) = await polling.poll("0.00")

    assert polled.changed
    assert await polling.state() == ([0, 0], 0, True)
    assert await polling.states() == [("cancelled", "paid"), ("cancelled", "paid"), ("pending", None)]
    kinds = await polling.db.fetch("SELECT kind FROM event WHERE invoice_id = $1 ORDER BY id", polling.invoice.id)
    assert [row[0] for row in kinds][:2] == ["payment.confirmed", "invoice.paid"]
    assert not (await polling.poll("0.00"))[0].changed


async def test_the_erps_open_amount_fills_the_oldest_date_first_and_can_rise_again(polling: Polling) -> None:
    await polling.begin()
    await polling.poll("30.00")
    assert await polling.state() == ([0, 30], 0, False)
    await polling.poll("90.00")
    assert await polling.state() == ([50, 40], 0, False)
    await polling.poll(None)
    assert await polling.state() == ([60, 40], 0, False)


async def pay_all(world: Polling) -> None:
    await world.pay("100.00")


async def pay_half(world: Polling) -> None:
    await world.pay("60.00")


async def pay_rest(world: Polling) -> None:
    await world.pay("40.00", ref="P-2")


async def reverse_rest(world: Polling) -> None:
    await world.pay("40.00", "reversed", ref="P-2")


async def poll_half(world: Polling) -> None:
    await world.poll("40.00")


@pytest.mark.parametrize(
    ("acts", "end"),
    [
        ((pay_half, poll_half), ([0, 40], 0, False)),
        ((pay_half, pay_rest, poll_half), ([0, 0], 0, True)),
        ((pay_half, pay_rest, reverse_rest, poll_half), ([0, 40], 0, False)),
        ((pay_rest, poll_half), ([0, 40], 0, False)),
        ((pay_all, poll_half), ([0, 0], 0, True)),
    ],
)
async def test_the_same_money_counts_once_in_every_order(polling: Polling, acts: tuple[Act, ...], end: object) -> None:
    for order in permutations(acts):
        await polling.begin()
        polling.said = 0
        for act in order:
            await act(polling)
        assert await polling.state() == end, [act.__name__ for act in order]
        await polling.db.execute("TRUNCATE payment, payment_event, allocation CASCADE")


async def test_a_source_that_is_no_more_does_not_pay_what_a_bank_takes_back(polling: Polling) -> None:
    """Nobody can be asked any more whether it still says so. What it alone has paid stays."""
    await polling.begin()
    await polling.poll("90.00")
    await polling.pay("100.00")
    await polling.poll("0.00")
    assert await polling.state() == ([0, 0], 0, True)
    await polling.db.execute("UPDATE source SET kind = 'retired', config = '{}' WHERE id = $1", polling.erp)
    await polling.pay("70.00", "reversed")
    assert await polling.state() == ([30, 40], 0, False)


async def test_what_a_source_that_is_no_more_has_paid_stays_paid(polling: Polling) -> None:
    await polling.begin()
    await polling.poll("30.00")
    await polling.db.execute("UPDATE source SET kind = 'retired', config = '{}' WHERE id = $1", polling.erp)
    await polling.pay("10.00")
    await polling.pay("10.00", "reversed")
    assert await polling.state() == ([0, 40], 0, False)


async def test_an_old_answer_that_comes_late_changes_nothing(polling: Polling) -> None:
    await polling.begin()
    before = polling.now
    await polling.poll("0.00")
    assert await polling.poll("100.00", asked=before) == []
    assert (await polling.state())[2]


async def test_without_a_polled_source_a_reminder_goes_unchecked(polling: Polling) -> None:
    await polling.begin()
    assert await due(polling) == ["queued", "queued"]


@pytest.mark.parametrize(
    ("age", "column", "goes"),
    [
        (timedelta(minutes=9), "checked_at", True),
        (timedelta(minutes=11), "checked_at", False),
        (timedelta(minutes=9), "waived_at", True),
        (timedelta(minutes=11), "waived_at", False),
        (timedelta(minutes=-1), "checked_at", False),
        (timedelta(minutes=-1), "waived_at", False),
    ],
)
async def test_a_reminder_waits_until_it_was_checked_or_waived(
    polling: Polling, age: timedelta, column: str, goes: bool
) -> None:
    await polling.begin()
    await polling.db.execute("UPDATE payment_check SET fresh_for = $1", FRESH)
    await polling.db.execute(
        "UPDATE reminder SET due_at = $1, send_until = $2 WHERE state = 'pending'", polling.now, FOREVER
    )
    await polling.check(age, column)

    assert await due(polling) == (["queued", "queued"] if goes else [])

    if not goes:
        assert await polling.states() == [("pending", None), ("pending", None), ("waiting", None)]
        assert await due(polling) == [], "it is looked at again in a while, not at once"
        await polling.check(timedelta(0))
        polling.now += timedelta(seconds=61)
        assert await due(polling) == ["queued", "queued"]


async def test_a_clock_that_was_set_back_forgets_what_was_checked_after_it(polling: Polling) -> None:
    await polling.begin()
    await polling.poll("100.00")
    polling.now -= timedelta(hours=2)

    (polled,) = await polling.poll("0.00")

    assert polled.changed, "an answer of now is newer than one of a time that has not come"
    assert (await polling.state())[2]


async def test_what_needs_no_open_invoice_needs_no_check(polling: Polling) -> None:
    await polling.begin()
    await polling.db.execute("UPDATE payment_check SET fresh_for = $1", FRESH)
    await polling.db.execute("UPDATE reminder SET requires_open = false")
    assert await due(polling) == ["queued", "queued"]


async def test_the_claim_gives_back_what_waited_in_the_queue_for_too_long(polling: Polling) -> None:
    await polling.begin()
    await polling.db.execute("UPDATE payment_check SET fresh_for = $1", FRESH)
    await polling.check(timedelta(0))
    assert await due(polling) == ["queued", "queued"]
    polling.now += timedelta(minutes=11)

    verdicts = await take(polling)
    assert verdicts == ["giveback", "giveback"]

    await polling.check(timedelta(0))
    polling.now += timedelta(seconds=2)
    assert await due(polling) == ["queued", "queued"]
    assert await take(polling) == ["claimed", "claimed"]


FOREVER = datetime(2100, 1, 1, tzinfo=UTC)


async def due(polling: Polling) -> list[str]:
    await polling.db.execute(
        "UPDATE reminder SET due_at = $1, send_until = $2 WHERE state = 'pending' AND due_at > $1::timestamptz + interval '1 hour'",
        polling.now,
        FOREVER,
    )
    async with polling.db.transaction():
        return [row.state for row in await queue_due(polling.db, limit=100, max_queued=100, now=polling.now)]


async def take(polling: Polling) -> list[str]:
    ids = [row[0] for row in await polling.db.fetch("SELECT id FROM reminder WHERE state = 'queued' ORDER BY id")]
    wanted = [Wanted(one, "email", polling.invoice.contact_id, "smtp", Decimal(0), 0) for one in ids]
    claims = await claim(polling.db, wanted, worker="w", lease=timedelta(minutes=1), caps=Caps(), now=polling.now)
    return [one.verdict for one in claims]
