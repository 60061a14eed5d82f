"""Payments that come at once are stored together, and it ends as if they had come one after the other."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.payments.api.parts import PaymentsParts
from services.payments.handlers.record_payment import AT_ONCE, DEADLINE
from shared.ledger.money import PaymentRecorded, PaymentSaid, record_payment, record_payments, record_poll
from shared.ledger.plan import lock_invoices
from shared.web.parts import find
from tests import factories
from tests.integration.payments_running import Payments, event, payments_running

WINDOW, PAID_AT = timedelta(seconds=0.3), datetime(2026, 11, 22, 12, tzinfo=UTC)
STATE = """
SELECT i.settled_at IS NOT NULL AS settled, i.settled_n,
       ARRAY(SELECT n.open_amount FROM installment n WHERE n.invoice_id = i.id ORDER BY n.no) AS open_amounts,
       ARRAY(SELECT r.step || ' ' || r.state FROM reminder r WHERE r.invoice_id = i.id ORDER BY r.id) AS reminders,
       ARRAY(SELECT y.payment_ref || ' ' || n.no || ' ' || a.amount FROM allocation a JOIN payment y ON y.id = a.payment_id
              JOIN installment n ON n.id = a.installment_id WHERE n.invoice_id = i.id ORDER BY y.id, n.no) AS allocations,
       ARRAY(SELECT e.kind || ' ' || e.data::text FROM event e WHERE e.invoice_id = i.id ORDER BY 1) AS events
  FROM invoice i WHERE i.id = ANY ($1) ORDER BY i.id
"""
PAYMENTS = """
SELECT y.payment_ref AS ref, y.amount, y.allocated, y.currency, y.unmatched_reason, y.invoice_id IS NULL AS unknown,
       y.paid_at, y.payer, count(e.id) AS events, min(e.body) AS body
  FROM payment y LEFT JOIN payment_event e USING (source_id, payment_ref)
 WHERE y.payment_ref LIKE $1 GROUP BY y.id ORDER BY 1
