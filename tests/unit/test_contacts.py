"""One address, one spelling; and the short way says what the libraries say."""

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.contacts import (
    Unusable,
    check_push_address,
    check_web_address,
    mask,
    normalise_email,
    normalise_phone,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Anna.Muster+x@EXAMPLE.com", "Anna.Muster+x@example.com"),
        ("a@exämple.com", "a@xn--exmple-cua.com"),
        ("o'neil@example.co.uk", "o'neil@example.co.uk"),
    ],
)
def test_an_email_address_gets_one_spelling(text: str, address: str) -> None:
    assert normalise_email(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "a@", "@b.com", "a b@example.com", "a@example", "a@localhost", "ä@example.com", '"a b"@example.com'),
        *("a@[127.0.0.1]", "a..b@example.com", ".a@example.com", "a@-x.com", "a@example.com ", "a@example.com\n"),
        *("a@example.com\r\nBcc: b@example.com", "a\r\n@example.com", "a@b@example.com", "a@exa\0mple.com"),
        *("x" * 65 + "@example.com", "a@" + "x" * 250 + ".com", "Anna <a@example.com>", "a@b.invalid"),
    ],
)
def test_what_is_no_email_address_is_told_without_repeating_it(text: str) -> None:
    refused = normalise_email(text)
    assert isinstance(refused, Unusable)
    assert len(text) < 10 or text not in refused.reason


def test_test_domains_exist_in_the_sandbox_only() -> None:
    assert normalise_email("bounce@x.sandbox.test", sandbox=True) == "bounce@x.sandbox.test"
    refused = normalise_email("bounce@x.sandbox.test")
    assert isinstance(refused, Unusable)
    assert "sandbox only" in refused.reason


@given(st.emails())
def test_the_short_way_for_emails_agrees_with_the_library(text: str) -> None:
    try:
        expected = validate_email(text, check_deliverability=False, allow_smtputf8=False, strict=True).ascii_email
    except EmailNotValidError:
        expected = None
    found = normalise_email(text)
    assert (None if isinstance(found, Unusable) else found) == expected


@pytest.mark.parametrize(
    ("text", "country", "address"),
    [
        ("+4915112345678", None, "+4915112345678"),
        ("+49 (151) 123-45678", "US", "+4915112345678"),
        ("0151 123 45 678", "DE", "+4915112345678"),
        ("+49 0151 12345678", None, "+4915112345678"),
        ("+15005550001", None, "+15005550001"),
        ("500 555 0009", "US", "+15005550009"),
        ("+390612345678", None, "+390612345678"),
    ],
)
def test_a_phone_number_gets_one_spelling(text: str, country: str | None, address: str) -> None:
    assert normalise_phone(text, country) == address


@pytest.mark.parametrize(
    "text",
    ["", "+", "12345", "0151 12345678", "+49", "+999123456789", "+1555", "1-800-FLOWERS", "+49151\r\n2", "+1" * 99],
)
def test_what_is_no_phone_number_is_told(text: str) -> None:
    assert isinstance(normalise_phone(text), Unusable)


@given(st.from_regex(r"\+[1-9][0-9]{5,14}", fullmatch=True))
def test_the_short_way_for_phones_agrees_with_the_library(text: str) -> None:
    expected = None
    try:
        number = phonenumbers.parse(text, None)
        if phonenumbers.is_possible_number(number):
            expected = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    except phonenumbers.NumberParseException:
        pass
    found = normalise_phone(text)
    assert (None if isinstance(found, Unusable) else found) == expected


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("anna@example.com", "a***@example.com"),
        ("+15005550009", "+1*****0009"),
        ("https://user:pw@example.com/hook?key=1", "https://example.com/***"),
        ("fcm-token-123456", "fcm-***"),
    ],
)
def test_an_address_is_shown_masked(address: str, shown: str) -> None:
    assert mask(address) == shown


@pytest.mark.parametrize(
    ("address", "home"),
    [
        ("https://hooks.customer.example/dunnock?key=1", True),
        ("https://8.8.8.8/hook", True),
        ("http://127.0.0.1:8000/hook", False),
        ("https://127.0.0.1/hook", False),
    ],
)
def test_a_web_address_is_one_of_the_internet_or_in_the_sandbox_of_this_machine(address: str, home: bool) -> None:
    assert check_web_address(address, sandbox=True) == address
    assert (check_web_address(address) == address) is home


@pytest.mark.parametrize(
    "address",
    [
        *(
            "https://10.0.0.1/",
            "https://169.254.169.254/",
            "https://[fd00::1]/",
            "https://0x7f.1/",
            "https://2130706433/",
        ),
        *(
            "ftp://hooks.example/",
            "https:///x",
            "hooks.example",
            "https://a b.example/",
            "https://x.example/\r\nHost: y",
        ),
    ],
)
def test_a_web_address_inside_a_network_is_refused_also_in_the_sandbox(address: str) -> None:
    assert isinstance(check_web_address(address, sandbox=True), Unusable)


def test_a_push_address_is_a_token_or_a_subscription() -> None:
    token = "dA1b2C3d4E5:APA91bHun4MxP5egoKMwt2KZFBaFUH-1RYqx"
    assert check_push_address(token) == token
    refused = check_push_address('{"endpoint": "https://push.example/x"}')
    assert isinstance(refused, Unusable)
    assert "keys" in refused.reason
