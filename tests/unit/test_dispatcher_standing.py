"""When a provider is left alone, and when an outcome says nothing about it."""

from datetime import timedelta

import pytest

from services.dispatcher.domain.outcomes import Accepted, Deferred, Missed, NotSent, Outcome, Rejected, Unknown
from services.dispatcher.domain.ports import TOO_LATE
from services.dispatcher.domain.standing import FAILURES, Cause, speaks_against, speaks_for, trip_of

LATER = timedelta(seconds=7)


@pytest.mark.parametrize(
    ("outcome", "against", "for_it"),
    [
        (Accepted("1"), False, True),
        (Rejected("550 no such user"), False, True),
        (Deferred("greylisted", LATER), False, True),
        (Missed("busy"), False, True),
        (Unknown("no answer"), True, False),
        (NotSent("connection refused"), True, False),
        (NotSent("429", retry_in=LATER), False, False),
        (NotSent(f"rcpt: {TOO_LATE} by 0.1 s, not sent"), False, False),
        (NotSent(f"rcpt: {TOO_LATE} by 0.1 s, not sent", retry_in=LATER), False, False),
    ],
)
def test_only_what_is_the_providers_fault_counts_against_it(outcome: Outcome, against: bool, for_it: bool) -> None:
    assert (against, for_it) == (speaks_against(outcome), speaks_for(outcome))


def test_misconfigured_stops_at_once_a_failure_only_after_several_in_a_row() -> None:
    wrong = trip_of(NotSent("535 authentication failed", misconfigured=True), 1)
    assert wrong
    assert Cause.MISCONFIGURED == wrong.cause
    assert trip_of(Unknown("no answer"), FAILURES - 1) is None
    failing = trip_of(Unknown("no answer"), FAILURES)
    assert failing
    assert Cause.FAILING == failing.cause


def test_a_wish_for_a_pause_is_granted_for_as_long_as_it_says_but_not_for_hours() -> None:
    pause, long = trip_of(NotSent("429", retry_in=LATER), 0), trip_of(NotSent("429", retry_in=timedelta(hours=5)), 0)
    assert pause
    assert long
    assert (Cause.THROTTLED, LATER) == (pause.cause, pause.base)
    assert timedelta(minutes=5) == long.base


def test_our_own_lateness_stops_nobody() -> None:
    assert trip_of(NotSent(f"{TOO_LATE} by 0.1 s, not sent", retry_in=LATER), 99) is None
