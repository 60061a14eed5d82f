"""What a flow will do, foreseen: every occurrence of one invoice, and many invoices counted at once."""

from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

import pytest

from services.scheduler.domain.alike import Counted, Reach, Used
from services.scheduler.domain.debts import Held
from services.scheduler.domain.forecast import forecast
from services.scheduler.domain.tally import Tally
from shared.flow import ConditionInputs, Flow, shipped
from shared.kernel.caps import Caps
from shared.routing import ContactKind, ContactPoint, Offer
from tests.unit.planning_facts import at, flow, invoice, step

NOW = at("2026-12-07T11:00")  # a Monday, 12:00 in Berlin
OFFERS = {"email": Offer("smtp", Decimal("0.001")), "sms": Offer("twilio", Decimal("0.05"))}
BOTH = Reach((ContactPoint(1, ContactKind.EMAIL, "-"), ContactPoint(2, ContactKind.PHONE, "+49151")))
PHONE = Reach((ContactPoint(2, ContactKind.PHONE, "+49151"),))


BERLIN = invoice("2026-12-07", "2026-12-21").zone
NOBODY = {("due", "no_usable_contact"): 1, ("later", "no_usable_contact"): 1}


def said(rows):
    names = [f"{row.step}.{row.leg}" if row.leg else row.step for row in rows]
    return [f"{row.due_at.astimezone(BERLIN):%d.%m. %H:%M} {name}" for row, name in zip(rows, names, strict=True)]


def counted(due="2026-12-21", **changes):
    inputs = ConditionInputs(changes.pop("owed", Decimal(100)), Decimal(100), "EUR", 0)
    facts = invoice("2026-12-07", due)
    known: dict[str, object] = {
        "kept": frozenset(),
        "stopped": frozenset(),
        "held": None,
        "reach": BOTH,
        "inputs": inputs,
        "zone": "Europe/Berlin",
    }
    return Counted(
        **{
            "issue_date": facts.issue_date,
            "accepted_at": NOW,
            "country": "DE",
            "parts": facts.installments,
            **known,
            **changes,
        }
    )


def tally(chosen, *invoices, days=90, offers=OFFERS):
    made = Tally(chosen, offers, NOW, NOW + timedelta(days=days))
    made.add(invoices)
    made.close()
    return made


def test_the_strict_flow_of_one_invoice_to_its_end():
    foreseen = forecast(shipped()["strict"], invoice("2026-12-07", "2026-12-21"), NOW, NOW + timedelta(days=90))
    assert said(foreseen.rows) == [
        "07.12. 12:00 deliver-invoice", "19.12. 09:00 upcoming", "21.12. 10:00 due-today", "23.12. 09:00 overdue",
        "29.12. 09:00 last-reminder.email", "29.12. 09:00 last-reminder.sms",
        "04.01. 09:00 delinquent", "04.01. 09:00 delinquent.then", "11.01. 09:00 delinquent", "11.01. 09:00 delinquent.then",
        "18.01. 09:00 delinquent", "18.01. 09:00 delinquent.then", "25.01. 09:00 delinquent", "25.01. 09:00 delinquent.then",
        "01.02. 09:00 delinquent", "01.02. 09:00 delinquent.then", "08.02. 09:00 delinquent", "08.02. 09:00 delinquent.then",
        "15.02. 09:00 hand-over", "19.02. 09:00 end",
    ]  # fmt: skip
    assert [row.step for row in foreseen.waiting] == ["thank-you", "promise-broken"]


def test_invoices_that_are_alike_are_counted_as_often_as_there_are():
    one, many = tally(shipped()["strict"], counted()), tally(shipped()["strict"], *[counted()] * 7)
    assert many.sends == Counter({key: 7 * times for key, times in one.sends.items()})
    assert sum(many.costs.values()) == 7 * sum(one.costs.values())
    assert (one.invoices, many.invoices, one.escalations, many.escalations) == (1, 7, 1, 7)


def test_a_tally_sends_what_the_forecast_foresees_on_the_customers_own_days():
    made = tally(flow(step("due", on="due"), step("later", days=3, after="due")), counted(), counted("2026-12-22"))
    assert made.sends == Counter(
        {(date(2026, 12, 21), "email"): 1, (date(2026, 12, 22), "email"): 1, (date(2026, 12, 24), "email"): 1,
         (date(2026, 12, 28), "email"): 1}
    )  # fmt: skip
    assert sum(made.costs.values()) == Decimal("0.004")


