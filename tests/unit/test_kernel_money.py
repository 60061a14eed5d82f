"""Amounts come as strings, in a known currency, with digits that somebody can pay."""

from decimal import Decimal

import pytest

from shared.kernel.money import MINOR_UNITS, Money, amount_text, parse_amount, parse_currency


@pytest.mark.parametrize("text", ["0", "1250.00", "0.0001", "999999999999999.9999", "007"])
def test_a_decimal_string_is_an_amount(text: str) -> None:
    assert parse_amount(text) == Decimal(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", " 1", "1 ", "1.", ".5", "-1", "+1", "1e3", "1,000.00", "NaN", "Infinity", "0x1", "1\n"),
        *("1.00001", "1" * 16, "\u0661", "1\u00a0000", 1, 1.5, True, None, ["1"]),
    ],
)
def test_anything_else_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match=r"decimal string such as \"1250\.00\""):
        parse_amount(text)


@pytest.mark.parametrize("code", ["eur", "EURO", "", "XXX", "XAU", "DEM", 978, None])
def test_a_currency_is_an_active_code_in_capitals(code: object) -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        parse_currency(code)


@pytest.mark.parametrize(("code", "digits"), [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("ISK", 0), ("MXN", 2)])
def test_minor_units_follow_the_standard(code: str, digits: int) -> None:
    assert MINOR_UNITS[code] == digits


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [("10.005", "EUR", "at most 2"), ("10.5", "JPY", "no digits"), ("1.2345", "KWD", "at most 3")],
)
def test_digits_below_the_minor_unit_are_refused(amount: str, currency: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Money.parse(amount, currency)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [("12.5000", "EUR", "12.50"), ("1250.0000", "JPY", "1250"), ("0.3333", "EUR", "0.3333"), ("100", "BHD", "100.000")],
)
def test_an_amount_is_written_with_its_minor_units(amount: str, currency: str, text: str) -> None:
    assert amount_text(Decimal(amount), currency) == text


def test_money_of_two_currencies_is_never_added() -> None:
    with pytest.raises(ValueError, match="USD with EUR"):
        Money.parse("1", "USD") + Money.parse("1", "EUR")
    assert Money.parse("1.10", "EUR") + Money.parse("2.20", "EUR") == Money.parse("3.30", "EUR")


def test_money_is_finite_whoever_makes_it() -> None:
    with pytest.raises(ValueError, match="finite"):
        Money(Decimal("NaN"), "EUR")
