"""What happens to a step whose time passed, in planning and in timing anew. 2026-11-22 is a Sunday."""

import pytest

from services.scheduler.domain.planned import Skipped, SkipReason, Timed
from services.scheduler.domain.planning import next_occurrence, plan, retime
from shared.flow import FOREVER, standard
from tests.unit.planning_facts import at, flow, invoice, row_of, step

TWO = (step("first", days=1, after="due"), step("second", days=3, after="due"))


def dated(planned):
    rows = [row for row in planned.reminders if row.leg == "" and row.anchor == "due"]
    return {(row.step, row.occurrence): row.reason or f"{row.due_at:%m-%d %H:%M}" for row in rows}


@pytest.mark.parametrize(
    ("missed", "now", "expected"),
    [
        ("latest_only", "2026-11-12T20:00", {("first", 1): "superseded", ("second", 1): "11-13 07:00"}),
        ("send_late", "2026-11-12T20:00", {("first", 1): "superseded", ("second", 1): "11-13 07:00"}),
        ("skip", "2026-11-12T20:00", {("first", 1): "missed", ("second", 1): "missed"}),
        ("latest_only", "2026-11-11T09:00", {("first", 1): "11-11 09:00", ("second", 1): "11-12 08:00"}),
        ("latest_only", "2026-11-11T20:00", {("first", 1): "superseded", ("second", 1): "11-12 08:00"}),
        ("latest_only", "2026-11-14T09:00", {("first", 1): "too_late", ("second", 1): "11-14 09:00"}),
        ("latest_only", "2026-11-15T09:00", {("first", 1): "too_late", ("second", 1): "too_late"}),
    ],
)
def test_missed_steps_by_the_rule_of_the_flow(missed, now, expected):
    caught_up = flow(*TWO, catch_up={"missed": missed, "max_late": "P2DT12H"})
    planned = plan(caught_up, invoice("2026-11-01", "2026-11-09"), at(now))
    assert dated(planned) == expected


def test_of_two_missed_steps_of_one_day_latest_only_sends_the_last_and_send_late_both():
    steps = (step("a", days=1, after="due"), step("b", days=1, after="due"))
    for missed, expected in (("latest_only", "superseded"), ("send_late", "11-11 09:00")):
        planned = plan(
            flow(*steps, catch_up={"missed": missed}), invoice("2026-11-01", "2026-11-09"), at("2026-11-11T09:00")
        )
        assert dated(planned) == {("a", 1): expected, ("b", 1): "11-11 09:00"}


def test_what_announces_the_due_date_is_never_sent_after_it():
    early = flow(step("upcoming", days=1, before="due"))
    facts = invoice("2026-11-01", "2026-11-10")
    assert dated(plan(early, facts, at("2026-11-09T19:00"))) == {("upcoming", 1): "11-10 07:00"}
    assert dated(plan(early, facts, at("2026-11-10T19:00"))) == {("upcoming", 1): "too_late"}


def test_an_invoice_of_two_years_ago_is_a_backlog_and_sends_no_burst():
    planned = plan(standard(), invoice("2024-10-01", "2024-11-01"), at("2026-11-20T10:00"))
    assert planned.backlog is True
    assert dated(planned) == {
        ("upcoming", 1): "too_late",
        ("due-today", 1): "too_late",
        ("overdue", 1): "too_late",
        ("delinquent", 52): "too_late",
    }
    assert [row.step for row in planned.reminders if row.due_at and row.reason is None] == ["deliver-invoice"]


def test_a_backlog_within_the_repeat_goes_on_with_the_next_call_only():
    planned = plan(standard(), invoice("2026-09-01", "2026-10-01"), at("2026-11-20T10:00"))
    assert dated(planned)["delinquent", 6] == "too_late"  # 16 November
    assert dated(planned)["delinquent", 7] == "11-23 08:00"  # 22 November is a Sunday
    assert [row.occurrence for row in planned.reminders if row.leg == "then"] == [7]


@pytest.mark.parametrize(
    ("now", "due", "backlog"),
    [
        ("2026-11-23T22:59", ["2026-11-20"], False),  # the third day after the due date, 23:59 local
        ("2026-11-23T23:01", ["2026-11-20"], True),
        ("2026-11-24T10:00", ["2026-11-20", "2026-12-20"], True),  # the earliest open due date counts
        ("2026-11-24T10:00", ["2026-12-20"], False),
    ],
)
def test_an_invoice_is_a_backlog_when_accepted_later_than_max_late_after_its_earliest_due_date(now, due, backlog):
    assert plan(standard(), invoice("2026-11-01", *due), at(now)).backlog is backlog


