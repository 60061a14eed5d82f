"""Random flows with caps, groups and hours of channels, over random customers with several invoices, always the same ones: a
customer is never contacted more often, earlier or at another hour than that. A thousand invoices; ten thousand with FULL=1."""

from collections import Counter, defaultdict
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random

from services.scheduler.domain.contacted import Contacted
from services.scheduler.domain.course import Course
from services.scheduler.domain.debts import Debt, Held
from services.scheduler.domain.forecast import forecast
from services.scheduler.domain.planned import THEN_LEG
from shared.flow import Anchor
from shared.kernel.caps import NO_CAPS, Caps
from shared.routing import Candidate
from tests.unit.test_flow_ten_thousand import AHEAD, FLOWS, PLACES, clock, random_flow, random_invoice

CUSTOMERS, MOST_OWED = 8, 5


def joined(dice):
    """What joins a customer's invoices: one message, caps, and hours of a channel."""

    def more(opens, closes):
        own = {"from": clock(opens), "to": clock(dice.randint(opens + 20, closes))}
        caps = {"per_day": dice.randint(1, 2), "per_week": dice.randint(1, 4), "gap": f"PT{dice.randint(1, 60)}H"}
        said = {name: caps[name] for name in dice.sample(list(caps), dice.randint(1, 3))}
        return {
            **({"group": "customer"} if dice.random() < 0.6 else {}),
            **({"caps": said} if dice.random() < 0.7 else {}),
            **({"channel_windows": {"sms": own}} if dice.random() < 0.3 else {}),
        }

    return more


def random_customer(dice, flow):
    """(debts, now): what one customer owes, by mail or by text, some of it held."""
    place, way = dice.choice(PLACES), dice.choice(["email", "sms"])
    owed = [random_invoice(dice, place) for _ in range(dice.randint(1, MOST_OWED))]
    now = max(moment for _, moment in owed)
    return [debt(dice, flow, facts, now, way) for facts, _ in owed], now


def debt(dice, flow, facts, now, way):
    held = Held("hold", now + timedelta(days=dice.randint(1, 20))) if dice.random() < 0.2 else None
    rows = forecast(flow, facts, now, now + AHEAD).rows
    first = Candidate(way, 1, "x", Decimal(1))
    return Debt(
        rows,
        facts.issue_date,
        facts.zone,
        facts.country,
        dice.randint(1, 2),
        held,
        lambda _: (first, ""),
        lambda *_: None,
    )


def walked(flow, debts, now, caps):
    return list(Course(flow, debts, Contacted(caps), now=now, until=now + AHEAD).run())


def messages(fates):
    """What leaves at one instant in one message: the carrier and those that ride."""
    found = defaultdict(list)
    for fate in fates:
        if fate.way is not None:
            found[fate.at, *(fate.carrier or (fate.debt, fate.row))].append(fate)
    return list(found.values())


def counts(fate):
    return fate.row.requires_open and fate.row.leg != THEN_LEG


def assert_within(caps, contacts, zone):
    """An oracle of its own: local dates and instants, counted without the code under test."""
    days = Counter(at.astimezone(zone).date() for at in contacts)
    weeks = Counter(at.astimezone(zone).isocalendar()[:2] for at in contacts)
    assert max(days.values(), default=0) <= (caps.per_day or 99)
    assert max(weeks.values(), default=0) <= (caps.per_week or 999)
    assert all(later - earlier >= (caps.gap or timedelta(0)) for earlier, later in pairwise(sorted(contacts)))


def assert_allowed(flow, fate, zone):
    local = fate.at.astimezone(zone)
    assert fate.at >= (fate.row.due_at or fate.at), "never early"
    if fate.row.anchor is not Anchor.DUE or fate.row.leg == THEN_LEG:
        return
    own, window = (flow.channel_windows or {}).get(fate.way.channel), flow.contact_window
    for hours in (window, own) if own else (window,):
        assert hours.opens <= local.hour * 60 + local.minute < hours.closes
        assert local.weekday() in hours.days


def assert_one_message(flow, message, debts):
    assert len({(debts[one.debt].creditor, one.way) for one in message}) == 1
    assert len(message) == 1 or all(one.row.step in flow.grouped for one in message)
    severity = [flow.severity(one.row.step) for one in message]
    [carrier] = [n for n, one in enumerate(message) if one.carrier is None]
    assert severity[carrier] == max(severity), "the most severe speaks"


def test_random_customers_are_never_contacted_more_often_than_the_caps_say_nor_twice_for_one_row():
    dice, seen, capped, rode = Random(20261123), 0, 0, 0
    for _ in range(FLOWS):
        flow = random_flow(dice, joined(dice))
        caps = NO_CAPS.within(flow.caps)
        for _ in range(CUSTOMERS):
            debts, now = random_customer(dice, flow)
            fates = walked(flow, debts, now, caps)
            zone = debts[0].zone
            ends = Counter(
                (one.debt, one.row.installment_no, one.row.step, one.row.occurrence, one.row.leg) for one in fates
            )
            assert max(ends.values(), default=1) == 1
            gone = messages(fates)
            assert_within(caps, [message[0].at for message in gone if any(map(counts, message))], zone)
            for message in gone:
                assert_one_message(flow, message, debts)
                for fate in message:
                    assert_allowed(flow, fate, zone)
            seen += len(debts)
            capped += sum(one.moved == "cap" for one in fates)
            rode += sum(one.carrier is not None for one in fates)
    assert seen > FLOWS * CUSTOMERS
    assert capped > FLOWS
    assert rode > FLOWS


def test_what_nothing_joins_walks_alone_as_it_would_together():
    dice = Random(12)
    for _ in range(FLOWS // 4):
        flow = random_flow(dice)
        for _ in range(CUSTOMERS):
            debts, now = random_customer(dice, flow)
            together = [(one.debt, one.row, one.at, one.reason) for one in walked(flow, debts, now, Caps())]
            alone = [
                (n, one.row, one.at, one.reason)
                for n, owed in enumerate(debts)
                for one in walked(flow, [owed], now, Caps())
            ]
            assert Counter(together) == Counter(alone)
            planned = [
                (n, row)
                for n, owed in enumerate(debts)
                if owed.held is None
                for row in owed.rows
                if row.leg != THEN_LEG
            ]
            stops = {n for n, owed in enumerate(debts) if any(flow.step(row.step).stop for row in owed.rows)}
            free = {n for n, owed in enumerate(debts) if owed.held is None} - stops
            walks = Counter((n, row) for n, row, *_ in together if n in free and row.leg != THEN_LEG)
            assert walks == Counter((n, row) for n, row in planned if n in free)
