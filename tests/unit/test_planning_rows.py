"""Which rows an invoice gets, and when, as a table of dates. 2026-11-22 is a Sunday."""

from dataclasses import replace

import pytest

from services.scheduler.domain.planned import Plan
from services.scheduler.domain.planning import plan
from shared.flow import FOREVER, Anchor, standard
from shared.states import ReminderState
from tests.unit.planning_facts import at, day, flow, invoice, step

NOON = at("2026-11-16T11:00")


def times(planned, *, skipped=False):
    rows = [row for row in planned.reminders if row.leg == "" and row.due_at]
    return {
        (row.step, row.occurrence): row.reason or f"{row.due_at:%m-%d %H:%M}"
        for row in rows
        if skipped or row.reason is None
    }


def test_the_standard_flow_of_an_ordinary_invoice():
    planned = plan(standard(), invoice("2026-11-16", "2026-12-16"), NOON)
    assert times(planned) == {
        ("deliver-invoice", 1): "11-16 11:00",
        ("upcoming", 1): "12-11 08:00",
        ("due-today", 1): "12-16 08:00",
        ("overdue", 1): "12-19 08:00",
        ("delinquent", 1): "12-28 08:00",  # 26 December is a holiday, the 27th a Sunday
    }
    rows = {(row.step, row.leg): row for row in planned.reminders}
    assert len(rows) == len(planned.reminders) == 7
    assert rows["upcoming", ""].send_until == at("2026-12-11T18:00")
    assert rows["deliver-invoice", ""].send_until == FOREVER
    assert (rows["thank-you", ""].state, rows["thank-you", ""].due_at) == (ReminderState.WAITING, None)
    then = rows["delinquent", "then"]
    assert (then.state, then.anchor, then.occurrence, then.installment_no) == ("waiting", Anchor.PARENT, 1, 1)
    assert then.anchor_date == day("2026-12-16")
    assert [key for key, row in rows.items() if row.urgent] == [
        ("due-today", ""),
        ("delinquent", "then"),
        ("thank-you", ""),
    ]
    assert [key[0] for key, row in rows.items() if row.requires_open is False] == ["deliver-invoice", "thank-you"]
    assert (planned.backlog, planned.nothing) == (False, None)


@pytest.mark.parametrize(
    ("when", "due", "expected"),
    [
        ({"on": "due"}, "2026-12-20", "12-19 08:00"),  # Sunday: up to the due date the previous open day
        ({"days": 2, "before": "due"}, "2026-12-22", "12-19 08:00"),
        ({"days": 2, "after": "due"}, "2026-12-18", "12-21 08:00"),  # Sunday: after it the next open day
        ({"on": "due"}, "2026-12-26", "12-24 08:00"),  # two holidays in a row
        ({"days": 1, "after": "due"}, "2026-12-24", "12-28 08:00"),  # two holidays and a Sunday
        ({"on": "due", "at": "18:30"}, "2026-12-21", "12-21 17:30"),
        ({"on": "due", "at": "23:00"}, "2026-12-21", "12-21 17:30"),  # moved into the window
        ({"on": "due", "at": "05:00"}, "2026-12-21", "12-21 07:00"),
        ({"days": 1, "after": "due"}, "2027-12-31", "01-03 08:00"),  # over the year's end, New Year's Day, a Sunday
        ({"days": 1, "after": "due"}, "2028-02-28", "02-29 08:00"),  # a leap day
    ],
)
def test_the_day_and_hour_of_one_step(when, due, expected):
    planned = plan(flow(step("s", **when)), invoice("2026-11-16", due), NOON)
    assert times(planned) == {("s", 1): expected}


def test_the_delivery_waits_for_the_local_midnight_of_the_issue_date():
    planned = plan(flow(step("deliver", on="issue")), invoice("2026-11-20", "2026-12-20"), NOON)
    assert times(planned) == {("deliver", 1): "11-19 23:00"}


