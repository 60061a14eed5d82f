"""What a bank keeps of a transfer: within its source's tolerance the invoice is paid, and nothing depends on the order."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.payments.handlers.reconcile import Adding
from tests import factories
from tests.factories import Made
from tests.integration.ledger_checks import check_always
from tests.integration.payments_running import BEARER, Payments, event, payments_running
from tests.statement_files import Line, mt940

EUR = {"currency": "EUR", "most": "5.00", "percent": "5"}
RF = "RF18539007547034"


@pytest.fixture
async def bank(database_dsn: str, tmp_path: Path) -> AsyncIterator[Payments]:
    async with payments_running(database_dsn, tmp_path) as running:
        await tolerate(running, EUR)
        yield running


async def tolerate(bank: Payments, *fees: dict[str, Any]) -> None:
    put = {"kind": "standard_webhook", "secrets": [bank.secret], "fees": list(fees)}
    assert (await bank.http.put("/v1/sources/bank", json=put, headers=BEARER)).status_code == 200


async def came(bank: Payments, made: Made, amount: str, payment: str = "p1") -> None:
    await bank.say(event("confirmed", payment, amount, invoice_id=made.ref))


async def written_off(bank: Payments, made: Made) -> list[Decimal]:
    rows = await bank.owner.fetch("SELECT written_off FROM installment WHERE invoice_id = $1 ORDER BY no", made.id)
    return [row[0] for row in rows]


async def told(bank: Payments, made: Made) -> list[tuple[str, str]]:
    sql = "SELECT kind, data ->> 'amount' FROM event WHERE invoice_id = $1 AND kind LIKE 'fees.%' ORDER BY id"
    return [tuple(row) for row in await bank.owner.fetch(sql, made.id)]


async def test_what_comes_short_by_a_fee_pays_the_invoice_and_the_rest_is_written_off(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, reminders=2, thank_you=True)
    await bank.owner.execute("UPDATE reminder SET occurrence = 1 WHERE step = 'thank-you'")
    await came(bank, made, "97.50")
    assert await bank.open_amounts(made.id) == [0]
    assert await written_off(bank, made) == [Decimal("2.50")]
    assert (await bank.invoice(made.id))["settled_at"] is not None
    assert await told(bank, made) == [("fees.written_off", "2.5000")]
    assert [state for _, state, _ in await bank.reminders(made.id)] == ["cancelled", "cancelled", "pending"]
    said = await bank.get(f"/v1/payment-status/{made.ref}")
    assert ("paid", "0.00", "2.50") == (said["status"], said["open_amount"], said["written_off"])
    assert ["2.50"] == [part["written_off"] for part in said["installments"]]


@pytest.mark.parametrize(
    ("amount", "came_in"),
    [("100.00", "94.99"), ("1000.00", "994.99"), ("20.00", "18.99"), ("100.00", "50.00")],
    ids=["more than most", "more than most of much", "more than the share", "a part"],
)
async def test_what_lacks_more_is_a_part_payment_as_before(bank: Payments, amount: str, came_in: str) -> None:
    made = await factories.invoice(bank.owner, (amount,), reminders=1)
    await came(bank, made, came_in)
    assert await bank.open_amounts(made.id) == [Decimal(amount) - Decimal(came_in)]
    assert await written_off(bank, made) == [0]
    assert await told(bank, made) == []
    assert await bank.reminders(made.id) == [("step-0", "pending", None)]


async def test_a_reversal_undoes_the_write_off_and_asks_for_a_new_plan(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, reminders=1)
    await came(bank, made, "97.00")
    await bank.say(event("reversed", "p1"))
    assert await bank.open_amounts(made.id) == [100]
    assert await written_off(bank, made) == [0]
    assert await told(bank, made) == [("fees.written_off", "3.0000"), ("fees.taken_back", "3.0000")]
    row = await bank.invoice(made.id)
    assert (row["settled_at"], row["replan_at"] is not None) == (None, True)


async def test_the_missing_money_takes_the_place_of_the_write_off(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    await came(bank, made, "97.00")
    await came(bank, made, "10.00", "p2")
    assert (await bank.payment("p2"))["allocated"] == 3
    assert await written_off(bank, made) == [0]
    assert (await bank.invoice(made.id))["settled_n"] == 1
    assert (await told(bank, made))[-1] == ("fees.taken_back", "3.0000")


async def test_a_person_can_give_money_to_what_was_written_off(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    await came(bank, made, "97.00")
    await bank.say(event("confirmed", "p2", "3.00"))
    (item,) = (await bank.get("/v1/payments", status="unmatched"))["items"]
    path = f"/v1/payments/{item['id']}/allocations"
    given_by_hand = await bank.http.post(path, json={"invoice_id": made.ref}, headers=BEARER)
    assert given_by_hand.status_code == 201, given_by_hand.text
    assert await written_off(bank, made) == [0]
    await bank.http.delete(path, headers=BEARER)
    assert await written_off(bank, made) == [3]
    assert await bank.open_amounts(made.id) == [0]


async def test_a_statement_entry_that_the_matching_knows_is_short_closes_the_invoice_too(bank: Payments) -> None:
    put = {"kind": "statement", "fees": [EUR]}
    assert (await bank.http.put("/v1/sources/statements", json=put, headers=BEARER)).status_code in (200, 201)
    made = await factories.invoice(bank.owner, payment_reference=RF)
    assert await bank.book(mt940([Line("96.00", rf=RF)])) == {"entries": 1, "matched": 1}
    assert await written_off(bank, made) == [4]
    assert await bank.book(mt940([Line("4.00", "the rest", rf=RF)])) == {"entries": 1, "matched": 1}
    assert await written_off(bank, made) == [0]
    assert await bank.open_amounts(made.id) == [0]


async def test_the_tolerance_is_of_its_source_its_currency_and_its_creditors(bank: Payments) -> None:
    await tolerate(bank, {**EUR, "creditors": ["acme"]}, {**EUR, "currency": "USD", "most": "20"})
    others = await factories.invoice(bank.owner)
    named = await factories.invoice(bank.owner, creditor_columns={"ref": "acme"})
    dollars = await factories.invoice(bank.owner, ("1000.00",), currency="USD")
    for nth, (made, amount, currency) in enumerate(
        [(others, "97.00", "EUR"), (named, "97.00", "EUR"), (dollars, "981.00", "USD")]
    ):
        await bank.say(event("confirmed", f"p{nth}", amount, invoice_id=made.ref, currency=currency))
    assert [await written_off(bank, made) for made in (others, named, dollars)] == [[0], [3], [19]]


async def test_one_tolerance_has_to_allow_it_and_not_a_part_of_one_and_a_part_of_another(bank: Payments) -> None:
    await tolerate(bank, {**EUR, "most": "20", "percent": "1"}, {**EUR, "most": "2", "percent": "20"})
    much, little, large = [await factories.invoice(bank.owner, (amount,)) for amount in ("100.00", "10.00", "1000.00")]
    for made, amount in ((much, "85.00"), (little, "8.00"), (large, "990.00")):
        await came(bank, made, amount, made.ref)
    assert [await written_off(bank, made) for made in (much, little, large)] == [[0], [2], [10]]


async def test_an_erp_that_lowers_the_amount_pays_by_its_own_word(bank: Payments) -> None:
    made = await factories.invoice(bank.owner)
    await came(bank, made, "97.00")
    async with bank.owner.transaction():
        await bank.owner.execute("UPDATE installment SET amount = 97 WHERE invoice_id = $1", made.id)
        await bank.owner.execute("SET LOCAL ROLE dunnock_scheduler")
        await bank.owner.execute("SELECT settle(ARRAY[$1::bigint], NULL)", made.id)
    assert await written_off(bank, made) == [0]
    assert await bank.open_amounts(made.id) == [0]


async def test_the_reconciler_finds_nothing_to_repair(bank: Payments) -> None:
    made = await factories.invoice(bank.owner, ("50.00", "50.00"))
    await came(bank, made, "98.00")
    assert await bank.owner.fetchval("SELECT money_differences(0, $1)", made.id) == []
    await bank.owner.execute("UPDATE installment SET allocated = 1 WHERE invoice_id = $1", made.id)
    await Adding(bank.db)()
    assert await written_off(bank, made) == [0, 2]
    assert await bank.open_amounts(made.id) == [0, 0]


@pytest.mark.parametrize(
    ("more", "at"),
    [({"most": "0"}, "most"), ({"percent": "50"}, "percent"), ({"currency": "eur"}, "currency"), ({"x": 1}, "x")],
    ids=["nothing", "half", "no currency", "unknown"],
)
async def test_a_tolerance_that_makes_no_sense_is_refused(bank: Payments, more: dict[str, Any], at: str) -> None:
    put = {"kind": "statement", "fees": [EUR | more]}
    answer = await bank.http.put("/v1/sources/files", json=put, headers=BEARER)
    assert (answer.status_code, f"/fees/0/{at}" in answer.text) == (422, True)


AMOUNTS = st.sampled_from(["2.00", "3.00", "30.00", "47.00", "48.50", "50.00", "95.00", "97.00", "100.00"])
PAYMENTS = st.lists(st.tuples(AMOUNTS, st.sampled_from([None, "1.00", "2.00", "all"])), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(parts=st.sampled_from([("100.00",), ("50.00", "50.00")]), payments=PAYMENTS, data=st.data())
async def test_what_is_written_off_is_a_function_of_the_money_and_of_no_order(
    bank: Payments, parts: tuple[str, ...], payments: list[tuple[str, str | None]], data: st.DataObject
) -> None:
    made = await factories.invoice(bank.owner, parts)
    said = []
    for nth, (amount, back) in enumerate(payments):
        said.append(event("confirmed", f"{made.ref}-{nth}", amount, invoice_id=made.ref))
        if back is not None:
            said.append(event("reversed", f"{made.ref}-{nth}", None if back == "all" else back, invoice_id=made.ref))
    for each in data.draw(st.permutations(said)):
        assert (await bank.say(each)).status_code in (200, 202)

    expected = reckoned(parts, payments)
    rows = await bank.owner.fetch(
        "SELECT allocated, written_off, open_amount FROM installment WHERE invoice_id = $1 ORDER BY no", made.id
    )
    assert [tuple(row) for row in rows] == expected
    settled = (await bank.invoice(made.id))["settled_at"] is not None
    assert settled == all(left == 0 for _, _, left in expected)
    now_written = sum((fee for _, fee, _ in expected), Decimal(0))
    last = (await told(bank, made) or [("fees.taken_back", "0")])[-1]
    assert last[0] == "fees.taken_back" if not now_written else last == ("fees.written_off", f"{now_written:.4f}")
    await check_always(bank.owner, {})


def reckoned(parts: tuple[str, ...], payments: list[tuple[str, str | None]]) -> list[tuple[Decimal, ...]]:
    """(allocated, written off, open) of each installment, by the rule as a person would say it."""
    money = sum((net(Decimal(amount), back) for amount, back in payments), Decimal(0))
    rows: list[tuple[Decimal, ...]] = []
    kept = Decimal(0)
    for part in map(Decimal, parts):
        allocated = min(money, part)
        money -= allocated
        lacks = part - allocated if allocated else Decimal(0)
        kept += lacks
        fee = lacks if lacks <= part * 5 / 100 and kept <= 5 else Decimal(0)
        rows.append((allocated, fee, part - allocated - fee))
    return rows


def net(amount: Decimal, back: str | None) -> Decimal:
    return Decimal(0) if back == "all" else max(Decimal(0), amount - Decimal(back or 0))