@pytest.mark.parametrize(
    ("changes", "skipped"),
    [
        ({"reach": Reach(())}, NOBODY),
        ({"reach": PHONE}, NOBODY),
        ({"held": Held("dispute", at("2026-12-23T00:00"))}, {("due", "dispute"): 1}),
        ({"kept": frozenset({(1, "due", 1, "")})}, {}),
        ({"owed": Decimal(5)}, {("later", "condition"): 1}),
        ({"reach": BOTH._replace(suppressed=(((1, "email"), "bounced"),))}, NOBODY),
    ],
)  # fmt: skip
def test_what_is_left_out_is_counted_with_its_reason(changes, skipped):
    conditional = step("later", days=3, after="due") | {"only_if": "invoice.open_amount > 20.0 && days_past_due == 3"}
    made = tally(flow(step("due", on="due"), conditional), counted(**changes))
    assert dict(made.skipped) == skipped
    assert sum(made.sends.values()) + sum(made.skipped.values()) == (1 if "kept" in changes else 2)


def test_a_stop_ends_only_its_own_installment_and_only_where_its_condition_holds():
    end = {"id": "end", "when": {"days": 2, "after": "due"}, "stop": True, "only_if": "invoice.open_amount < 10.0"}
    chosen = flow(step("due", on="due"), end, step("later", days=3, after="due"))
    assert sum(tally(chosen, counted()).sends.values()) == 2
    assert sum(tally(chosen, counted(owed=Decimal(5))).sends.values()) == 1


def test_without_providers_nothing_is_sent_and_the_reason_says_so():
    made = tally(flow(step("due", on="due")), counted(), offers={})
    assert (sum(made.sends.values()), dict(made.skipped)) == (0, {("due", "no_provider"): 1})


def test_an_old_issue_date_changes_nothing_of_what_lies_ahead():
    old = [counted(issue_date=date(2026, 5, 1) + timedelta(days=n)) for n in range(50)]
    made = tally(shipped()["standard"], *old)
    assert len(made._plans) == 1
    assert made.sends[date(2026, 12, 16), "email"] == 50
    young = tally(flow(step("early", days=10, before="due")), counted("2026-12-14"))
    assert sum(young.sends.values()) == 0


OWED = [("2026-12-21", 1), ("2026-12-21", 1), ("2026-12-21", 2), ("2026-12-22", 1)]  # due date, customer
REMINDER = flow(step("due", on="due"), step("later", days=3, after="due"))


def of_customers(made, **changes):
    made.add(counted(due, customer=customer, creditor=1, **changes) for due, customer in OWED)
    made.close()
    return made


def joined(**top):
    return Flow.parse(REMINDER.to_dict() | top)


def days(made):
    return {str(day)[5:]: count for (day, _), count in sorted(made.sends.items())}


def test_what_rides_along_is_no_message_and_costs_nothing():
    made = of_customers(Tally(joined(group="customer"), OFFERS, NOW, NOW + timedelta(days=30)))
    assert days(made) == {"12-21": 2, "12-22": 1, "12-24": 2, "12-28": 1}
    assert dict(made.rode_along) == {"due": 1, "later": 1}
    assert sum(made.costs.values()) == Decimal("0.006")


def test_what_is_over_a_cap_goes_on_a_later_day_and_is_counted_with_its_step():
    owed = [counted("2026-12-21", customer=1), counted("2026-12-21", customer=1)]
    made = tally(joined(caps={"per_day": 1}), *owed, days=30)
    assert days(made) == {"12-21": 1, "12-22": 1, "12-24": 1, "12-28": 1}
    assert (dict(made.moved), dict(made.skipped)) == ({("due", "cap"): 1, ("later", "cap"): 1}, {})


def test_what_waits_for_too_long_is_left_out_as_it_would_be():
    owed = [counted("2026-12-21", customer=1) for _ in range(3)]
    made = tally(joined(caps={"per_week": 1}), *owed, days=30)
    assert days(made) == {"12-21": 1, "12-28": 1}
    assert dict(made.skipped) == {("due", "superseded"): 2, ("later", "too_late"): 2}


def test_the_caps_of_the_deployment_count_too_and_so_does_what_went_before():
    used = Used(NOW, date(2026, 12, 7), 1, date(2026, 12, 7), 2)
    today = [counted("2026-12-04", customer=1, used=used)]
    for caps, sent in ((Caps(), {"12-07": 1}), (Caps(per_day=1), {"12-08": 1}), (Caps(per_week=2), {})):
        made = Tally(flow(step("later", days=3, after="due")), OFFERS, NOW, NOW + timedelta(days=5), caps)
        made.add(today)
        made.close()
        assert days(made) == sent, caps


def test_customers_are_alike_only_where_all_that_they_owe_is():
    made = Tally(joined(group="customer"), OFFERS, NOW, NOW + timedelta(days=30))
    for customer in range(1, 40):
        made.add([counted("2026-12-21", customer=customer, creditor=1)] * (2 if customer % 2 else 1))
    made._next_customer()
    assert sorted(made._alike.values()) == [19, 20]
