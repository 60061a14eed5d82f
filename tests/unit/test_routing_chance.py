"""The estimate: what of a customer's own experience, and of everybody's, decides the order of the ways."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.routing import Channel, ContactKind, ContactPoint, Evidence, Offer, chance, chances, decision, learn, route
from shared.routing.channels import REACHED_THROUGH, Traits, known

MAIL = ContactPoint(1, ContactKind.EMAIL, "ana@shop.example")
PHONE = ContactPoint(2, ContactKind.PHONE, "+34600111222")
OFFERS: dict[str, Offer] = {"email": Offer("smtp", Decimal("0.0001")), "sms": Offer("twilio", Decimal("0.05"))}
IGNORED, ANSWERED = Evidence(6, 6, 6, 0), Evidence(3, 3, 3, 2)
NUMBERS = st.integers(0, 200)


def order(
    own: dict[str, Evidence], group: dict[str, Evidence] | None = None, preferred: str | None = None
) -> list[str]:
    estimate = chances(own, group or {}, Evidence())
    found = route(("email", "sms"), [MAIL, PHONE], OFFERS, suppressed={}, preferred_channel=preferred, chances=estimate)
    return [candidate.channel for candidate in found.candidates]


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    tried = draw(NUMBERS)
    reached = draw(st.integers(0, tried))
    asked = draw(st.integers(0, reached))
    return Evidence(tried, reached, asked, draw(st.integers(0, asked)))


def test_without_experience_the_order_is_that_of_cost() -> None:
    assert order({}) == ["email", "sms"]


def test_who_ignores_mails_and_pays_after_texts_gets_texts_first() -> None:
    assert order({"email": IGNORED, "sms": ANSWERED}) == ["sms", "email"]


def test_mails_that_are_ignored_alone_are_no_reason_for_the_dearer_text() -> None:
    assert order({"email": IGNORED}) == ["email", "sms"]


def test_a_text_that_stopped_working_goes_back_behind_the_mail() -> None:
    assert order({"email": IGNORED, "sms": Evidence(10, 10, 10, 2)}) == ["email", "sms"]


def test_the_stated_preference_comes_before_all_experience() -> None:
    assert order({"email": IGNORED, "sms": ANSWERED}, preferred="email") == ["email", "sms"]


def test_the_country_is_the_prior_of_who_is_new() -> None:
    works = {"email": Evidence(500, 480, 480, 1), "sms": Evidence(500, 490, 490, 300)}
    assert order({}, works) == ["sms", "email"]


def test_one_failure_weighs_less_where_everybody_else_is_reached() -> None:
    everybody = Evidence(1000, 990, 0, 0)
    assert chance(Evidence(1, 0, 0, 0), everybody) > chance(Evidence(1, 0, 0, 0), Evidence(1000, 100, 0, 0))


@given(evidence(), evidence(), evidence())
def test_a_chance_is_above_nought_and_below_one(own: Evidence, group: Evidence, overall: Evidence) -> None:
    assert 0 < chance(own, group, overall) < 1


@given(evidence(), evidence())
def test_a_contact_that_moved_never_lowers_it_and_one_that_did_not_never_raises_it(
    own: Evidence, group: Evidence
) -> None:
    before = chance(own, group)
    tried, reached, asked, moved = own
    assert chance(Evidence(tried + 1, reached + 1, asked + 1, moved + 1), group) >= before
    assert chance(Evidence(tried + 1, reached, asked, moved), group) <= before
    assert chance(Evidence(tried, reached, asked + 1, moved), group) <= before


def test_the_longest_beginning_of_an_address_says_the_price() -> None:
    offer = Offer("twilio", Decimal("0.05"), (("+346", Decimal("0.09")), ("+34", Decimal("0.07"))))
    assert [Decimal("0.09"), Decimal("0.07"), Decimal("0.05")] == [
        offer.price(address) for address in ("+34600111222", "+34700111222", "+4915112345678")
    ]


@pytest.mark.parametrize(
    ("own", "preferred", "by"),
    [({}, None, "cost"), ({}, "sms", "preferred"), ({"email": IGNORED, "sms": ANSWERED}, None, "chance")],
)
def test_a_decision_says_what_led_and_names_no_address(
    own: dict[str, Evidence], preferred: str | None, by: str
) -> None:
    found = route(
        ("email", "sms", "push"),
        [MAIL, PHONE],
        OFFERS,
        suppressed={},
        preferred_channel=preferred,
        chances=chances(own, {}, Evidence()),
    )
    said = decision(found, preferred)
    assert f'"by":"{by}"' in said
    assert '["push","no provider"]' in said
    assert MAIL.address not in said
    assert PHONE.address not in said


def test_a_channel_that_an_adapter_brings_is_known_from_then_on_and_keeps_its_meaning() -> None:
    with pytest.raises(ValueError, match="must be a channel that exists"):
        known("telegram")
    learn("telegram", Traits(ContactKind.PHONE))
    assert "telegram" == known("telegram")
    assert ContactKind.PHONE == REACHED_THROUGH["telegram"]
    learn("telegram", Traits(ContactKind.PHONE))
    with pytest.raises(ValueError, match="another name"):
        learn("telegram", Traits(ContactKind.URL))
    with pytest.raises(ValueError, match="another name"):
        learn(Channel.EMAIL, Traits(ContactKind.URL))
