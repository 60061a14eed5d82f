"""The three shipped flows as calendars: an invoice of Monday, day 1, due on Monday, day 15, and all that may come between.

Customers who pay, bounce or promise at different moments walk the same days side by side.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import holidays
import pytest

from tests.scenarios.story import Case, World

PHONE = "+4915112345678"


@dataclass(frozen=True)
class Calendar:
    """What goes out to a customer with a mail address alone who never pays, up to day `until`."""

    flow: str
    days: tuple[str, ...]
    until: int

    @property
    def last(self) -> str:
        return f"day {self.until}"


STANDARD = Calendar(
    "standard",
    (
        "day 1 12:00 email deliver-invoice",
        "day 10 09:00 email upcoming",
        "day 15 09:00 email due-today",
        "day 18 09:00 email overdue",
    ),
    until=24,
)
GENTLE = Calendar(
    "gentle",
    (
        "day 1 12:00 email deliver-invoice",
        "day 12 09:00 email upcoming",
        "day 22 09:00 email overdue",
        "day 36 09:00 email still-open",
    ),
    until=60,
)
STRICT = Calendar(
    "strict",
    (
        "day 1 12:00 email deliver-invoice",
        "day 13 09:00 email upcoming",
        "day 15 10:00 email due-today",
        "day 17 09:00 email overdue",
        "day 22 09:00 email last-reminder.email",
    ),
    until=28,
)
ALL = pytest.mark.parametrize("calendar", [STANDARD, GENTLE, STRICT], ids=lambda calendar: calendar.flow)


@pytest.fixture
def side_by_side(case: Case):
    """So many cases that share their days."""
    begun: list[Case] = []

    def begin(count: int) -> list[Case]:
        begun.extend(Case(case.world, case.zone, beside=case) for _ in range(count - 1))
        return [case, *begun]

    yield begin
    for one in begun:
        one.forget()


def day_of(line: str) -> int:
    return int(line.split(" ")[1])


def without_hour(line: str) -> str:
    _, day, _, channel, step = line.split(" ")
    return f"day {day} {channel} {step}"


@ALL
def test_who_never_pays_gets_the_whole_calendar(case: Case, calendar: Calendar) -> None:
    case.invoice(due=15, flow=calendar.flow)
    case.clock(calendar.last)

    assert case.hours() == list(calendar.days)
    handed = [line for line in case.timeline() if "hands the invoice" in line]
    called = "day 50: 'ask-a-person' hands the invoice to account manager: two reminders and no payment; please call."
    assert handed == ([called] if calendar.flow == "gentle" else [])


@ALL
def test_who_pays_between_two_steps_gets_no_further_one_but_thanks(
    side_by_side: Callable[[int], list[Case]], calendar: Calendar
) -> None:
    """The first pays after the first step, the second after the second, and so on."""
    payers = side_by_side(len(calendar.days))
    for payer in payers:
        payer.invoice(due=15, flow=calendar.flow)
    for number, line in enumerate(calendar.days):
        payers[number].clock(f"day {day_of(line)} 15:00")
        payers[number].pay()
    payers[0].clock(calendar.last)

    for number, payer in enumerate(payers):
        heard = [without_hour(line) for line in calendar.days[: number + 1]]
        assert payer.sent() == [*heard, f"day {day_of(calendar.days[number])} email thank-you"]


@ALL
def test_who_pays_in_the_hour_before_a_step_does_not_get_it(
    side_by_side: Callable[[int], list[Case]], calendar: Calendar
) -> None:
    steps = calendar.days[1:]
    payers = side_by_side(len(steps))
    for payer in payers:
        payer.invoice(due=15, flow=calendar.flow)
    for payer, line in zip(payers, steps, strict=True):
        payer.clock(f"day {day_of(line)} 08:30")
        payer.pay()
    payers[0].clock(calendar.last)

    for number, payer in enumerate(payers, start=1):
        heard = [without_hour(line) for line in calendar.days[:number]]
        assert [line for line in payer.sent() if "thank-you" not in line] == heard
        assert payer.sent()[-1] == f"day {day_of(calendar.days[number])} email thank-you"


@ALL
def test_whose_mailbox_dies_before_a_step_gets_that_step_and_all_later_ones_as_text(
    side_by_side: Callable[[int], list[Case]], calendar: Calendar
) -> None:
    """The mailbox of the first is dead from the start, that of the second from the second step on, and so on."""
    customers = side_by_side(len(calendar.days))
    for number, customer in enumerate(customers):
        email = "bounce@x.sandbox.test" if number == 0 else "ana@x.sandbox.test"
        customer.invoice(due=15, email=email, phone=PHONE, flow=calendar.flow)
    for customer, line in zip(customers[1:], calendar.days[1:], strict=True):
        customer.clock(f"day {day_of(line) - 1} 20:00")
        points = [
            {"kind": "email", "address": f"bounce+{customer.ref}@x.sandbox.test"},
            {"kind": "phone", "address": PHONE},
        ]
        customer.do("", {"contact_points": points}, method="PATCH")
    customers[0].clock(calendar.last)

    for number, customer in enumerate(customers):
        assert customer.sent() == _with_dead_mailbox(calendar, number)
        assert customer.suppressed() == ["email bounced"]


def _with_dead_mailbox(calendar: Calendar, since: int) -> list[str]:
    """The broadcast goes out as text anyhow; its mail is lost with the mailbox."""
    found = []
    for number, line in enumerate(calendar.days):
        mail = without_hour(line)
        text = mail.replace("email", "sms")
        both = mail.endswith(".email")
        found += [mail] if number <= since else []
        found += [text] if number >= since or both else []
    return found


@ALL
def test_a_broken_promise_is_answered_the_next_morning_where_the_flow_has_an_answer(
    case: Case, calendar: Calendar
) -> None:
    case.invoice(due=15, flow=calendar.flow)
    case.clock("day 9")
    case.do("promise", {"date": case.date(18).isoformat()})
    case.clock(calendar.last)

    answer = [] if calendar.flow == "standard" else ["day 19 09:00 email promise-broken"]
    assert case.hours() == [calendar.days[0], *answer, *[line for line in calendar.days if day_of(line) > 18]]


@ALL
def test_a_backlog_of_two_years_ago_ends_in_no_burst(case: Case, calendar: Calendar) -> None:
    body = case.body(
        "ana@x.sandbox.test", None, -730, "100.00", issue_date=case.date(-760).isoformat(), flow=calendar.flow
    )
    case.world.client.post("/v1/invoices/import", json=body, headers={"content-type": "application/x-ndjson"})
    case.clock("day 2 12:00")
    assert (case.sent(), case.read()["hold"]["kind"]) == ([], "backlog")
    case.do("resume")
    case.clock("day 20")

    assert case.sent() == ["day 2 email deliver-invoice"]


@ALL
def test_around_the_weekend_on_which_the_clocks_change_messages_keep_their_local_hour(
    world: World, case_in: Callable[[str], Case], calendar: Calendar
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    sunday = _next_change(zone, world.now().date() + timedelta(days=21))
    world.move(datetime.combine(sunday - timedelta(days=14), time(12), UTC))
    case = case_in(zone.key)  # Monday; the clocks change on day 14
    case.invoice(due=16, flow=calendar.flow, customer={"country": "CH"})  # no public holiday in the way
    case.clock("day 24")

    hours = {line.rsplit(" ", 1)[1]: line.split(" ")[2] for line in case.hours()[1:]}
    expected = {"upcoming": "09:00", "due-today": "10:00" if calendar.flow == "strict" else "09:00", "overdue": "09:00"}
    assert hours.items() <= (expected | {"last-reminder.email": "09:00"}).items()
    assert "overdue" in hours
    sent = {one["step"]: datetime.fromisoformat(one["sent_at"]).astimezone(UTC) for one in case.messages()}
    shift = sent["overdue"].hour - sent["upcoming"].hour
    assert shift == _shift(zone, sunday)


@ALL
def test_on_a_public_holiday_nobody_is_written_to(
    world: World, case_in: Callable[[str], Case], calendar: Calendar
) -> None:
    """The due date is the holiday: what announces it goes before, what follows it after."""
    holiday = _next_holiday(world.now().date() + timedelta(days=30))
    world.move(datetime.combine(holiday - timedelta(days=21), time(12), UTC))
    case = case_in("Europe/Berlin")
    case.invoice(due=(holiday - case.first_day).days + 1, flow=calendar.flow, customer={"country": "DE"})
    case.clock(f"day {(holiday - case.first_day).days + 12}")

    free = holidays.country_holidays("DE", years=[holiday.year, holiday.year + 1])
    days = {
        one["step"]: case.date(case._day(one["sent_at"])) for one in case.messages() if one["step"] != "deliver-invoice"
    }
    assert {step: day for step, day in days.items() if day in free or day.weekday() == 6} == {}
    assert all(day < holiday for step, day in days.items() if step in ("upcoming", "due-today"))
    assert days["overdue"] > holiday


def _next_change(zone: ZoneInfo, after: date) -> date:
    """The next Sunday on which the clocks change."""
    day = after
    while not _shift(zone, day):
        day += timedelta(days=1)
    return day


def _shift(zone: ZoneInfo, day: date) -> int:
    """By how many hours UTC of one local hour is earlier or later after this day than before it."""
    before, after = (datetime.combine(day + timedelta(days=n), time(12), zone).utcoffset() for n in (-1, 0))
    assert before is not None
    assert after is not None
    return round((before - after) / timedelta(hours=1))


def _next_holiday(after: date) -> date:
    """In Germany, on a weekday between working days."""
    free = holidays.country_holidays("DE", years=range(after.year, after.year + 3))
    return min(day for day in free if day >= after and 1 <= day.weekday() <= 3 and day + timedelta(days=1) not in free)
