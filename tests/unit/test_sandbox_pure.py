"""What the sandbox knows without any I/O: special addresses, durations, signatures."""

from datetime import UTC, datetime

import pytest

from services.sandbox.addresses import CallOutcome, Mailbox, call_outcome, keys_of, mailbox
from services.sandbox.durations import later
from shared.kernel.errors import Invalid


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("bounce@x.sandbox.test", Mailbox.BOUNCE),
        ("BOUNCE+7@a.b.Sandbox.Test", Mailbox.BOUNCE),
        ("reject@sandbox.test", Mailbox.REJECT),
        ("reject@notsandbox.test", Mailbox.DELIVERED),
        ("bounce@example.com", Mailbox.DELIVERED),
        ("anna@x.sandbox.test", Mailbox.DELIVERED),
        ("nonsense", Mailbox.DELIVERED),
    ],
)
def test_the_local_part_decides_under_the_sandbox_domain_only(address: str, expected: Mailbox) -> None:
    assert mailbox(address) == expected


def test_call_numbers_are_reserved() -> None:
    numbers = ["+15005550010", "+15005550011", "+15005550012", "+15005550018", "+4915112345678"]
    assert [call_outcome(number) for number in numbers] == [
        CallOutcome.NO_ANSWER,
        CallOutcome.BUSY,
        CallOutcome.VOICEMAIL,
        CallOutcome.FAILED,
        CallOutcome.ANSWERED,
    ]
    assert [keys_of(number) for number in ("+15005550013", "+15005550017", "+4915112345678")] == [["1"], ["2", "1"], []]


def test_a_month_is_the_calendars() -> None:
    assert later(datetime(2028, 1, 31, 9, tzinfo=UTC), "P1M") == datetime(2028, 2, 29, 9, tzinfo=UTC)
    assert later(datetime(2026, 11, 15, tzinfo=UTC), "P1Y2M3DT4H5M6S") == datetime(2028, 1, 18, 4, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize("duration", ["", "P", "PT", "P1", "1D", "P1H", "P-1D", "P1.5D", "p1d", "P1D ", "P9999Y"])
def test_other_durations_are_refused(duration: str) -> None:
    with pytest.raises(Invalid):
        later(datetime(2026, 1, 1, tzinfo=UTC), duration)