def test_the_delivery_of_a_paid_invoice_goes_and_nothing_is_asked_for():
    paid = invoice("2026-11-16", "2026-12-16", open_amount="0", paid=True, settled_n=1)
    planned = plan(standard(), paid, NOON)
    assert times(planned) == {("deliver-invoice", 1): "11-16 11:00", ("thank-you", 1): "11-16 11:00"}
    asking = flow(step("deliver", on="issue"))
    assert plan(asking, paid, NOON).reminders == ()


def test_each_open_installment_has_its_own_rows():
    facts = invoice("2026-11-16", "2026-12-16", "2027-01-18")
    settled = replace(facts.installments[0], open_amount=facts.installments[0].open_amount * 0)
    facts = replace(facts, installments=(settled, facts.installments[1]))
    planned = plan(standard(), facts, NOON)
    assert {row.installment_no for row in planned.reminders} == {None, 2}
    assert times(planned)["due-today", 1] == "01-18 08:00"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, [(1, ReminderState.WAITING)]),
        ({"settled_n": 2}, [(3, ReminderState.WAITING)]),
        ({"settled_n": 2, "paid": True}, [(2, ReminderState.PENDING)]),
        ({"settled_n": 2, "paid": True, "settled_by_credit_alone": True}, []),
        ({"settled_n": 2, "paid": True, "kept": frozenset({(None, "thanks", 2, "")})}, []),
        ({"settled_n": 1, "kept": frozenset({(None, "thanks", 1, "")})}, [(2, ReminderState.WAITING)]),
        ({"settled_n": 0, "paid": True}, []),
    ],
)
def test_the_thank_you_goes_once_for_each_settlement(facts, expected):
    thanks = step("thanks", on="payment") | {"requires_open": False}
    amount = "0" if facts.get("paid") else "100"
    rows = plan(flow(thanks), invoice("2026-11-16", "2026-12-16", open_amount=amount, **facts), NOON).reminders
    assert [(row.occurrence, row.state) for row in rows] == expected
    assert all((row.due_at == NOON) is (row.state is ReminderState.PENDING) for row in rows)
    assert all(row.send_until is None and row.anchor is Anchor.PAYMENT for row in rows)


def test_a_flow_for_invoices_issued_today_leaves_others_alone():
    today = flow(step("deliver", on="issue"), start="issued_today")
    assert plan(today, invoice("2026-11-15", "2026-12-16"), NOON) == Plan((), nothing="not_issued_today")
    assert len(plan(today, invoice("2026-11-16", "2026-12-16"), NOON).reminders) == 1
    late = at("2026-11-16T23:30")  # already the 17th in Berlin
    assert plan(today, invoice("2026-11-16", "2026-12-16"), late).nothing == "not_issued_today"
    started = invoice("2026-11-16", "2026-12-16", accepted_at=NOON)
    assert len(plan(today, started, at("2026-12-01T12:00")).reminders) == 1


def test_what_may_have_gone_out_is_not_planned_again():
    kept = frozenset({(None, "deliver-invoice", 1, ""), (1, "upcoming", 1, ""), (2, "due-today", 1, "")})
    planned = plan(standard(), invoice("2026-11-16", "2026-12-16", kept=kept), NOON)
    assert sorted(times(planned)) == [("delinquent", 1), ("due-today", 1), ("overdue", 1)]


def test_the_then_of_a_kept_call_waits_for_its_end_or_goes_when_that_has_come():
    call, then = (1, "delinquent", 1, ""), (1, "delinquent", 1, "then")
    facts = invoice("2026-11-16", "2026-12-16", kept=frozenset({call}))
    now = at("2026-12-28T09:00")

    def thens(found):
        rows = plan(standard(), found, now).reminders
        return [(row.occurrence, row.state, row.due_at) for row in rows if row.leg == "then"]

    assert thens(facts) == [(2, "waiting", None), (1, "waiting", None)]
    assert thens(replace(facts, ended=frozenset({call}))) == [(2, "waiting", None), (1, "pending", now)]
    assert thens(replace(facts, kept=frozenset({call, then}))) == [(2, "waiting", None)]
    nothing_open = tuple(replace(entry, open_amount=entry.open_amount * 0) for entry in facts.installments)
    assert thens(replace(facts, installments=nothing_open)) == []