def test_a_backlog_is_told_once_and_not_by_a_re_plan():
    facts = invoice("2026-09-01", "2026-10-01", accepted_at=at("2026-11-20T10:00"))
    assert plan(standard(), facts, at("2026-11-25T10:00")).backlog is False


def planned_row(of, facts, step_id, now="2026-11-02T10:00"):
    [row] = [row for row in plan(of, facts, at(now)).reminders if row.step == step_id and row.leg == ""]
    return row


@pytest.mark.parametrize(
    ("missed", "now", "expected"),
    [
        ("latest_only", "2026-11-10T20:00", Timed(at("2026-11-11T07:00"), at("2026-11-11T18:00"))),
        ("latest_only", "2026-11-11T10:30", Timed(at("2026-11-11T10:30"), at("2026-11-11T18:00"))),
        ("latest_only", "2026-11-11T18:00", Skipped(SkipReason.SUPERSEDED)),
        ("latest_only", "2026-11-14T10:00", Skipped(SkipReason.TOO_LATE)),
        ("skip", "2026-11-10T20:00", Skipped(SkipReason.MISSED)),
        ("skip", "2026-11-10T12:00", Timed(at("2026-11-10T12:00"), at("2026-11-10T18:00"))),
    ],
)
def test_a_row_whose_time_passed_is_timed_anew_by_the_same_rule(missed, now, expected):
    caught_up = flow(*TWO, catch_up={"missed": missed})
    facts = invoice("2026-11-01", "2026-11-09")
    row = row_of(planned_row(caught_up, facts, "first"), facts)
    assert retime(caught_up, row, at(now)) == expected


def test_a_reminder_that_was_tried_goes_to_its_fallback_the_next_day_although_the_flow_skips_missed_ones():
    skipping = flow(step("only", days=1, after="due"), catch_up={"missed": "skip"})
    facts = invoice("2026-11-01", "2026-11-09")
    planned = planned_row(skipping, facts, "only")
    backoff = at("2026-11-10T18:20")  # its next try would be after the window
    row = row_of(planned, facts, due_at=backoff, tried=True)
    assert retime(skipping, row, at("2026-11-10T17:50")) == Timed(at("2026-11-11T07:00"), at("2026-11-11T18:00"))


def test_lateness_is_counted_from_the_first_day_and_not_from_the_last_try():
    late = flow(step("only", days=1, after="due"), catch_up={"max_late": "P1D"})
    facts = invoice("2026-11-01", "2026-11-09")
    row = row_of(planned_row(late, facts, "only"), facts, due_at=at("2026-11-11T17:55"), tried=True)
    assert retime(late, row, at("2026-11-11T18:30")) == Skipped(SkipReason.TOO_LATE)


def test_a_row_released_by_its_trigger_goes_at_once_at_any_hour():
    facts = invoice("2026-11-01", "2026-11-09")
    night = at("2026-11-08T02:00")
    for row in plan(standard(), facts, at("2026-11-02T10:00")).reminders:
        if row.due_at is None:
            assert retime(standard(), row_of(row, facts, due_at=night), night) == Timed(night, FOREVER)


def test_the_next_call_comes_with_its_then_and_the_last_has_none():
    facts = invoice("2026-11-01", "2026-11-09")
    call = planned_row(standard(), facts, "delinquent")
    rows = next_occurrence(standard(), row_of(call, facts), call.due_at)
    assert [(row.occurrence, row.leg, row.state) for row in rows] == [(2, "", "pending"), (2, "then", "waiting")]
    assert rows[0].due_at == at("2026-11-26T08:00")
    last = row_of(call, facts)
    assert next_occurrence(standard(), type(last)(**{**fields(last), "occurrence": 52}), call.due_at) == ()
    then = row_of(rows[1], facts)
    assert next_occurrence(standard(), then, call.due_at) == ()
    assert next_occurrence(standard(), row_of(planned_row(standard(), facts, "overdue"), facts), call.due_at) == ()


def fields(row):
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def test_after_an_outage_the_next_call_skips_the_days_that_passed():
    facts = invoice("2026-11-01", "2026-11-09")
    call = planned_row(standard(), facts, "delinquent")  # 19 November
    rows = next_occurrence(standard(), row_of(call, facts), at("2026-12-15T10:00"))
    assert [(row.occurrence, f"{row.due_at:%m-%d}") for row in rows if row.leg == ""] == [(5, "12-17")]
    soon = next_occurrence(standard(), row_of(call, facts), at("2026-12-11T10:00"))
    assert [(row.occurrence, f"{row.due_at:%m-%d}") for row in soon if row.leg == ""] == [(4, "12-11")]