"""


@pytest.fixture
async def bank(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path, window=WINDOW.total_seconds()) as running:
        yield running


@dataclass(frozen=True)
class Word:
    """A payment's word. `to`: an invoice of the world: 0 is open, 1 too, but a polled ERP says that 60.00 of its 120.00
    came, 2 is void, 3 does not exist."""

    to: int
    amount: str
    currency: str = "EUR"
    by_reference: bool = False
    again: bool = False


WORDS = st.lists(
    st.builds(
        Word,
        to=st.sampled_from([0, 0, 0, 1, 1, 2, 3]),
        amount=st.sampled_from(["10.00", "60.00", "110.00"]),
        currency=st.sampled_from(["EUR", "EUR", "EUR", "USD"]),
        by_reference=st.booleans(),
        again=st.booleans(),
    ),
    min_size=2,
    max_size=8,
)


@dataclass
class World:
    owner: asyncpg.Connection
    source: int
    name: str
    invoices: tuple[factories.Made, ...]

    @classmethod
    async def make(cls, owner: asyncpg.Connection, source: int, erp: int) -> "World":
        made = [await factories.invoice(owner, ("70.00", "50.00"), reminders=1, thank_you=True) for _ in range(3)]
        await owner.execute("UPDATE invoice SET closed_as = 'void', closed_at = now() WHERE id = $1", made[2].id)
        await record_poll(owner, erp, {made[1].id: Decimal(60)}, datetime.now(UTC), window=WINDOW)
        return cls(owner, source, factories.unique("w"), tuple(made))

    def said(self, words: Sequence[Word]) -> list[PaymentSaid]:
        said: list[PaymentSaid] = []
        for number, word in enumerate(words):
            if word.again and said:
                said.append(said[-1])
                continue
            ref = self.invoices[word.to].ref if word.to < 3 else f"nobody-{self.name}"
            said.append(
                PaymentSaid(
                    self.source,
                    f"{number:02}{self.name}",
                    "confirmed",
                    "1",
                    Decimal(word.amount),
                    word.currency,
                    None if word.by_reference else ref,
                    None,
                    f"RF-{ref}" if word.by_reference else None,
                    PAID_AT,
                    {"name": "A. Payer"},
                    b"{}",
                )
            )
        return said

    async def state(self) -> list[dict[str, Any]]:
        invoices = await self.owner.fetch(STATE, [made.id for made in self.invoices])
        payments = await self.owner.fetch(PAYMENTS, f"__{self.name}")
        return [
            {key: _without(value, (self.name, *(made.ref for made in self.invoices))) for key, value in row.items()}
            for row in (*invoices, *payments)
        ]


def _without(value: Any, names: Sequence[str]) -> Any:
    """A name of this world by its number."""
    if isinstance(value, list):
        return [_without(each, names) for each in value]
    if isinstance(value, str):
        for number, name in enumerate(names):
            value = value.replace(name, f"#{number}")
    return value


@pytest.fixture
async def source(bank: Payments) -> int:
    found: int = await bank.owner.fetchval("SELECT id FROM source WHERE ref = 'bank'")
    return found


@pytest.fixture
async def erp(bank: Payments) -> int:
    return await factories.source(bank.owner, "erp", "http_poll")


async def together(connection: asyncpg.Connection, said: Sequence[PaymentSaid]) -> list[PaymentRecorded]:
    """As PaymentRecorder does: those that cannot go together go alone, after it."""
    answers = await record_payments(connection, said, window=WINDOW)
    return [
        answer or await record_payment(connection, each, window=WINDOW)
        for each, answer in zip(said, answers, strict=True)
    ]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(words=WORDS)
async def test_together_or_one_after_the_other_it_is_the_same(
    bank: Payments, source: int, erp: int, words: list[Word]
) -> None:
    one, other = [await World.make(bank.owner, source, erp) for _ in range(2)]
    async with bank.db.connection() as payments:
        expected = [await record_payment(payments, each, window=WINDOW) for each in one.said(words)]
        answers = await together(payments, other.said(words))
    assert [_comparable(each) for each in answers] == [_comparable(each) for each in expected]
    assert await other.state() == await one.state()


def _comparable(recorded: PaymentRecorded) -> PaymentRecorded:
    return replace(recorded, payment_id=0, invoice_id=recorded.invoice_id and 1)


async def test_what_is_plain_goes_together_and_what_is_known_or_unknown_alone(
    bank: Payments, source: int, erp: int
) -> None:
    world = await World.make(bank.owner, source, erp)
    words = [Word(0, "10.00"), Word(0, "20.00", again=True), Word(1, "10.00"), Word(2, "10.00"), Word(3, "10.00")]
    async with bank.db.connection() as payments:
        first = await record_payments(payments, world.said(words), window=WINDOW)
        again = await record_payments(payments, world.said(words), window=WINDOW)
    assert [each is not None for each in first] == [True, False, True, True, False]
    assert again == [None] * 5


def said_to_be_paid(source: int, *invoices: factories.Made) -> list[PaymentSaid]:
    return [
        PaymentSaid(source, f"p-{made.ref}", "confirmed", "1", Decimal(100), "EUR", made.ref, *[None] * 5)
        for made in invoices
    ]


async def test_they_wait_for_no_invoice_that_is_being_changed(bank: Payments, source: int) -> None:
    busy, calm = [await factories.invoice(bank.owner) for _ in range(2)]
    async with bank.owner.transaction(), bank.db.connection() as payments:
        await lock_invoices(bank.owner, [busy.id])
        async with asyncio.timeout(2):  # a lock is waited for 3 s
            answers = await record_payments(payments, said_to_be_paid(source, busy, calm), window=WINDOW)
    assert [each is not None for each in answers] == [False, True]


async def test_an_invoice_that_is_being_changed_holds_up_no_other(bank: Payments) -> None:
    """Six payments at once; a plan holds the lock of one of the invoices."""
    made = [await factories.invoice(bank.owner, reminders=1) for _ in range(6)]
    async with bank.owner.transaction():
        await lock_invoices(bank.owner, [made[2].id])
        said = [event("confirmed", f"p{n}", "100.00", invoice_id=each.ref) for n, each in enumerate(made)]
        tasks = [asyncio.create_task(bank.say(each)) for each in said]
        async with asyncio.timeout(3):
            answers = await asyncio.gather(*(task for n, task in enumerate(tasks) if n != 2))
        assert {answer.status_code for answer in answers} == {200}
        assert not tasks[2].done()
    assert (await tasks[2]).status_code == 200
    for each in made:
        assert await bank.open_amounts(each.id) == [Decimal(0)]
        assert await bank.reminders(each.id) == [("step-0", "cancelled", "paid")]


async def statements_that_wait(owner: asyncpg.Connection, count: int) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'payment'::regclass"
    async with asyncio.timeout(3):
        while await owner.fetchval(waiting) < count:
            await asyncio.sleep(0.01)


async def test_those_that_come_while_others_are_stored_are_one_transaction(bank: Payments, source: int) -> None:
    """While the table is locked two statements wait, each of one payment, and four more payments come."""
    recorder = find(bank.app, PaymentsParts).recorder
    made = [await factories.invoice(bank.owner) for _ in range(6)]

    async def record(said: PaymentSaid) -> PaymentRecorded:
        async with asyncio.timeout(DEADLINE) as within:
            return await recorder.record(said, within)

    async with bank.owner.transaction():
        await bank.owner.execute("LOCK TABLE payment IN SHARE MODE")
        tasks = []
        for under_way, said in enumerate(said_to_be_paid(source, *made), 1):
            tasks.append(asyncio.create_task(record(said)))
            await asyncio.sleep(0)  # it is asked for by now
            await statements_that_wait(bank.owner, min(under_way, AT_ONCE))
    assert all(recorded.fresh for recorded in await asyncio.gather(*tasks))
    rows = await bank.owner.fetch(
        "SELECT xmin::text FROM payment ORDER BY payment_ref = ANY ($1), id",
        [f"p-{each.ref}" for each in made[AT_ONCE:]],
    )
    first, second, *others = [row[0] for row in rows]
    assert len({first, second, *others}) == 3
    assert others == [others[0]] * 4


async def test_each_waits_for_the_barrier_of_its_own_invoice(bank: Payments, source: int) -> None:
    calm, sending = [await factories.invoice(bank.owner, reminders=1) for _ in range(2)]
    await factories.attempt(bank.owner, sending.reminders[0], sending.contact_id)
    async with bank.db.connection() as payments:
        answers = await record_payments(payments, said_to_be_paid(source, calm, sending), window=WINDOW)
    waits = [each.wait for each in answers if each]
    assert waits == [0, pytest.approx(WINDOW.total_seconds(), abs=WINDOW.total_seconds() - 0.01)]


async def test_said_three_times_at_once_everything_counts_once(bank: Payments) -> None:
    made = [await factories.invoice(bank.owner, ("30.00", "30.00"), reminders=2) for _ in range(8)]
    said = [
        (f"e{n}-{part}", event("confirmed", f"p{n}-{part}", "20.00", invoice_id=each.ref))
        for n, each in enumerate(made)
        for part in range(3)
    ]
    answers = await asyncio.gather(*(bank.say(body, event_id=ref) for ref, body in said * 3))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(not answer.json()["repeated"] for answer in answers) == len(said)
    assert await bank.counts() == (len(said), len(said))
    for each in made:
        assert await bank.open_amounts(each.id) == [Decimal(0), Decimal(0)]
        assert {state for _, state, _ in await bank.reminders(each.id)} == {"cancelled"}
        assert (await bank.invoice(each.id))["settled_n"] == 1


async def test_one_that_the_database_refuses_takes_no_other_with_it(bank: Payments) -> None:
    """A rule that refuses this one row stands for whatever may be wrong with one of them alone."""
    made = [await factories.invoice(bank.owner) for _ in range(5)]
    await bank.owner.execute("ALTER TABLE payment ADD CONSTRAINT odd CHECK (payment_ref <> 'p3')")
    said = [event("confirmed", f"p{n}", "100.00", invoice_id=each.ref) for n, each in enumerate(made)]
    answers = await asyncio.gather(*(bank.say(each) for each in said))
    assert [answer.status_code for answer in answers] == [200, 200, 200, 500, 200]
    assert [(await bank.open_amounts(each.id))[0] for each in made] == [0, 0, 0, 100, 0]
