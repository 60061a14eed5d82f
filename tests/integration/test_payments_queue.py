"""The queue of money that waits, over transfers that were for several invoices: what is taken back stays with a person."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.payments.handlers.reconcile import Adding, reconcile
from tests import factories
from tests.integration.payments_running import BEARER, Payments, event, payments_running
from tests.statement_files import Line, camt

OWNER = {"name": "Jo Bloggs", "ref": "C-JO"}


@pytest.fixture
async def bank(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path, window=0.1) as running:
        yield running


@pytest.fixture
async def three(bank: Payments) -> list[factories.Made]:
    """Invoices of one customer over 60 (in two dates), 30 and 10, all paid by one transfer that names them."""
    first = await factories.invoice(bank.owner, ("40.00", "20.00"), number="INV-5001", customer_columns=OWNER)
    others = [
        await factories.invoice(bank.owner, (amount,), number=number)
        for number, amount in (("INV-5002", "30.00"), ("INV-5003", "10.00"))
    ]
    ids = [each.id for each in others]
    await bank.owner.execute("UPDATE invoice SET customer_id = $1 WHERE id = ANY ($2)", first.customer_id, ids)
    file = camt([Line("100.00", "INV-5001, INV-5002 and INV-5003", end_to_end="E1")])
    assert await bank.book(file) == {"entries": 1, "matched": 1}
    return [first, *others]


async def opened(bank: Payments, made: list[factories.Made]) -> list[list[int]]:
    return [[int(amount) for amount in await bank.open_amounts(each.id)] for each in made]


async def queue(bank: Payments) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await bank.get("/v1/payments", status="unmatched"))["items"]
    return found


async def undo(bank: Payments, payment: int, **of: str) -> int:
    answer = await bank.http.delete(f"/v1/payments/{payment}/allocations", params=of, headers=BEARER)
    return answer.status_code


async def the_payment(bank: Payments) -> int:
    found: int = await bank.owner.fetchval("SELECT id FROM payment")
    return found


async def test_one_of_several_is_taken_back_alone_and_waits_with_the_reasons_for_it(
    bank: Payments, three: list[factories.Made]
) -> None:
    payment = await the_payment(bank)
    assert await undo(bank, payment, invoice_id=three[1].ref) == 204
    assert await opened(bank, three) == [[0, 0], [30], [0]]
    (item,) = await queue(bank)
    assert (item["status"], item["reason"], item["unallocated"]) == ("partly", "by_hand", "30.00")
    assert {each["invoice_id"] for each in item["allocations"]} == {three[0].ref, three[2].ref}
    assert item["candidates"][0]["invoice_id"] == three[1].ref
    assert {
        "its number stands in the text",
        "the amount is what is open",
        "this account paid the customer's invoices before",
    } <= {*item["candidates"][0]["reasons"]}
    assert (await bank.invoice(three[1].id))["replan_at"] is not None
    assert (await bank.invoice(three[0].id))["replan_at"] is None


async def test_an_installment_of_one_is_taken_back_and_nothing_else(
    bank: Payments, three: list[factories.Made]
) -> None:
    payment = await the_payment(bank)
    assert await undo(bank, payment, invoice_id=three[0].ref, installment="2") == 204
    assert await opened(bank, three) == [[0, 20], [0], [0]]
    assert await undo(bank, payment, invoice_id=three[0].ref, installment="2") == 404


async def test_all_are_taken_back_at_once_and_the_machine_gives_none_of_it_again(
    bank: Payments, three: list[factories.Made]
) -> None:
    payment = await the_payment(bank)
    assert await undo(bank, payment) == 204
    assert await opened(bank, three) == [[40, 20], [30], [10]]
    await reconcile(bank.db)
    assert await Adding(bank.db)() == 0
    await bank.say(event("confirmed", "more", "5.00", invoice_id=three[0].ref))
    await bank.http.post(f"/v1/payment-status/{three[1].ref}/refresh", headers=BEARER)
    assert await opened(bank, three) == [[35, 20], [30], [10]]
    assert await undo(bank, payment) == 404
    assert {each["invoice_id"] for each in (await queue(bank))[0]["candidates"]} == {each.ref for each in three}


async def test_what_was_taken_back_is_given_anew_piece_by_piece_and_a_reversal_takes_all(
    bank: Payments, three: list[factories.Made]
) -> None:
    payment = await the_payment(bank)
    await undo(bank, payment)
    for made, amount in ((three[2], "10.00"), (three[0], "50.00")):
        body = {"invoice_id": made.ref, "amount": amount}
        answer = await bank.http.post(f"/v1/payments/{payment}/allocations", json=body, headers=BEARER)
        assert answer.status_code == 201, answer.text
    assert await opened(bank, three) == [[0, 10], [30], [0]]
    assert await bank.book(camt([Line("100.00", sign="RC", end_to_end="E1")])) == {"entries": 1, "reversed": 1}
    assert await opened(bank, three) == [[40, 20], [30], [10]]
    assert await queue(bank) == []
    assert await bank.owner.fetchval("SELECT sum(amount) FROM payment") == Decimal(0)


async def test_money_in_another_currency_waits_with_the_invoice_that_it_names(
    bank: Payments, three: list[factories.Made]
) -> None:
    made = await factories.invoice(bank.owner, ("30.00",), number="INV-6001")
    await bank.book(camt([Line("30.00", "INV-6001", currency="CHF", end_to_end="E2")]))
    (item,) = await queue(bank)
    assert (item["status"], item["unallocated"], item["currency"]) == ("unmatched", "30.00", "CHF")
    assert (item["candidates"][0]["invoice_id"], item["candidates"][0]["currency"]) == (made.ref, "EUR")
    assert {"its number stands in the text", "it is in another currency"} <= {*item["candidates"][0]["reasons"]}
    answer = await bank.http.post(
        f"/v1/payments/{item['id']}/allocations", json={"invoice_id": made.ref}, headers=BEARER
    )
    assert (answer.status_code, "different currencies" in answer.json()["detail"]) == (409, True)


async def test_every_candidate_says_why_it_is_one(bank: Payments, three: list[factories.Made]) -> None:
    await undo(bank, await the_payment(bank))
    for item in await queue(bank):
        assert item["candidates"]
        assert all(each["reasons"] for each in item["candidates"]), item["candidates"]