def test_a_repeat_is_planned_one_occurrence_ahead_of_the_kept_ones():
    daily = flow(step("call", days=1, after="due", repeat={"every": 7, "times": 3}))
    kept = frozenset({(1, "call", 1, ""), (1, "call", 2, "")})
    facts = invoice("2026-11-16", "2026-12-07", kept=kept, accepted_at=NOON)
    assert times(plan(daily, facts, at("2026-12-15T12:00"))) == {("call", 3): "12-22 08:00"}
    all_kept = replace(facts, kept=kept | {(1, "call", 3, "")})
    assert plan(daily, all_kept, at("2026-12-15T12:00")).reminders == ()


def test_a_step_before_the_issue_date_never_was():
    planned = plan(standard(), invoice("2026-11-16", "2026-11-18"), NOON)
    assert times(planned, skipped=True)["upcoming", 1] == "before_issue"


def test_a_plan_remembered_for_a_due_date_does_not_serve_an_invoice_issued_later():
    early = flow(step("s", days=5, before="due"))
    now = at("2026-11-05T11:00")
    assert times(plan(early, invoice("2026-11-06", "2026-11-30"), now)) == {("s", 1): "11-25 08:00"}
    later = plan(early, invoice("2026-11-26", "2026-11-30"), now)
    assert times(later, skipped=True) == {("s", 1): "before_issue"}


def test_a_closed_day_moves_forward_when_backward_would_be_before_the_issue_date_or_past():
    on_due = flow(step("s", on="due"))
    issued_on_sunday = invoice("2026-11-22", "2026-11-22")
    assert times(plan(on_due, issued_on_sunday, at("2026-11-16T11:00"))) == {("s", 1): "11-23 08:00"}
    accepted_on_sunday = invoice("2026-11-20", "2026-11-22")
    assert times(plan(on_due, accepted_on_sunday, at("2026-11-22T11:00"))) == {("s", 1): "11-23 08:00"}


def test_what_announces_the_due_date_does_not_move_past_it():
    monday_only = flow(step("s", days=1, before="due"), window=("08:00", "19:00", "mon"))
    planned = plan(monday_only, invoice("2026-11-18", "2026-11-20"), at("2026-11-18T11:00"))
    assert times(planned, skipped=True) == {("s", 1): "too_late"}


def test_a_later_step_that_closed_days_move_onto_the_same_day_speaks_alone():
    steps = [step("one", days=1, after="due"), step("two", days=2, after="due"), step("three", days=3, after="due")]
    planned = plan(flow(*steps), invoice("2026-11-16", "2026-12-18"), NOON)  # due on Friday; Sunday is closed
    assert times(planned, skipped=True) == {
        ("one", 1): "12-19 08:00",
        ("two", 1): "superseded",
        ("three", 1): "12-21 08:00",
    }


def test_two_steps_that_the_clerk_put_on_one_day_both_go():
    planned = plan(flow(step("a", on="due"), step("b", on="due")), invoice("2026-11-16", "2026-12-16"), NOON)
    assert times(planned) == {("a", 1): "12-16 08:00", ("b", 1): "12-16 08:00"}


def test_a_daily_repeat_over_closed_days_speaks_once_when_they_end():
    daily = flow(
        step("call", days=1, after="due", repeat={"every": 1, "times": 9}), window=("08:00", "19:00", "mon-fri")
    )
    facts = invoice("2026-11-16", "2026-12-18", kept=frozenset(), accepted_at=NOON)
    assert times(plan(daily, facts, NOON)) == {("call", 3): "12-21 08:00"}
