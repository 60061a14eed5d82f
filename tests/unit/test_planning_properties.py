"""Whatever the flow, the zone and the dates: never early, never outside the window, never doubled, never a burst."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import holidays
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.domain.planned import Installment, InvoiceFacts, Timed
from services.scheduler.domain.planning import next_occurrence, plan, retime
from shared.flow import FOREVER, Flow
from shared.states import ReminderState
from tests.unit.planning_facts import row_of, step

ZONES = st.sampled_from(
    [("Europe/Berlin", "DE"), ("America/Bogota", "CO"), ("America/Havana", "CU"), ("Africa/Cairo", "EG"),
     ("Asia/Beirut", "LB"), ("Australia/Lord_Howe", "AU"), ("Pacific/Chatham", "NZ"), ("America/St_Johns", "CA"),
     ("Pacific/Kiritimati", "KI"), ("America/Santiago", "CL"), ("America/New_York", None), ("Europe/Lisbon", "PT")]
)  # fmt: skip
DATES = st.dates(date(2026, 1, 1), date(2028, 12, 31))
CLOCKS = st.integers(0, 1439).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")


@st.composite
def windows(draw):
    opens, closes = sorted(draw(st.lists(st.integers(0, 1440), min_size=2, max_size=2, unique=True)))
    days = draw(st.lists(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1, unique=True))
    clock = [f"{minute // 60:02}:{minute % 60:02}" for minute in (opens, closes)]
    return {"from": clock[0], "to": clock[1], "days": days, "holidays": draw(st.sampled_from(["avoid", "ignore"]))}


@st.composite
def flows(draw):
    offsets = draw(st.lists(st.integers(-20, 40), min_size=1, max_size=5))
    steps = [step("deliver", on="issue") | {"requires_open": False}]
    for index, offset in enumerate(offsets):
        when = {"on": "due"} if offset == 0 else {"days": abs(offset), "before" if offset < 0 else "after": "due"}
        repeat = draw(st.none() | st.fixed_dictionaries({"every": st.integers(1, 9), "times": st.integers(1, 12)}))
        steps.append(step(f"s{index}", **when, at=draw(CLOCKS), **({"repeat": repeat} if repeat else {})))
    late = f"P{draw(st.integers(0, 9))}D"
    catch_up = {"missed": draw(st.sampled_from(["send_late", "skip", "latest_only"])), "max_late": late}
    return Flow.parse({"name": "f", "contact_window": draw(windows()), "catch_up": catch_up, "steps": steps})


@st.composite
def cases(draw):
    zone, country = draw(ZONES)
    issue = draw(DATES)
    due = issue + timedelta(days=draw(st.integers(0, 60)))
    facts = InvoiceFacts(issue, ZoneInfo(zone), country, (Installment(1, due, Decimal(10)),))
    second = draw(st.integers(0, 86_399))
    now = datetime.combine(issue, time(), UTC) + timedelta(days=draw(st.integers(-5, 120)), seconds=second)
    return draw(flows()), facts, now


def assert_allowed(flow, facts, row_step, occurrence, due_at, send_until):
    """An oracle of its own: it reads the local clock of the instant and asks the holidays, and shares no code."""
    window = flow.contact_window
    local, local_end = due_at.astimezone(facts.zone), send_until.astimezone(facts.zone)
    assert due_at < send_until
    assert local.date() >= facts.issue_date
    assert local.weekday() in window.days
    if window.holidays == "avoid" and facts.country:
        assert local.date() not in holidays.country_holidays(facts.country, years=local.year)
    minute = local.hour * 60 + local.minute
    assert window.opens <= minute < window.closes
    closes = local_end.replace(tzinfo=None) - datetime.combine(local.date(), time())
    assert closes <= timedelta(minutes=window.closes) + timedelta(hours=1)  # an end that the clock skips is read later
    found = flow.timetable.step(row_step)
    offset = found.day(occurrence)
    day = facts.installments[0].due_date + timedelta(days=offset)
    if offset > 0:
        assert local.date() >= day
        assert local.date() > day or minute >= min(found.at, window.closes - 30)
    elif offset < 0:
        assert local.date() <= facts.installments[0].due_date


def dated(planned):
    return [row for row in planned.reminders if row.anchor == "due" and row.state is ReminderState.PENDING]


@given(cases())
@settings(max_examples=150, deadline=None)
def test_a_plan_is_never_early_never_outside_its_window_and_has_each_row_once(case):
    flow, facts, now = case
    planned = plan(flow, facts, now)
    keys = Counter((row.installment_no, row.step, row.occurrence, row.leg) for row in planned.reminders)
    assert max(keys.values()) == 1
    assert {row.step for row in planned.reminders if row.anchor == "issue"} == {"deliver"}
    for row in dated(planned):
        assert row.send_until > now
        assert_allowed(flow, facts, row.step, row.occurrence, row.due_at, row.send_until)
    days = Counter(row.due_at.astimezone(facts.zone).date() for row in dated(planned))
    offsets = Counter(flow.timetable.step(row.step).day(row.occurrence) for row in dated(planned))
    assert max(days.values(), default=0) <= max(offsets.values(), default=0)  # only steps of one offset share a day
    assert all(len([row for row in dated(planned) if row.step == s.id]) <= 1 for s in flow.steps)


@given(cases(), st.lists(st.tuples(st.integers(0, 30), st.integers(-90, 90)), max_size=4))
@settings(max_examples=100, deadline=None)
def test_what_is_remembered_for_a_due_date_is_what_would_be_computed(case, others):
    flow, facts, now = case
    for days, later in others:
        plan(flow, replace(facts, issue_date=facts.issue_date - timedelta(days=days)), now + timedelta(days=later))
    fresh = Flow.parse(flow.to_dict())
    assert plan(flow, facts, now) == plan(fresh, facts, now)


@given(cases(), st.data())
@settings(max_examples=150, deadline=None)
def test_over_a_whole_life_with_outages_each_step_goes_once_and_no_outage_ends_in_a_burst(case, data):
    flow, facts, start = case
    rows = {(row.step, row.occurrence): row for row in plan(flow, facts, start).reminders if row.anchor == "due"}
    state = {key: row.state for key, row in rows.items()}
    sent: list[tuple[tuple[str, int], datetime]] = []
    now = start
    while (pending := [key for key, found in state.items() if found is ReminderState.PENDING]) and len(sent) < 40:
        outage = timedelta(hours=data.draw(st.sampled_from([0, 0, 0, 1, 9, 30, 24 * 8, 24 * 40])))
        now = max(now, min(rows[key].due_at or start for key in pending)) + outage
        for key in sorted(pending):
            row = rows[key]
            if row.due_at > now:
                continue
            if row.send_until <= now:
                timed = retime(flow, row_of(row, facts), now)
                if isinstance(timed, Timed):
                    assert_allowed(flow, facts, row.step, row.occurrence, timed.due_at, timed.send_until)
                    assert timed.send_until > now
                    rows[key] = row._replace(due_at=timed.due_at, send_until=timed.send_until)
                    continue
                state[key] = ReminderState.SKIPPED
            else:
                state[key] = ReminderState.ACCEPTED
                sent.append((key, now))
            for later in next_occurrence(flow, row_of(row, facts), now):
                new = (later.step, later.occurrence)
                assert new not in rows
                rows[new], state[new] = later, later.state
    offsets = Counter(flow.timetable.step(name).day(occurrence) for (name, occurrence), _ in sent)
    local_days = Counter(moment.astimezone(facts.zone).date() for _, moment in sent)
    assert max(Counter(key for key, _ in sent).values(), default=1) == 1
    assert max(local_days.values(), default=0) <= max(offsets.values(), default=0)


@given(ZONES, DATES, st.integers(0, 86_399))
@settings(max_examples=100, deadline=None)
def test_the_delivery_goes_as_soon_as_accepted_and_not_before_its_local_day(place, issue, second):
    flow = Flow.parse({"name": "f", "steps": [step("deliver", on="issue")]})
    facts = InvoiceFacts(issue, ZoneInfo(place[0]), place[1], (Installment(1, issue, Decimal(1)),))
    now = datetime.combine(issue, time(), UTC) + timedelta(seconds=second - 40_000)
    [row] = plan(flow, facts, now).reminders
    assert row.send_until == FOREVER
    assert row.due_at >= now
    assert row.due_at.astimezone(facts.zone).date() >= issue
    assert row.due_at == now or (row.due_at - timedelta(seconds=1)).astimezone(facts.zone).date() < issue
