"""Conditions of steps: bounded, tried when read, judged to a verdict whatever the data."""

import re
from decimal import Decimal

import pytest

from shared.flow import ConditionInputs, judge
from shared.flow.conditions import check, trouble


def inputs(open_amount="25.00", **more):
    return ConditionInputs(Decimal(open_amount), Decimal("100.00"), "EUR", more.pop("days_past_due", 10), **more)


@pytest.mark.parametrize(("open_amount", "holds"), [("20.00", False), ("20.01", True), ("0", False)])
def test_the_open_amount_decides(open_amount, holds):
    assert judge("invoice.open_amount > 20.0", inputs(open_amount)).holds is holds


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("invoice.amount >= 100", True),
        ("invoice.currency == 'EUR' && days_past_due > 5", True),
        ("customer.country in ['DE', 'ES']", False),
        ("customer.attributes.vip", True),
        ("history.sent > 2 && history.last_outcome == 'undelivered'", True),
        ("history.promises_broken == 0", False),
        ("!has(invoice.attributes.project)", False),
        ("invoice.attributes['project'] == 'north'", True),
    ],
)
def test_everything_a_condition_knows_can_be_asked(expression, holds):
    known = inputs(invoice_attributes={"project": "north"}, customer_attributes={"vip": True}, country="CO",
                   sent=3, last_outcome="undelivered", promises_broken=1)  # fmt: skip
    assert check(expression) == expression
    assert judge(expression, known).holds is holds


def test_a_condition_over_an_attribute_that_is_missing_does_not_hold_and_says_so():
    verdict = judge("customer.attributes.vip == true", inputs())
    assert verdict.holds is False
    assert "cannot be judged" in verdict.detail
    assert "vip" in verdict.detail


def test_a_condition_over_an_attribute_of_another_type_does_not_hold():
    assert judge("customer.attributes.score > 3", inputs(customer_attributes={"score": "high"})).holds is False
    assert judge("customer.attributes.score", inputs(customer_attributes={"score": 1})).holds is False
    assert judge("days_past_due / 0 == 1", inputs()).holds is False


def test_a_verdict_explains_a_condition_that_does_not_hold():
    assert judge("invoice.open_amount > 20.0", inputs("5")).detail == "invoice.open_amount > 20.0: false"


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "not a CEL expression"),
        ("invoice.open_amount >", "not a CEL expression"),
        ("(" * 400 + "1", "not a CEL expression"),
        ("invoice.open_amount", "a condition is true or false, this one gives 100.0"),
        ("invoice.open > 1", "invoice, customer and history have no field 'open'"),
        ("amount > 1", "unknown name 'amount'; a condition knows invoice, customer, history, days_past_due"),
        ("invoice.currency > 1", "cannot be judged"),
        ("launch() == 1", "cannot be judged"),
        ("[1, 2].all(invoice, [1].exists(customer, true))", "a condition cannot loop"),
        ("[1].map (invoice, 2) == []", "a condition cannot loop"),
        ("[1].map// x\n(invoice, 2) == []", "a condition cannot loop"),
        ("true || " * 80 + "true", "a condition has at most 500 characters, this one has 644"),
    ],
)
def test_a_condition_that_cannot_work_is_refused(expression, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        check(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("invoice.amount > 5.0 || invoice.currency > 1", "cannot be judged"),
        ("days_past_due > 5 && history.sent == 'many' + 1", "cannot be judged"),
        ("days_past_due > 0 || invoice.open > 1", "invoice, customer and history have no field 'open'"),
    ],
)
def test_what_only_some_data_shows_is_found_before_a_flow_is_activated(expression, message):
    assert check(expression) == expression
    assert str(trouble(expression)).startswith(message)
    assert trouble("days_past_due > 5 && history.sent == 2 && customer.attributes.vip") is None


@pytest.mark.parametrize(
    "many", ["!" * 490 + "true", "true" + " && true" * 60, "-" * 400 + "1 == 1", "1" + "+1" * 240 + "== 241"]
)
def test_a_condition_as_long_as_allowed_harms_nobody(many):
    assert check(many) == many
