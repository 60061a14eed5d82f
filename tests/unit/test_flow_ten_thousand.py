"""Random pairs of a flow and an invoice, over zones and years, always the same ones: no reminder early, doubled, outside its
window, or at a higher severity because somebody paid a part. A thousand of them; ten thousand with FULL=1."""

import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from random import Random
from zoneinfo import ZoneInfo

import holidays

from services.scheduler.domain.forecast import forecast
from services.scheduler.domain.planned import THEN_LEG, Installment, InvoiceFacts
from services.scheduler.domain.planning import plan
from shared.flow import Anchor, Flow
from shared.states import ReminderState

FULL = os.environ.get("FULL", "0") not in ("", "0")
FLOWS, INVOICES = (400 if FULL else 40), 25
PLACES = (
    ("Europe/Berlin", "DE"), ("America/Bogota", "CO"), ("America/Havana", "CU"), ("Africa/Cairo", "EG"), ("Asia/Beirut", "LB"),
    ("Australia/Lord_Howe", "AU"), ("Pacific/Chatham", "NZ"), ("America/St_Johns", "CA"), ("Pacific/Kiritimati", "KI"),
    ("America/Santiago", "CL"), ("America/New_York", None), ("Europe/Lisbon", "PT"),
)  # fmt: skip
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AHEAD = timedelta(days=120)


def clock(minute):
    return f"{minute // 60:02}:{minute % 60:02}"


def random_flow(dice, more=lambda opens, closes: {}):
    """Steps in the order of their days, as verification asks for; all that the language knows around dates. `more`: what
    else it says, from its window's minutes."""
    steps: list[dict[str, object]] = [
        {"id": "deliver", "when": {"on": "issue"}, "message": "m", "channels": ["email"], "requires_open": False}
    ]
    if dice.random() < 0.3:
        steps.append(
            {
                "id": "arrived",
                "when": {"days": dice.randint(1, 9), "after": "issue"},
                "message": "m",
                "channels": ["email"],
            }
        )
    for index, offset in enumerate(sorted(dice.sample(range(-12, 35), dice.randint(1, 5)))):
        unit = dice.choice(["days", "days", "business_days", "weeks"])
        when = {"on": "due"} if offset == 0 else {unit: abs(offset), "before" if offset < 0 else "after": "due"}
        step: dict[str, object] = {"id": f"s{index}", "when": when | {"at": clock(dice.randint(0, 1439))}}
        kind = dice.choice(["channels", "channels", "broadcast", "escalate", "stop"])
        if kind == "stop" and index > 1:
            steps.append(step | {"stop": True})
        elif kind == "escalate":
            steps.append(step | {"escalate": {"to": "x"}})
        else:
            steps.append(step | {"message": "m", "broadcast" if kind == "broadcast" else "channels": ["email", "sms"]})
            if dice.random() < 0.3:
                every = dice.choice([3, 7, {"weeks": 1}, {"business_days": 4}])
                steps[-1]["repeat"] = {"every": every, "until": "paid", "times": dice.randint(2, 9)}
            if kind == "channels" and dice.random() < 0.2:
                steps[-1]["then"] = {"message": "m", "channels": ["sms"]}
    opens = dice.randint(0, 1200)
    closes = dice.randint(opens + 40, 1440)
    window = {"from": clock(opens), "to": clock(closes), "days": dice.sample(DAYS, dice.randint(1, 7)),
              "holidays": dice.choice(["avoid", "ignore"])}  # fmt: skip
    catch_up = {"missed": dice.choice(["send_late", "skip", "latest_only"]), "max_late": f"P{dice.randint(0, 9)}D"}
    return Flow.parse(
        {"name": "f", "contact_window": window, "catch_up": catch_up, "steps": steps} | more(opens, closes)
    )


def random_invoice(dice, place=None):
    zone, country = place or dice.choice(PLACES)
    issue = date(2026, 1, 1) + timedelta(days=dice.randint(0, 1095))
    dues = sorted(issue + timedelta(days=dice.randint(0, 60)) for _ in range(dice.choice([1, 1, 2])))
    parts = tuple(Installment(no, due, Decimal(100)) for no, due in enumerate(dues, start=1))
    moment = datetime.combine(issue, time(), UTC) + timedelta(
        days=dice.randint(-3, 50), seconds=dice.randint(0, 86_399)
    )
    return InvoiceFacts(issue, ZoneInfo(zone), country, parts), moment


