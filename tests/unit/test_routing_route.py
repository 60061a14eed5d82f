"""The order of the ways to reach a customer, and the reasons for what is left out."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.routing import Attempted, Channel, ContactKind, ContactPoint, Offer, mask_address, route
from shared.states import AttemptState

EMAIL, SMS, VOICE, RCS, WHATSAPP, PUSH = (
    Channel.EMAIL,
    Channel.SMS,
    Channel.VOICE,
    Channel.RCS,
    Channel.WHATSAPP,
    Channel.PUSH,
)
MAIL = ContactPoint(1, ContactKind.EMAIL, "ana@shop.example")
PHONE = ContactPoint(2, ContactKind.PHONE, "+34600111222")
OFFERS: dict[str, Offer] = {
    EMAIL: Offer("smtp", Decimal("0.0004")),
    SMS: Offer("twilio", Decimal("0.07")),
    VOICE: Offer("twilio", Decimal("0.09")),
    RCS: Offer("twilio", Decimal("0.02")),
    WHATSAPP: Offer("twilio", Decimal("0.05")),
}


def ways(found):
    return [(candidate.channel, candidate.contact_point_id) for candidate in found.candidates]


def reasons(found):
    return [str(entry) for entry in found.left_out]


def test_the_cheaper_channel_goes_first_whatever_the_order_in_the_step():
    found = route((SMS, EMAIL), [MAIL, PHONE], OFFERS, suppressed={})
    assert ways(found) == [(EMAIL, 1), (SMS, 2)]
    assert found.candidates[0].provider == "smtp"
    assert found.candidates[1].cost == Decimal("0.07")


def test_at_equal_cost_the_order_in_the_step_decides():
    equal: dict[str, Offer] = {EMAIL: Offer("smtp", Decimal(0)), SMS: Offer("twilio", Decimal("0.00"))}
    assert ways(route((SMS, EMAIL), [MAIL, PHONE], equal, suppressed={})) == [(SMS, 2), (EMAIL, 1)]


def test_the_preferred_channel_goes_first_although_it_costs_more():
    found = route((EMAIL, SMS), [MAIL, PHONE], OFFERS, suppressed={}, preferred_channel=SMS)
    assert ways(found) == [(SMS, 2), (EMAIL, 1)]


def test_a_preferred_channel_that_the_step_does_not_name_changes_nothing():
    found = route((EMAIL, SMS), [MAIL, PHONE], OFFERS, suppressed={}, preferred_channel=VOICE)
    assert ways(found) == [(EMAIL, 1), (SMS, 2)]


def test_the_contact_point_with_the_lower_priority_number_goes_first():
    second = ContactPoint(9, ContactKind.EMAIL, "b@shop.example", priority=1)
    first = ContactPoint(10, ContactKind.EMAIL, "c@shop.example", priority=0)
    assert ways(route((EMAIL,), [second, first], OFFERS, suppressed={})) == [(EMAIL, 10), (EMAIL, 9)]


def test_a_phone_takes_sms_and_voice_but_rcs_and_whatsapp_only_where_it_names_them():
    plain = route((RCS, WHATSAPP, SMS, VOICE), [PHONE], OFFERS, suppressed={})
    assert ways(plain) == [(SMS, 2), (VOICE, 2)]
    assert reasons(plain) == ["rcs: no phone that is used for it", "whatsapp: no phone that is used for it"]
    named = ContactPoint(3, ContactKind.PHONE, "+34600111333", channels=(WHATSAPP, SMS))
    assert ways(route((WHATSAPP, SMS, VOICE), [named], OFFERS, suppressed={})) == [(WHATSAPP, 3), (SMS, 3)]


def test_the_channels_of_a_contact_point_restrict_it():
    voice_only = ContactPoint(4, ContactKind.PHONE, "+34600111444", channels=(VOICE,))
    assert ways(route((SMS, VOICE), [voice_only], OFFERS, suppressed={})) == [(VOICE, 4)]


def test_a_contact_point_cannot_be_used_for_a_channel_of_another_kind():
    odd = ContactPoint(5, ContactKind.EMAIL, "x@shop.example", channels=(SMS,))
    assert ways(route((EMAIL, SMS), [odd], OFFERS, suppressed={})) == []


def test_what_is_left_out_says_why_and_shows_no_address():
    found = route((EMAIL, PUSH, SMS), [MAIL, PHONE], OFFERS, suppressed={(1, EMAIL): "bounced"})
    assert ways(found) == [(SMS, 2)]
    assert reasons(found) == ["email a***@shop.example: bounced", "push: no provider"]


def test_a_suppression_on_one_channel_leaves_the_other_channels_of_the_phone():
    assert ways(route((SMS, VOICE), [PHONE], OFFERS, suppressed={(2, SMS): "opted_out"})) == [(VOICE, 2)]


def test_a_way_that_may_have_reached_or_was_refused_does_not_come_again():
    for state in ("started", "accepted", "delivered", "undelivered", "rejected", "unknown"):
        tried = [Attempted(EMAIL, 1, AttemptState(state))]
        found = route((EMAIL, SMS), [MAIL, PHONE], OFFERS, suppressed={}, attempted=tried)
        assert ways(found) == [(SMS, 2)]
        assert reasons(found) == [f"email a***@shop.example: {state}"]


def test_a_way_goes_again_when_nothing_went_or_nobody_answered_or_it_is_resent():
    for state in ("notsent", "missed", "resent"):
        tried = [Attempted(EMAIL, 1, AttemptState(state))]
        assert ways(route((EMAIL,), [MAIL], OFFERS, suppressed={}, attempted=tried)) == [(EMAIL, 1)]


def test_after_no_receipt_the_next_try_is_on_another_channel():
    other = ContactPoint(7, ContactKind.PHONE, "+34600111777")
    found = route(
        (SMS, VOICE), [PHONE, other], OFFERS, suppressed={}, attempted=[Attempted(SMS, 2, AttemptState.EXPIRED)]
    )
    assert ways(found) == [(VOICE, 2), (VOICE, 7)]


def test_after_a_refusal_the_next_try_may_be_the_next_address_of_the_same_channel():
    other = ContactPoint(7, ContactKind.EMAIL, "b@shop.example")
    found = route(
        (EMAIL, SMS),
        [MAIL, other, PHONE],
        OFFERS,
        suppressed={},
        attempted=[Attempted(EMAIL, 1, AttemptState.REJECTED)],
    )
    assert ways(found) == [(EMAIL, 7), (SMS, 2)]


def test_a_customer_nobody_can_reach_has_an_empty_route_with_reasons():
    found = route((EMAIL, SMS), [], OFFERS, suppressed={})
    assert ways(found) == []
    assert reasons(found) == ["email: no email that is used for it", "sms: no phone that is used for it"]


def test_rows_of_the_database_with_plain_words_route_the_same():
    mail: Any = MAIL
    phone: Any = PHONE
    plain = [mail._replace(kind="email"), phone._replace(kind="phone", channels=["sms"])]
    words: Any = ("sms", "email")
    offers: Any = {"email": OFFERS[EMAIL], "sms": OFFERS[SMS]}
    preferred: Any = "sms"
    found = route(words, plain, offers, suppressed={}, preferred_channel=preferred)
    assert found == route((SMS, EMAIL), [MAIL, PHONE], OFFERS, suppressed={}, preferred_channel=SMS)


def test_addresses_are_masked_so_that_only_who_knows_them_recognises_them():
    assert mask_address("ana@shop.example") == "a***@shop.example"
    assert mask_address("+34600111222") == "+34***222"
    assert mask_address("device-token-1234") == "dev***"
    assert mask_address("abc") == "***"
    assert mask_address("@shop.example") == "@sh***"


KINDS = st.sampled_from(list(ContactKind))
CHANNELS = st.lists(st.sampled_from(list(Channel)), unique=True, max_size=5).map(tuple)
POINTS = st.lists(
    st.builds(ContactPoint, st.integers(1, 9), KINDS, st.just("someone@x.example"), CHANNELS, st.integers(0, 3)),
    unique_by=lambda point: point.id,
    max_size=5,
)
STATES = st.sampled_from(["rejected", "missed", "resent", "notsent", "expired", "accepted"])
TRIED = st.lists(st.builds(Attempted, st.sampled_from(list(Channel)), st.integers(1, 9), STATES), max_size=4)


@given(CHANNELS, POINTS, CHANNELS, TRIED, st.none() | st.sampled_from(list(Channel)))
def test_every_way_is_either_a_candidate_once_or_left_out_and_the_order_of_contacts_does_not_matter(
    step, points, offered, tried, preferred
):
    offers = {channel: Offer("p", Decimal(len(channel))) for channel in offered}
    found = route(step, points, offers, suppressed={}, preferred_channel=preferred, attempted=tried)
    assert len(set(ways(found))) == len(found.candidates)
    again = route(step, points[::-1], offers, suppressed={}, preferred_channel=preferred, attempted=tried[::-1])
    assert again.candidates == found.candidates
    assert {channel for channel, _ in ways(found)} <= set(step) & set(offers)
    assert {entry.channel for entry in found.left_out} | {way[0] for way in ways(found)} == set(step)
    spent = {(a.channel, a.contact_point_id) for a in tried if a.state in ("rejected", "accepted", "expired")}
    assert not spent & set(ways(found))
