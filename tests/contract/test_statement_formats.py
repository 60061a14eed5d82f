"""What every statement format keeps, whatever its syntax: the same entries have the same effect."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from services.payments.adapters.registry import STATEMENTS
from tests import factories
from tests.integration.payments_running import Payments, payments_running
from tests.statement_files import Line, camt, mt940

Make = Callable[[list[Line]], bytes]
FORMATS: dict[str, Make] = {
    **{
        f"camt.{kind}.{version}": lambda lines, k=kind, v=version: camt(lines, kind=k, version=v)  # type: ignore[misc]
        for kind in ("052", "053", "054")
        for version in ("02", "08", "13")
    },
    **{f"mt940.{dialect}": lambda lines, d=dialect: mt940(lines, dialect=d) for dialect in ("german", "dutch")},  # type: ignore[misc]
}
RF = "RF18539007547034"


@pytest.fixture
async def bank(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path, window=0.2) as running:
        yield running


@pytest.fixture(params=sorted(FORMATS))
def make(request: pytest.FixtureRequest) -> Make:
    return FORMATS[request.param]


def test_every_format_is_tried_here() -> None:
    assert {name.partition(".")[0] for name in FORMATS} == set(STATEMENTS)


async def test_a_reference_with_check_digits_settles_its_invoice_and_sending_the_file_again_does_nothing(
    bank: Payments, make: Make
) -> None:
    made = await factories.invoice(bank.owner, reminders=1, payment_reference=RF)
    file = make([Line("100.00", rf=RF, bank_ref="B1")])
    assert await bank.book(file) == {"entries": 1, "matched": 1}
    assert await bank.open_amounts(made.id) == [Decimal(0)]
    assert await bank.reminders(made.id) == [("step-0", "cancelled", "paid")]
    assert await bank.book(file) == {"entries": 1, "duplicates": 1}
    assert await bank.counts() == (1, 1)


async def test_a_number_in_the_text_counts_with_the_amount_and_the_payer(bank: Payments, make: Make) -> None:
    made = await factories.invoice(bank.owner, number="INV-2026-0017")
    await bank.book(make([Line("100.00", "Invoice inv 2026/0017, thank you")]))
    assert await bank.open_amounts(made.id) == [Decimal(0)]


async def test_amount_and_payer_are_enough_where_they_leave_one_invoice(bank: Payments, make: Make) -> None:
    made = await factories.invoice(bank.owner, ("87.65",), customer_columns={"name": "Jürgen Groß GmbH"})
    await factories.invoice(bank.owner, ("87.65",), customer_columns={"name": "Somebody Else"})
    await bank.book(make([Line("87.65", "for the goods", name="GROSS JUERGEN", iban=None)]))
    assert await bank.open_amounts(made.id) == [Decimal(0)]


async def test_two_equal_entries_of_one_statement_are_two_and_of_two_overlapping_files_one(
    bank: Payments, make: Make
) -> None:
    made = await factories.invoice(bank.owner, payment_reference=RF)
    twice = [Line("30.00", rf=RF), Line("30.00", rf=RF)]
    assert await bank.book(make(twice[:1])) == {"entries": 1, "matched": 1}
    assert await bank.book(make(twice)) == {"entries": 2, "matched": 1, "duplicates": 1}
    assert await bank.open_amounts(made.id) == [Decimal(40)]


async def test_what_went_out_is_ignored_and_what_comes_back_opens_the_invoice_again(bank: Payments, make: Make) -> None:
    made = await factories.invoice(bank.owner, reminders=1, payment_reference=RF)
    paid = Line("100.00", rf=RF, end_to_end="E2E-1", bank_ref="B1")
    out = Line("12.00", "rent", sign="D", bank_ref="B2")
    assert await bank.book(make([paid, out])) == {"entries": 2, "matched": 1, "ignored": 1}
    back = make([Line("100.00", "returned", sign="RC", end_to_end="E2E-1", bank_ref="B3")])
    assert await bank.book(back) == {"entries": 1, "reversed": 1}
    assert await bank.open_amounts(made.id) == [Decimal(100)]
    assert (await bank.invoice(made.id))["replan_at"] is not None
    assert await bank.book(back) == {"entries": 1, "duplicates": 1}
    assert await bank.open_amounts(made.id) == [Decimal(100)]


async def test_money_that_nobody_can_explain_waits_with_its_candidates(bank: Payments, make: Make) -> None:
    made = await factories.invoice(bank.owner, ("55.00",))
    await bank.book(make([Line("55.00", "thanks", name="A Stranger", iban=None)]))
    (item,) = (await bank.get("/v1/payments", status="unmatched"))["items"]
    assert (item["status"], item["reason"], item["payer"]["name"]) == ("unmatched", "unknown_invoice", "A Stranger")
    assert [(c["invoice_id"], c["confidence"], c["reasons"]) for c in item["candidates"]] == [
        (made.ref, "0.30", ["the amount is what is open"])
    ]
