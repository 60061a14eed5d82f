"""Requests are measured against Twilio's published description."""

import pytest

from services.sandbox.twilio_api import OPERATIONS, fits, operation_of

MESSAGE = OPERATIONS["create_message"]
GOOD = [("To", "+4930123456"), ("From", "+15005550006"), ("Body", "Pay")]


@pytest.mark.parametrize(
    ("pairs", "fault"),
    [
        ([*GOOD, ("StatusCallBack", "https://x.test")], "unknown parameter StatusCallBack"),
        ([*GOOD, ("ValidityPeriod", "4h")], "parameter ValidityPeriod is not integer"),
        ([*GOOD, ("RiskCheck", "off")], "parameter RiskCheck is not one of enable disable"),
        ([*GOOD, ("StatusCallback", "https://my_host.test/")], "parameter StatusCallback is not uri"),
        ([*GOOD, ("ContentSid", "HX1")], "parameter ContentSid is not sid HX"),
        ([*GOOD, ("Body", "again")], "parameter Body is not string"),
        (GOOD[1:], "parameter To is missing"),
        ([GOOD[0], GOOD[2]], "parameter From or MessagingServiceSid is missing"),
        (GOOD[:2], "parameter Body or MediaUrl or ContentSid is missing"),
    ],
)
def test_what_the_description_does_not_allow_is_named(pairs: list[tuple[str, str]], fault: str) -> None:
    assert [fault] == MESSAGE.faults(pairs)


def test_what_may_repeat_may_repeat() -> None:
    assert [] == MESSAGE.faults([*GOOD, ("MediaUrl", "https://x.test/1.png"), ("MediaUrl", "https://x.test/2.png")])


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("boolean", "true", "1"),
        ("number", "0.05", "5 ct"),
        ("integer", "25", "25.0"),
        ("date-time", "2026-11-22T09:00:00Z", "2026-11-22"),
        ("uri", "http://127.0.0.1:8000/x?y=1", "/x"),
        ("many uri", "https://pay.test", "https://[x"),
        ("one of HEAD GET", "GET", "of"),
        ("sid MG", "MG" + "a" * 32, "mg" + "a" * 32),
    ],
)
def test_every_kind_tells_right_from_wrong(kind: str, good: str, bad: str) -> None:
    assert (True, False) == (fits(kind, good), fits(kind, bad))


def test_all_kinds_of_the_description_are_known() -> None:
    for operation in OPERATIONS.values():
        assert all(fits(kind, "") in (True, False) for kind in operation.parameters.values())
        assert {*operation.required, *[name for names in operation.either for name in names]} <= set(
            operation.parameters
        )


def test_an_operation_is_found_by_its_path_below_any_prefix() -> None:
    path = "/2010-04-01/Accounts/AC1/Calls.json"
    assert OPERATIONS["create_call"] is operation_of("POST", path) is operation_of("POST", f"/sandbox/twilio{path}")
    assert operation_of("GET", path) is operation_of("POST", "/2010-04-01/Accounts/AC1/Calls/CA1.json") is None
