"""What every place of statement files keeps, whatever it is: each file is booked once, and none holds up another."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog

from services.payments.adapters.registry import reader_of
from services.payments.domain.matching import Rules
from services.payments.domain.pick_up import Place
from services.payments.domain.statement import StatementReader
from services.payments.handlers import pick_up
from services.payments.handlers.pick_up import PickUp
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.handlers.take_statement import take_statement
from services.payments.store.statement_files import forget_files
from tests import factories
from tests.contract.statement_places import RIGS, Rig
from tests.integration.payments_running import Payments, payments_running
from tests.statement_files import Line, camt, mt940

RF = "RF18539007547034"


@pytest.fixture
async def bank(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path / "documents", window=0.1, pool_size=8) as running:
        yield running


@pytest.fixture(params=sorted(RIGS))
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with RIGS[request.param](tmp_path) as made:
        yield made


@pytest.fixture
async def source(bank: Payments) -> int:
    return await factories.source(bank.owner, "files", "statement")


def taker(bank: Payments, rig: Rig, source: int) -> PickUp:
    """A process that watches the place."""
    recorder = PaymentRecorder(bank.db, timedelta(seconds=0.1))
    return PickUp(rig.place(), rig.kind, source, recorder, Rules(), reader_of)


def file(reference: str, amount: str = "10.00") -> bytes:
    return camt([Line(amount, rf=RF, bank_ref=reference)])


async def waiting(bank: Payments) -> list[tuple[Any, ...]]:
    rows = await bank.owner.fetch("SELECT name, tries, ended, said FROM statement_file ORDER BY name, id")
    return [tuple(row) for row in rows]


async def due(bank: Payments) -> None:
    """Whoever reads a file has died, or the pause is over."""
    await bank.owner.execute("UPDATE statement_file SET due_at = clock_timestamp()")


def test_every_place_is_tried_here() -> None:
    assert set(RIGS) == set(Place)


async def test_each_file_is_booked_once_however_often_somebody_looks(bank: Payments, rig: Rig, source: int) -> None:
    made = await factories.invoice(bank.owner, ("100.00",), payment_reference=RF)
    for name, content in (("1.xml", file("B1")), ("2.xml", file("B2")), ("3.sta", mt940([Line("5.00", RF)]))):
        rig.put(name, content)
    assert [await taker(bank, rig, source).look() for _ in range(3)] == [3, 0, 0]
    assert await bank.open_amounts(made.id) == [Decimal(75)]
    assert (await bank.counts())[0] == 3


async def test_what_is_no_statement_is_refused_once_with_a_word_and_the_others_count(
    bank: Payments, rig: Rig, source: int
) -> None:
    made = await factories.invoice(bank.owner, ("100.00",), payment_reference=RF)
    for name, content in (("1.pdf", b"%PDF-1.7"), ("2.xml", file("B1")), ("3.xml", file("B2")[:-30]), ("4.xml", b"")):
        rig.put(name, content)
    assert [await taker(bank, rig, source).look() for _ in range(2)] == [4, 0]
    assert await bank.open_amounts(made.id) == [Decimal(90)]


async def test_a_corrected_file_of_the_same_name_is_another_one(bank: Payments, rig: Rig, source: int) -> None:
    made = await factories.invoice(bank.owner, ("100.00",), payment_reference=RF)
    for content in (b"<", file("B1"), file("B2", "20.00")):
        rig.put("day.xml", content)
        assert await taker(bank, rig, source).look() == 1
    assert await bank.open_amounts(made.id) == [Decimal(70)]


async def test_two_processes_read_each_file_once_between_them(bank: Payments, rig: Rig, source: int) -> None:
    made = await factories.invoice(bank.owner, ("100.00",), payment_reference=RF)
    for n in range(12):
        rig.put(f"{n:02}.xml", file(f"B{n}", "2.00"))
    takers = [taker(bank, rig, source) for _ in range(4)]
    assert sum(await asyncio.gather(*(each.look() for each in takers))) == 12
    assert await bank.open_amounts(made.id) == [Decimal(76)]
    assert {(tries, ended) for _, tries, ended, _ in await waiting(bank)} <= {(1, "booked")}
    assert sum(await asyncio.gather(*(each.look() for each in takers))) == 0


async def test_one_that_cannot_be_read_is_told_waits_ever_longer_and_holds_up_nobody(
    bank: Payments, rig: Rig, source: int
) -> None:
    made = await factories.invoice(bank.owner, ("100.00",), payment_reference=RF)
    rig.put("1.xml", file("B1"))
    rig.hide("1.xml")
    rig.put("2.xml", file("B2"))
    with structlog.testing.capture_logs() as logs:
        assert [await taker(bank, rig, source).look() for _ in range(2)] == [2, 0]
        assert await bank.open_amounts(made.id) == [Decimal(90)]
        for _ in range(3):
            await due(bank)
            assert await taker(bank, rig, source).look() == 1
    told = [line for line in logs if line["event"] == "statement_file_not_read"]
    assert [(line["file"], line["again_in"]) for line in told] == [("1.xml", 15 * 2**n) for n in range(4)]
    assert {(name, tries, said) for name, tries, _, said in await waiting(bank) if name == "1.xml"} == {
        ("1.xml", 4, told[-1]["hint"])
    }
    rig.show("1.xml", file("B1"))
    await due(bank)
    await taker(bank, rig, source).look()
    assert await bank.open_amounts(made.id) == [Decimal(80)]


async def test_a_reader_that_breaks_costs_its_file_a_pause_and_the_others_nothing(
    bank: Payments, rig: Rig, source: int
) -> None:
    made = await factories.invoice(bank.owner, ("100.00",), payment_reference=RF)
    rig.put("1.xml", file("B1"))
    rig.put("2.sta", mt940([Line("10.00", RF)]))
    breaking = taker(bank, rig, source)
    breaking.reader_of = broken_for_xml
    assert await breaking.look() == 2
    assert await bank.open_amounts(made.id) == [Decimal(90)]
    assert ("1.xml", 1, None, "reading it ended with ZeroDivisionError") in await waiting(bank)


def broken_for_xml(head: bytes) -> StatementReader:
    if head.startswith(b"<"):
        raise ZeroDivisionError
    return reader_of(head)


async def test_a_process_that_dies_while_it_reads_costs_a_second_reading_that_books_nothing_twice(
    bank: Payments, rig: Rig, source: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await factories.invoice(bank.owner, ("100.00",), payment_reference=RF)
    rig.put("1.xml", file("B1"))
    booked = asyncio.Event()

    async def booked_and_then(*args: Any) -> Any:
        await take_statement(*args)
        booked.set()
        await asyncio.Event().wait()  # it is killed here

    monkeypatch.setattr(pick_up, "take_statement", booked_and_then)
    dying = asyncio.create_task(taker(bank, rig, source).look())
    await booked.wait()
    dying.cancel()
    await asyncio.wait([dying])
    monkeypatch.setattr(pick_up, "take_statement", take_statement)
    assert await taker(bank, rig, source).look() == 0  # its time is not over
    await due(bank)
    assert await taker(bank, rig, source).look() == 1
    assert await bank.open_amounts(made.id) == [Decimal(90)]
    assert (await bank.counts())[0] == 1


async def test_one_that_lost_its_file_meanwhile_leaves_it_to_the_other(bank: Payments, rig: Rig, source: int) -> None:
    """A process that slept past its lease: it has read the file, and does not put it away."""
    rig.put("1.xml", file("B1"))
    slow, quick = taker(bank, rig, source), taker(bank, rig, source)
    await slow._note()
    late = await slow._claim()
    assert late is not None
    await due(bank)
    assert await quick.look() == 1
    rig.put("1.xml", file("B1"))
    before = await waiting(bank)
    await slow._deal_with(late)
    assert await waiting(bank) == before
    assert (await bank.counts())[0] == 1


async def test_a_file_that_vanishes_is_forgotten_and_what_is_long_gone_too(
    bank: Payments, rig: Rig, source: int
) -> None:
    for n in (1, 2):
        rig.put(f"{n}.xml", file(f"B{n}"))
    vanishing = taker(bank, rig, source)
    await vanishing._note()
    rig.take_away("1.xml")
    assert await vanishing.look() == 2
    assert "1.xml" not in {row[0] for row in await waiting(bank)}
    await bank.owner.execute("UPDATE statement_file SET seen_at = seen_at - interval '31 days'")
    assert await forget_files(bank.owner, timedelta(days=30), 10) == (1 if rig.kind == Place.BUCKET else 0)
    assert await waiting(bank) == []