@lru_cache(maxsize=1000)
def free_days(country, year):
    return frozenset(holidays.country_holidays(country, years=year))


def assert_allowed(flow, facts, row, now):
    """An oracle of its own: the local clock of the instant, and the holidays, read without the code under test."""
    local, window = row.due_at.astimezone(facts.zone), flow.contact_window
    assert row.due_at < row.send_until
    assert row.send_until > now
    assert local.date() >= facts.issue_date
    assert local.weekday() in window.days
    assert window.holidays == "ignore" or not facts.country or local.date() not in free_days(facts.country, local.year)
    assert window.opens <= local.hour * 60 + local.minute < window.closes
    if row.anchor is Anchor.ISSUE:
        assert local.toordinal() >= flow.step(row.step).when.day(facts.issue_date.toordinal(), facts.country)
    else:
        due = row.anchor_date
        nominal = due + timedelta(
            days=flow.timetable_of(due.toordinal(), facts.country).step(row.step).day(row.occurrence)
        )
        assert local.date() >= nominal or nominal <= due, "never early after the due date"
        assert nominal >= due or not flow.step(row.step).speaks or local.date() <= due, "never announced too late"


def messages(flow, rows):
    """What has a date of its own: neither the delivery nor what follows a message."""
    dated = [row for row in rows if row.anchor in (Anchor.DUE, Anchor.ISSUE) and row.leg != THEN_LEG]
    return [row for row in dated if flow.step(row.step).when.on != "issue"]


def live(rows):
    return [row for row in rows if row.state is ReminderState.PENDING]


def test_random_invoices_are_never_reminded_early_doubled_or_at_the_wrong_hour():
    dice, seen = Random(20261122), 0
    for _ in range(FLOWS):
        flow = random_flow(dice)
        for _ in range(INVOICES):
            facts, now = random_invoice(dice)
            foreseen = forecast(flow, facts, now, now + AHEAD).rows
            keys = Counter((row.installment_no, row.step, row.occurrence, row.leg) for row in foreseen)
            assert max(keys.values(), default=1) == 1
            going = live(messages(flow, foreseen))
            for row in going:
                assert_allowed(flow, facts, row, now)
            spoken = [row for row in going if flow.step(row.step).speaks]
            days = Counter((row.installment_no, row.leg, row.due_at.astimezone(facts.zone).date()) for row in spoken)
            nominal = Counter((row.installment_no, row.leg, _nominal(flow, facts, row)) for row in spoken)
            assert max(days.values(), default=0) <= max(nominal.values(), default=0), "two days of the flow on one day"
            seen += 1
    assert seen == FLOWS * INVOICES


def test_a_part_payment_changes_no_step_and_raises_none():
    dice = Random(11)
    for _ in range(FLOWS // 4):
        flow = random_flow(dice)
        for _ in range(INVOICES):
            facts, start = random_invoice(dice)
            later = start + timedelta(days=dice.randint(0, 40))
            gone = frozenset(
                (row.installment_no, row.step, row.occurrence, row.leg)
                for row in live(messages(flow, forecast(flow, facts, start, later).rows))
            )
            open_still = replace(facts, kept=gone, accepted_at=start)
            before = plan(flow, open_still, later).reminders
            parts = (replace(facts.installments[0], open_amount=Decimal("0.01")), *facts.installments[1:])
            assert plan(flow, replace(open_still, installments=parts), later).reminders == before
            paid = (replace(facts.installments[0], open_amount=Decimal(0)), *facts.installments[1:])
            after = plan(flow, replace(open_still, installments=paid), later).reminders
            others = [row for row in before if row.anchor is Anchor.DUE and row.installment_no != 1]
            assert [row for row in after if row.anchor is Anchor.DUE] == others


def _nominal(flow, facts, row):
    if row.anchor is Anchor.ISSUE:
        return ("issue", row.step)
    due = row.anchor_date.toordinal()
    return due + flow.timetable_of(due, facts.country).step(row.step).day(row.occurrence)
