"""Local rules turned into instants: gaps, folds, closed days, holidays."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.flow import NeverOpens, Window, calendar_of, may_interrupt
from shared.flow.calendar import Calendar, instant

BERLIN, HAVANA, APIA, LORD_HOWE = (
    ZoneInfo(name) for name in ("Europe/Berlin", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe")
)
OFFICE = Window(8 * 60, 19 * 60, frozenset(range(6)), avoid_holidays=True)


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def day(text):
    return date.fromisoformat(text).toordinal()


@pytest.mark.parametrize(
    ("zone", "local_day", "minute", "expected"),
    [
        (BERLIN, "2026-07-01", 9 * 60, "2026-07-01T07:00"),
        (BERLIN, "2026-12-01", 9 * 60, "2026-12-01T08:00"),
        (BERLIN, "2026-03-29", 2 * 60 + 30, "2026-03-29T01:00"),  # 02:30 is skipped: first instant after
        (BERLIN, "2026-03-29", 2 * 60, "2026-03-29T01:00"),
        (BERLIN, "2026-03-29", 3 * 60, "2026-03-29T01:00"),
        (BERLIN, "2026-10-25", 2 * 60 + 30, "2026-10-25T00:30"),  # 02:30 comes twice: the first
        (HAVANA, "2026-03-08", 0, "2026-03-08T05:00"),  # midnight itself is skipped
        (LORD_HOWE, "2026-10-04", 2 * 60 + 15, "2026-10-03T15:30"),  # a gap of half an hour
        (BERLIN, "2028-02-29", 24 * 60, "2028-02-29T23:00"),  # the end of a leap day
    ],
)
def test_a_local_time_is_exactly_one_instant(zone, local_day, minute, expected):
    assert instant(zone, day(local_day), minute) == utc(expected)


def test_a_window_closes_on_sundays_and_holidays():
    calendar = calendar_of(OFFICE, BERLIN, "DE")
    assert calendar.opening(day("2026-11-22")) is None
    assert calendar.opening(day("2026-12-25")) is None
    opening = calendar.opening(day("2026-12-24"))
    assert (opening.opens, opening.closes) == (utc("2026-12-24T07:00"), utc("2026-12-24T18:00"))


def test_holidays_are_those_of_the_country_and_an_unknown_country_has_none():
    assert calendar_of(OFFICE, BERLIN, "us").opening(day("2026-11-26")) is None
    for country in ("XX", None, "DE", ""):
        assert calendar_of(OFFICE, BERLIN, country).opening(day("2026-11-26")) is not None


def test_closed_days_give_way_to_the_next_or_the_previous_open_day():
    calendar = calendar_of(OFFICE, BERLIN, "DE")
    easter_sunday = day("2026-04-05")
    assert calendar.previous_open_day(easter_sunday).day == day("2026-04-04")
    assert calendar.next_open_day(easter_sunday).day == day("2026-04-07")
    assert calendar.slot_after(easter_sunday, 540).due_at == utc("2026-04-07T07:00")
    assert calendar.slot_before(easter_sunday, 540).due_at == utc("2026-04-04T07:00")


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-20T06:59", "2026-11-20T07:00"),
        ("2026-11-20T07:00", "2026-11-20T07:00"),
        ("2026-11-20T17:59", "2026-11-20T07:00"),
        ("2026-11-20T18:00", "2026-11-21T07:00"),
        ("2026-11-21T18:00", "2026-11-23T07:00"),
    ],
)
def test_the_next_opening_is_the_one_that_is_not_over(now, opens):
    assert calendar_of(OFFICE, BERLIN, "DE").next_opening(utc(now)).opens == utc(opens)


def test_who_may_be_interrupted_now_and_else_when():
    assert may_interrupt(utc("2026-11-20T10:00"), OFFICE, BERLIN, "DE") is None
    assert may_interrupt(utc("2026-11-20T18:00"), OFFICE, BERLIN, "DE") == utc("2026-11-21T07:00")
    assert may_interrupt(utc("2026-11-22T10:00"), OFFICE, BERLIN, "DE") == utc("2026-11-23T07:00")
    assert may_interrupt(utc("2026-11-22T10:00"), Window(), BERLIN, "DE") is None


def test_a_time_of_day_outside_the_window_is_moved_into_it():
    calendar = calendar_of(OFFICE, BERLIN, "DE")
    opening = calendar.next_open_day(day("2026-11-20"))
    assert calendar.slot_in(opening, 6 * 60).due_at == opening.opens
    assert calendar.slot_in(opening, 22 * 60).due_at == opening.closes - timedelta(minutes=30)
    brief = calendar_of(Window(600, 610), BERLIN, None)
    assert brief.slot_in(brief.next_open_day(day("2026-11-20")), 22 * 60).due_at == utc("2026-11-20T09:00")


def test_a_day_whose_window_the_clock_skips_has_no_opening():
    night = Calendar(Window(2 * 60, 3 * 60), BERLIN, None)
    assert night.opening(day("2026-03-29")) is None
    assert night.slot_after(day("2026-03-29"), 120).day == day("2026-03-30")


def test_a_date_that_a_zone_left_out_has_no_opening():
    assert Calendar(Window(), APIA, None).opening(day("2011-12-30")) is None
    assert Calendar(Window(), APIA, None).next_open_day(day("2011-12-30")).day == day("2011-12-31")


def test_a_window_that_never_opens_is_told_and_not_searched_for_ever():
    with pytest.raises(NeverOpens, match="no opening within 400 days of 2026-11-20 in Europe/Berlin"):
        Calendar(Window(weekdays=frozenset()), BERLIN, None).next_open_day(day("2026-11-20"))


ZONES = st.sampled_from(
    ["Europe/Berlin", "America/Havana", "Africa/Cairo", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Chatham",
     "America/St_Johns", "Pacific/Kiritimati", "Asia/Kathmandu", "America/Santiago", "UTC"]
).map(ZoneInfo)  # fmt: skip
DAYS = st.dates(date(2026, 1, 1), date(2028, 12, 31)).map(date.toordinal)
MINUTES = st.integers(0, 1439)


@given(ZONES, DAYS, MINUTES)
def test_an_instant_reads_back_as_its_local_time_or_lies_just_after_the_gap(zone, local_day, minute):
    found = instant(zone, local_day, minute)
    local = found.astimezone(zone).replace(tzinfo=None)
    wanted = datetime.combine(date.fromordinal(local_day), datetime.min.time()) + timedelta(minutes=minute)
    assert local >= wanted
    if local > wanted:
        before = (found - timedelta(seconds=1)).astimezone(zone).replace(tzinfo=None)
        assert before < wanted
    else:
        assert (found - timedelta(hours=1)).astimezone(zone).replace(tzinfo=None) != wanted


@given(ZONES, DAYS, MINUTES, MINUTES, st.frozensets(st.integers(0, 6), min_size=1))
def test_openings_of_following_days_never_overlap_and_stay_within_their_day(zone, local_day, start, length, weekdays):
    closes = min(1440, start + length + 1)
    calendar = Calendar(Window(start, closes, weekdays), zone, None)
    first = calendar.next_open_day(local_day)
    second = calendar.next_open_day(first.day + 1)
    assert first.opens < first.closes <= second.opens
    assert calendar.local_day(first.opens) == first.day
    assert calendar.local_day(first.closes - timedelta(seconds=1)) == first.day
    assert date.fromordinal(first.day).weekday() in weekdays
    assert calendar.next_opening(first.closes) == second
    assert calendar.previous_open_day(second.day - 1) == first
