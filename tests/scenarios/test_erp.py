"""The ERP is asked before each reminder, and told what became of it."""

from collections.abc import Iterator

import pytest

from tests.scenarios.erp import Erp, running_erp
from tests.scenarios.story import Case, World


@pytest.fixture
def erp(world: World) -> Iterator[Erp]:
    with running_erp() as running:
        yield running


@pytest.fixture
def asked_erp(world: World, erp: Erp) -> Iterator[Erp]:
    world.call("PUT", "/v1/sources/erp", erp.source())
    yield erp
    world.call("DELETE", "/v1/sources/erp")


def test_a_reminder_does_not_go_when_the_erp_says_that_it_is_paid(case: Case, asked_erp: Erp) -> None:
    asked_erp.open_amounts[case.ref] = "100.00"
    case.invoice(due=15)
    case.clock("day 11")
    assert case.sent() == ["day 1 email deliver-invoice", "day 10 email upcoming"]
    assert set(asked_erp.asked) == {case.ref}, "before the reminder; the delivery needs no check"

    asked_erp.open_amounts[case.ref] = "0.00"
    case.clock("day 16")

    assert case.sent()[2:] == ["day 15 email thank-you"], "no reminder on the due date: it is paid"
    assert case.read()["status"] == "paid"


def test_while_the_erp_does_not_answer_reminders_wait_and_the_delivery_goes(case: Case, asked_erp: Erp) -> None:
    case.invoice(due=15)
    case.clock("day 10 10:00")
    assert case.sent() == ["day 1 email deliver-invoice"]
    assert case.ref in asked_erp.asked

    asked_erp.open_amounts[case.ref] = "60.00"
    assert case.world.call("POST", f"/v1/payment-status/{case.ref}/refresh")["open_amount"] == "60.00"
    case.clock("day 10 13:00")

    assert case.sent() == ["day 1 email deliver-invoice", "day 10 email upcoming"]
    assert "€60.00" in case.messages()[-1]["text"]


def test_a_step_may_say_that_it_goes_also_while_the_erp_does_not_answer(case: Case, asked_erp: Erp) -> None:
    before = {"id": "kind", "when": {"days": 5, "before": "due"}, "message": "upcoming", "channels": ["email"]}
    after = {"id": "hard", "when": {"days": 3, "after": "due"}, "message": "overdue", "channels": ["email"]}
    said = {"steps": [before | {"on_unknown": "send"}, after], "on_unknown": "hold"}
    window = {"from": "08:00", "to": "19:00"}
    case.world.call("PUT", "/v1/flows/asks", said | {"contact_window": window})
    case.invoice(due=15, flow="asks")
    case.clock("day 18 20:00")

    assert case.sent() == ["day 10 email kind"]
    told = [line.split(" [")[0] for line in case.timeline() if "nobody could say" in line]
    assert told == [
        "day 10: 'kind' goes all the same: nobody could say whether the invoice is paid (its flow says on_unknown: send)",
        "day 18: 'hard' waits: nobody could say whether the invoice is paid (its flow says on_unknown: hold)",
    ]

    asked_erp.open_amounts[case.ref] = "100.00"
    # An ERP that failed for long is left alone for a while.
    case.world.call("POST", f"/v1/payment-status/{case.ref}/refresh")
    case.clock("day 19")
    assert case.sent() == ["day 10 email kind", "day 19 email hard"]


def test_the_erp_hears_the_invoices_story_in_order(case: Case, world: World, erp: Erp) -> None:
    made = world.call("POST", "/v1/webhook-endpoints", {"url": f"{erp.origin}/hooks"})
    erp.secret = made["secret"]
    case.invoice(email="bounce@x.sandbox.test", phone="+4915112345678", due=15)
    case.clock("day 11")
    case.pay()

    story = [
        "contact.invalid",  # the mail server took the mail and sent it back
        "invoice.delivered",  # by SMS
        "reminder.delivered",
        "payment.received",
        "invoice.paid",
        "reminder.delivered",  # the thank-you
    ]
    case.settle()
    told = erp.told_of(case.ref)
    assert told[-len(story) :] == story
    assert told[: -len(story)] in ([], ["invoice.delivered"]), "by mail, if the bounce was slower than the announcement"
    world.call("DELETE", f"/v1/webhook-endpoints/{made['endpoint_id']}")
