"""Money comes: what it settles is quiet from then on, and thanked for once."""

import pytest

from tests.scenarios.story import Case

FOLLOW_UP = [
    "day 1 email deliver-invoice", "day 10 email upcoming", "day 15 email due-today", "day 18 email overdue",
]  # fmt: skip


@pytest.mark.parametrize(("day", "before"), [(1, 1), (5, 1), (11, 2), (16, 3), (19, 4), (26, 4)], ids=str)
def test_a_payment_stops_whatever_has_not_gone_and_is_thanked_for(case: Case, day: int, before: int) -> None:
    case.invoice(due=15)
    case.clock(f"day {day} 13:00")
    case.pay()
    thanked = [*FOLLOW_UP[:before], f"day {day} email thank-you"]
    assert case.sent() == thanked

    case.clock("day 40")
    assert case.sent() == thanked
    states = {one["state"] for one in case.read()["reminders"]}
    assert states <= {"accepted", "cancelled", "failed"}  # failed: the calls, for which nobody provides


def test_after_a_part_the_reminders_ask_for_the_rest_and_get_no_harsher(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 11")
    case.pay("40.00")
    case.clock("day 19")

    assert case.sent() == FOLLOW_UP
    asked = ["€100.00" in one["text"] for one in case.messages()], ["€60.00" in one["text"] for one in case.messages()]
    assert asked == ([True, True, False, False], [False, False, True, True])
    case.pay("60.00", payment="p2")
    assert case.sent()[-1] == "day 19 email thank-you"


def test_too_much_settles_once_and_the_rest_is_kept_for_a_person(case: Case) -> None:
    case.invoice()
    case.pay("150.00")

    assert case.sent() == ["day 1 email deliver-invoice", "day 1 email thank-you"]
    [payment] = case.world.call("GET", f"/v1/payments?invoice_id={case.ref}")["items"]
    assert (payment["allocated"], payment["unallocated"]) == ("100.00", "50.00")
    assert case.world.call("GET", f"/v1/payment-status/{case.ref}")["open_amount"] == "0.00"


def test_the_same_payment_again_has_no_effect(case: Case) -> None:
    case.invoice()
    for event in ("first", "first", "under another event id"):
        assert case.pay("40.00", event=f"{case.ref} {event}".replace(" ", "-")) == 200

    assert case.read()["open_amount"] == "60.00"
    case.pay("60.00", payment="p2")
    case.pay("60.00", payment="p2")
    assert case.sent() == ["day 1 email deliver-invoice", "day 1 email thank-you"]


def test_a_payment_that_comes_before_its_invoice_finds_it(case: Case) -> None:
    assert case.pay() == 202
    answer = case.invoice()

    assert answer["status"] == "paid"
    assert case.sent() == ["day 1 email deliver-invoice", "day 1 email thank-you"]
    case.clock("day 33")
    assert len(case.sent()) == 2


def test_a_reversal_opens_the_invoice_again_and_doubles_nothing(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 11")
    case.pay()
    case.clock("day 12")
    case.pay(kind="reversed")
    assert case.read()["status"] == "open"
    case.clock("day 19")
    case.pay(payment="p2")
    case.clock("day 33")

    assert case.sent() == [
        "day 1 email deliver-invoice",
        "day 10 email upcoming",
        "day 11 email thank-you",
        "day 15 email due-today",
        "day 18 email overdue",
        "day 19 email thank-you",  # of the second settlement
    ]


def test_a_reversal_before_its_payment_leaves_the_invoice_open(case: Case) -> None:
    case.invoice(due=15)
    case.pay(kind="reversed")
    case.pay()

    assert case.read()["open_amount"] == "100.00"
    case.clock("day 11")
    assert case.sent() == FOLLOW_UP[:2]
