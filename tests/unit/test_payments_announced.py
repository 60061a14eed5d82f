"""Which entries of the timeline become which outgoing events, and when they are tried again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.payments.domain.announcements import EVENTS, KINDS, Happened, announce
from services.payments.domain.delivery import MOST_ASKED_FOR, PATIENCE, Answer, backoff

AT = datetime(2026, 12, 4, 14, 0, tzinfo=UTC)


def entry(kind: str, *, reminder: tuple[str, str, str] | None = None, final: bool = False, **data: Any) -> Happened:
    """`reminder`: (step, anchor, state), its current attempt the second."""
    step, anchor, state = reminder or (None, None, None)
    leg, occurrence, fence, no = ("", 1, 2, 1) if reminder else (None, None, None, None)
    return Happened(7, kind, AT, data, 3, "INV-1", "C-1", no, step, leg, occurrence, anchor, state, fence, final)


DELIVERY, OVERDUE = ("deliver-invoice", "issue", "accepted"), ("overdue", "due", "accepted")
GIVEN_UP = ("overdue", "due", "failed")


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        (entry("invoice.paid"), ["invoice.paid"]),
        (entry("payment.confirmed", amount="10.00"), ["payment.received"]),
        (entry("attempt.accepted", reminder=DELIVERY, final=True, fence=2), ["invoice.delivered"]),
        (entry("attempt.accepted", reminder=OVERDUE, final=True, fence=2), ["reminder.delivered"]),
        (entry("attempt.accepted", reminder=OVERDUE, fence=2), []),
        (entry("attempt.delivered", reminder=OVERDUE, fence=2), ["reminder.delivered"]),
        (entry("attempt.undelivered", reminder=OVERDUE, fence=2, suppressed="bounced"), ["contact.invalid"]),
        (
            entry("attempt.undelivered", reminder=GIVEN_UP, fence=2, suppressed="bounced"),
            ["contact.invalid", "reminder.failed"],
        ),
        (entry("attempt.rejected", reminder=GIVEN_UP, fence=1), []),
        (entry("attempt.rejected", reminder=GIVEN_UP, fence=2), ["reminder.failed"]),
        (entry("attempt.rejected", reminder=OVERDUE, fence=2, suppressed="opted_out"), ["contact.opted_out"]),
        (entry("reminder.failed", reminder=GIVEN_UP, reason="no_usable_contact"), ["reminder.failed"]),
        (entry("hold.placed", hold="promise"), ["promise.made"]),
        (entry("hold.placed", hold="dispute"), ["dispute.raised"]),
        (entry("hold.placed", hold="said_paid"), ["payment.claimed"]),
        (entry("hold.placed", hold="hold"), []),
    ],
)
def test_an_entry_becomes_these_events(happened: Happened, told: list[str]) -> None:
    assert [one.type for one in announce(happened)] == told


def test_every_event_that_may_be_told_is_in_the_list_of_events() -> None:
    for kind in KINDS:
        for state in ("accepted", "failed"):
            happened = entry(
                kind, reminder=("overdue", "due", state), final=True, hold="promise", suppressed="bounced", fence=2
            )
            assert {one.type for one in announce(happened)} <= set(EVENTS)


def test_an_event_carries_no_provider_text_and_nothing_of_the_machinery() -> None:
    happened = entry(
        "attempt.undelivered",
        reminder=GIVEN_UP,
        channel="email",
        fence=2,
        detail="550 jo@example.com",
        suppressed="bounced",
    )
    assert [one.data for one in announce(happened)] == [
        {
            "channel": "email",
            "invoice_id": "INV-1",
            "customer_id": "C-1",
            "installment": 1,
            "step": "overdue",
            "occurrence": 1,
            **more,
        }
        for more in ({"reason": "bounced"}, {})
    ]


def test_tries_spread_over_days_and_never_come_closer() -> None:
    no_answer = Answer(None, "refused")
    waits = [backoff(tries, no_answer, 0.0) for tries in range(1, 30)]
    assert waits == sorted(waits)
    assert waits[0] == timedelta(seconds=5)
    assert sum(waits[:19], timedelta(0)) > PATIENCE
    assert backoff(1, no_answer, 1.0) == timedelta(seconds=5.5)


def test_an_endpoint_may_ask_for_a_day_at_most() -> None:
    assert backoff(1, Answer(503, "", timedelta(minutes=7)), 0.0) == timedelta(minutes=7)
    assert backoff(1, Answer(503, "", timedelta(days=90)), 0.0) == MOST_ASKED_FOR
    assert backoff(9, Answer(503, "", timedelta(seconds=1)), 0.0) == timedelta(hours=8)
