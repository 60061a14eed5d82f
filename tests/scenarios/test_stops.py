"""People stop reminders, or move them: for an invoice, for a customer, for everybody."""

from collections.abc import Callable

import pytest

from tests.scenarios.story import Case

FIRST, LAST = "day 1 email deliver-invoice", "day 18 email overdue"


def hold_invoice(case: Case, until: str) -> Callable[[], object]:
    case.do("hold", {"until": until, "reason": "asked for time"})
    return lambda: case.do("resume")


def hold_customer(case: Case, until: str) -> Callable[[], object]:
    path = f"/v1/customers/{case.customer}"
    case.world.call("POST", f"{path}/hold", {"until": until, "reason": "on holiday"})
    return lambda: case.world.call("POST", f"{path}/resume")


def hold_everything(case: Case, until: str) -> Callable[[], object]:
    hold = case.world.call("POST", "/v1/holds", {"until": until, "reason": "an audit"})
    return lambda: case.world.call("DELETE", f"/v1/holds/{hold['hold_id']}")


@pytest.mark.parametrize("hold", [hold_invoice, hold_customer, hold_everything])
def test_what_falls_due_inside_a_hold_is_skipped_and_the_rest_goes_on(
    case: Case, hold: Callable[[Case, str], object]
) -> None:
    case.invoice(due=15)
    case.clock("day 9")
    hold(case, case.moment("day 16").isoformat())
    case.clock("day 19")

    assert case.sent() == [FIRST, LAST]
    assert [case.state(step) for step in ("upcoming", "due-today")] == ["skipped: hold", "skipped: hold"]
    assert "'upcoming' was not sent: the reminders are on hold (until " in " ".join(case.timeline())


@pytest.mark.parametrize("hold", [hold_invoice, hold_customer, hold_everything])
def test_who_resumes_earlier_gets_the_next_reminder(
    case: Case, hold: Callable[[Case, str], Callable[[], object]]
) -> None:
    case.invoice(due=15)
    case.clock("day 9")
    resume = hold(case, case.moment("day 30").isoformat())
    case.clock("day 14")
    resume()
    case.clock("day 19")

    assert case.sent() == [FIRST, "day 15 email due-today", LAST]


def test_a_delivery_waits_for_the_end_of_the_hold(case: Case) -> None:
    case.invoice(issue_date=case.date(2).isoformat())
    case.do("hold", {"until": case.moment("day 4 10:00").isoformat(), "reason": "a mistake in the form"})
    case.clock("day 5")

    assert case.hours() == ["day 4 10:00 email deliver-invoice"]


def test_a_payment_during_a_hold_is_thanked_for_after_it(case: Case) -> None:
    case.invoice(due=15)
    case.do("hold", {"until": case.moment("day 4 10:00").isoformat(), "reason": "asked for time"})
    case.clock("day 2")
    case.pay()
    assert case.sent() == [FIRST]
    case.clock("day 33")

    assert case.hours()[1:] == ["day 4 10:00 email thank-you"]


def test_a_void_invoice_is_never_spoken_of_again(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 11")
    assert case.do("void")["status"] == "void"
    case.clock("day 33")

    assert case.sent() == [FIRST, "day 10 email upcoming"]
    assert case.state("thank-you") == "cancelled: void"


def test_a_later_due_date_moves_what_has_not_gone(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 11")
    case.do("", {"due_date": case.date(22).isoformat()}, method="PATCH")
    case.clock("day 26")

    assert case.sent() == [
        FIRST,
        "day 10 email upcoming",
        "day 17 email upcoming",  # of the new date
        "day 22 email due-today",
        "day 25 email overdue",
    ]


def test_a_promise_holds_the_reminders_to_the_end_of_its_day(case: Case) -> None:
    case.invoice(due=15)
    case.clock("day 9")
    case.do("promise", {"date": case.date(17).isoformat()})
    case.clock("day 19")

    assert case.sent() == [FIRST, LAST]
    assert case.state("due-today") == "skipped: promise"
