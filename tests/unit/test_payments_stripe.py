"""What Stripe's objects mean: one payment whichever object says it, in the units of its currency."""

from typing import Any

import pytest

from services.payments.adapters.stripe import Stripe
from services.payments.domain.ports import Unreadable
from services.payments.domain.source_settings import StripeSettings

STRIPE = Stripe(StripeSettings(kind="stripe", secrets=["whsec_12345678"]))


def hear(
    kind: str, thing: dict[str, Any], before: dict[str, Any] | None = None
) -> tuple[str, str, Any, Any, str] | None:
    """(kind, payment, amount, invoice, event)"""
    data = {"object": {"currency": "eur", **thing}} | ({"previous_attributes": before} if before else {})
    heard = STRIPE.hear({}, {"id": "evt_1", "type": kind, "data": data}, b"")
    if heard is None:
        return None
    said = heard.event["data"]
    kind = heard.event["type"].removeprefix("payment.")
    return kind, said["payment_id"], said.get("amount"), said.get("invoice_id"), heard.event_ref


def test_a_session_its_intent_and_its_invoice_are_one_payment() -> None:
    invoice = {"metadata": {"invoice_id": "INV-1"}}
    session = {"id": "cs_1", "payment_intent": "pi_1", "amount_total": 1250, "client_reference_id": "INV-1"}
    expected = ("confirmed", "pi_1", "12.50", "INV-1", "evt_1")
    assert hear("payment_intent.succeeded", {"id": "pi_1", "amount_received": 1250, **invoice}) == expected
    assert hear("checkout.session.completed", {**session, "payment_status": "paid"}) == expected
    assert hear("invoice.paid", {"id": "in_1", "payment_intent": "pi_1", "amount_paid": 1250, **invoice}) == expected
    listed = {"payments": {"data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_1"}}]}}
    assert hear("invoice.paid", {"id": "in_1", "amount_paid": 1250, **listed, **invoice}) == expected


def test_a_session_whose_money_comes_later_is_pending_and_then_comes_or_fails() -> None:
    session = {"id": "cs_1", "payment_intent": {"id": "pi_1"}, "amount_total": 1250, "payment_status": "unpaid"}
    assert hear("checkout.session.completed", session) == ("pending", "pi_1", "12.50", None, "evt_1")
    assert hear("checkout.session.async_payment_failed", session) == ("failed", "pi_1", "12.50", None, "evt_1")


def test_a_refund_counts_what_is_new_in_it() -> None:
    charge = {"id": "ch_1", "payment_intent": "pi_1", "amount": 5000}
    first = hear("charge.refunded", {**charge, "amount_refunded": 1000}, {"amount_refunded": 0})
    second = hear("charge.refunded", {**charge, "amount_refunded": 3000}, {"amount_refunded": 1000})
    assert (first, second) == (
        ("reversed", "pi_1", "10.00", None, "evt_1"),
        ("reversed", "pi_1", "20.00", None, "evt_1"),
    )


def test_a_dispute_takes_the_money_once_and_a_won_one_brings_it_back_once() -> None:
    dispute = {"id": "dp_1", "payment_intent": "pi_1", "amount": 5000, "status": "needs_response"}
    taken = ("reversed", "pi_1", "50.00", None, "dp_1")
    assert hear("charge.dispute.created", dispute) == taken
    assert hear("charge.dispute.funds_withdrawn", dispute) == taken
    back = ("confirmed", "dp_1", "50.00", None, "dp_1")
    assert hear("charge.dispute.funds_reinstated", dispute) == back
    assert hear("charge.dispute.closed", {**dispute, "status": "won"}) == back
    assert hear("charge.dispute.closed", {**dispute, "status": "lost"}) is None
    assert hear("charge.dispute.created", {**dispute, "status": "warning_needs_response"}) is None


@pytest.mark.parametrize(
    ("currency", "units", "amount"),
    [
        ("jpy", 1250, "1250"),
        ("bhd", 1250, "1.250"),
        ("eur", 1250, "12.50"),
        ("isk", 125000, "1250"),
        ("mga", 1250, "1250.00"),
    ],
)
def test_units_are_those_of_the_currency_as_stripe_counts_them(currency: str, units: int, amount: str) -> None:
    said = hear("payment_intent.succeeded", {"id": "pi_1", "amount_received": units, "currency": currency})
    assert said is not None
    assert said[2] == amount


@pytest.mark.parametrize(
    ("kind", "thing"),
    [
        ("customer.created", {}),
        ("invoice.paid", {"id": "in_1", "amount_paid": 0}),
        ("checkout.session.completed", {"id": "cs_1", "mode": "setup"}),
    ],
)
def test_what_moves_no_money_is_not_a_payment(kind: str, thing: dict[str, Any]) -> None:
    assert hear(kind, thing) is None


@pytest.mark.parametrize(
    "event",
    [
        [],
        {"type": "payment_intent.succeeded"},
        {"type": "payment_intent.succeeded", "data": {"object": []}},
        {
            "id": "e",
            "type": "payment_intent.succeeded",
            "data": {"object": {"id": "pi_1", "amount_received": 1.5, "currency": "eur"}},
        },
        {
            "id": "e",
            "type": "payment_intent.succeeded",
            "data": {"object": {"id": "pi_1", "amount_received": 1, "currency": "xxx"}},
        },
        {
            "id": "e",
            "type": "payment_intent.succeeded",
            "data": {"object": {"id": 7, "amount_received": 1, "currency": "eur"}},
        },
        {
            "type": "payment_intent.succeeded",
            "data": {"object": {"id": "pi_1", "amount_received": 1, "currency": "eur"}},
        },
    ],
)
def test_what_is_not_an_event_of_stripes_is_told_so(event: Any) -> None:
    with pytest.raises(Unreadable, match=r"must|missing|not"):
        STRIPE.hear({}, event, b"")
