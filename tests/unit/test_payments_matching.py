"""Which invoice a transfer is for: each rule with the witness that it needs, and what takes its certainty away."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.domain.matching import (
    Debt,
    Looked,
    Rules,
    Transfer,
    judge,
    judge_batch,
    suggestions,
)
from services.payments.domain.references import find

RF = "RF18539007547034"
RULES = Rules()
DEBT = Debt(1, "ERP-1", "INV-1001", RF, "EUR", 7, "Jo Bloggs", (Decimal(100),))
OTHER = Debt(2, "ERP-2", "INV-1002", "RF45INV1002", "EUR", 8, "Ann Other", (Decimal(40),))


def paid(amount: str = "100.00", text: str = "", name: str | None = "Jo Bloggs", *structured: str) -> Transfer:
    return Transfer(Decimal(amount), "EUR", find(structured, text), name, "DE02120300000000202051")


def pieces(transfer: Transfer, *debts: Debt, **looked: bool) -> list[tuple[int, str]]:
    return [(p.invoice_id, f"{p.amount:f}") for p in judge(Looked(transfer, debts, **looked), RULES).pieces]


ALL = [(1, "100.00")]


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        (paid("100.00", "", None, RF), ALL),
        (paid("60.00", "", "A Stranger", RF), [(1, "60.00")]),
        (paid("130.00", f"pay {RF[:4]} {RF[4:8]} {RF[8:12]} {RF[12:]} now", None), [(1, "130.00")]),
        (paid("100.00", "invoice inv 1001"), ALL),
        (paid("100.00", "INV1001"), ALL),
        (paid("97.50", "INV-1001"), [(1, "97.50")]),
        (paid("50.00", "INV-1001"), [(1, "50.00")]),
        (paid("100.00", "thanks", "BLOGGS, JO"), ALL),
        (paid("100.00", "INV-1002"), ALL),  # its number names somebody else's; amount and payer say whose it is
        (paid("100.00", "INV-1001", "A Stranger"), []),
        (paid("100.00", "INV-1001", None), []),
        (paid("99.00", "thanks"), []),
        (paid("100.00", "thanks", "Jo Blogs"), []),
        (paid("100.00", "thanks", "Bloggs"), []),
        (paid("40.00", "INV-1001"), [(1, "40.00")]),
        (paid("100.00", "RF19539007547034", "A Stranger"), []),
    ],
)
def test_a_transfer_goes_where_two_witnesses_or_one_checked_reference_say(
    transfer: Transfer, expected: list[tuple[int, str]]
) -> None:
    assert pieces(transfer, DEBT, OTHER) == expected


def test_a_uuid_needs_no_other_witness() -> None:
    debt = replace(DEBT, ref="2f1b8c1e-95f4-4f5d-9d0a-0c8f0a8d6c11")
    text = "for 2F1B8C1E-95F4-4F5D-9D0A-0C8F0A8D6C11"
    assert pieces(paid("30.00", text, None), debt) == [(1, "30.00")]


def test_two_invoices_of_one_payer_and_amount_are_for_a_person_unless_one_is_named() -> None:
    twin = replace(DEBT, invoice_id=3, ref="ERP-3", number="INV-1003", reference="X")
    assert pieces(paid(), DEBT, twin) == []
    assert pieces(paid("100.00", "INV-1003"), DEBT, twin) == [(3, "100.00")]


def test_namesakes_are_for_a_person() -> None:
    namesake = replace(OTHER, customer_name="Jo Bloggs")
    assert pieces(paid(), DEBT, namesake) == []


def test_a_common_amount_takes_the_certainty_of_a_name_and_much_debt_that_of_an_account() -> None:
    assert pieces(paid(), DEBT, common_amount=True) == []
    known = replace(DEBT, known_account=True)
    assert pieces(paid("100.00", "", "Whoever"), known, common_amount=True) == ALL
    assert pieces(paid("100.00", "", "Whoever"), known, owes_much=True) == []


def test_a_number_that_names_another_debt_of_the_payer_does_not_outweigh_the_amount() -> None:
    second = replace(DEBT, invoice_id=3, ref="ERP-3", number="INV-1003", reference="X", parts=(Decimal(70),))
    assert pieces(paid("70.00", "INV-1001"), DEBT, second) == [(3, "70.00")]


def test_one_transfer_pays_all_that_it_names_and_the_bank_may_keep_its_fees() -> None:
    second = replace(DEBT, invoice_id=3, ref="ERP-3", number="INV-1003", reference="X", parts=(Decimal(70),))
    assert pieces(paid("170.00", "INV-1001, INV-1003"), DEBT, second) == [(1, "100"), (3, "70.00")]
    assert pieces(paid("167.00", "INV-1001, INV-1003"), DEBT, second) == [(1, "100"), (3, "67.00")]
    assert pieces(paid("120.00", "INV-1001, INV-1003"), DEBT, second) == []
    assert pieces(paid("170.00", "INV-1001, INV-1003", "A Stranger"), DEBT, second) == []


def test_the_longest_number_is_meant_and_not_what_stands_in_it() -> None:
    short = replace(DEBT, invoice_id=3, ref="ERP-3", number="1001", reference="X")
    assert pieces(paid("100.00", "INV-1001"), DEBT, short) == ALL


@pytest.mark.parametrize("changed", [{"currency": "USD"}, {"closed": True}, {"parts": (Decimal(0),)}])
def test_what_cannot_take_the_money_is_only_found_by_a_checked_reference(changed: dict[str, object]) -> None:
    debt = replace(DEBT, **changed)  # type: ignore[arg-type]
    assert pieces(paid("100.00", "INV-1001"), debt) == []
    assert pieces(paid("100.00", "", None, RF), debt) == ALL


def test_what_one_transfer_pays_is_not_open_for_the_next_one() -> None:
    looked = [Looked(paid(), (DEBT,)), Looked(paid(), (DEBT,)), Looked(paid("100.00", "", None, RF), (DEBT,))]
    assert [bool(verdict.pieces) for verdict in judge_batch(looked, RULES)] == [True, False, True]


def test_one_of_the_installments_is_an_exact_amount_too() -> None:
    parts = replace(DEBT, parts=(Decimal(60), Decimal(40)))
    assert [pieces(paid(amount, "INV-1001"), parts) for amount in ("60.00", "40.00", "100.00")] == [
        [(1, "60.00")],
        [(1, "40.00")],
        ALL,
    ]


def test_nothing_is_automatic_below_the_threshold() -> None:
    strict = Rules(threshold=Decimal(1))
    assert judge(Looked(paid("100.00", "INV-1001"), (DEBT,)), strict).pieces == ()
    assert judge(Looked(paid("100.00", "", None, RF), (DEBT,)), strict).pieces


def test_candidates_are_told_with_their_reasons_the_likeliest_first() -> None:
    told = suggestions(Looked(paid("40.00", "INV-1001", "Ann Otter"), (DEBT, OTHER)), RULES)
    assert [(s.ref, s.confidence, s.reasons) for s in told] == [
        ("ERP-2", Decimal("0.70"), ("the amount is what is open", "the payer's name is like the customer's")),
        ("ERP-1", Decimal("0.60"), ("its number stands in the text",)),
    ]


@given(st.text(max_size=300), st.lists(st.text(max_size=60), max_size=4))
def test_whatever_is_written_is_bounded_and_never_an_error(text: str, structured: list[str]) -> None:
    found = find(structured, text)
    assert len(found.words) <= 96
    judge(Looked(Transfer(Decimal(1), "EUR", found, text, None), (DEBT, OTHER)), RULES)


@given(st.integers(4, 15), st.integers(0, 9))
def test_one_wrong_digit_makes_a_checked_reference_none(at: int, digit: int) -> None:
    wrong = RF[:at] + str(digit) + RF[at + 1 :]
    assert (wrong in find([wrong], "").checked) == (wrong == RF)


def test_the_swiss_reference_is_checked_too() -> None:
    reference = "210000000003139471430009017"
    assert reference in find([], "21 00000 00003 13947 14300 09017").checked
    assert not find([reference[:-1] + "8"], "").checked
    assert not find(["0" * 27], "").checked
