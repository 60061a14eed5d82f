"""Amounts that come as whole numbers of a currency's smallest unit: 1250 is 12.50 EUR, 1250 JPY and 1.250 BHD."""

from collections.abc import Mapping
from decimal import Decimal

from shared.kernel.money import MINOR_UNITS, amount_text, parse_currency

LARGEST = 10**18  # smallest units


def to_minor(amount: Decimal, currency: str, digits: Mapping[str, int] = MINOR_UNITS) -> int:
    """ValueError for an amount with a fraction of the smallest unit."""
    scaled = amount.scaleb(digits[parse_currency(currency)])
    if scaled != scaled.to_integral_value() or abs(scaled) >= LARGEST:
        raise ValueError(f"{amount} {currency} is not a number of the currency's smallest unit")
    return int(scaled)


def from_minor(amount: int, currency: str, digits: Mapping[str, int] = MINOR_UNITS) -> str:
    """The decimal text; ValueError for a currency that is not ISO 4217, and for more than anybody owes."""
    parse_currency(currency)
    if abs(amount) >= LARGEST:
        raise ValueError("is too large")
    return amount_text(Decimal(amount).scaleb(-digits[currency]), currency)
