"""Money is a Decimal and an ISO 4217 code; never a float, never without its currency.

Amounts travel as decimal strings. `parse_*` raise ValueError with a sentence for the caller, so that they serve as
pydantic validators as they are. In the database an amount is NUMERIC(19,4), so Decimal('12.5000') is a fine amount;
only what a caller writes is held to the currency's minor units.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

AMOUNT_PATTERN = r"^\d{1,15}(\.\d{1,4})?$"

_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,4})?")

_MINOR_0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_MINOR_3 = "BHD IQD JOD KWD LYD OMR TND"
_MINOR_4 = "CLF UYW"
_MINOR_2 = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY "
    "COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
    "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR "
    "MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP "
    "STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
)
MINOR_UNITS: dict[str, int] = {
    code: digits
    for digits, codes in ((0, _MINOR_0), (2, _MINOR_2), (3, _MINOR_3), (4, _MINOR_4))
    for code in codes.split()
}
"""Active ISO 4217 currencies that an invoice can be in (no metals, no test codes), and their minor units."""


def parse_amount(text: object) -> Decimal:
    """'1250.00' -> Decimal('1250.00'). Strings only: a JSON number has been a float somewhere on its way."""
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise ValueError(
            'must be a decimal string such as "1250.00": up to 15 digits, then at most 4 after a point; '
            "in quotes, no sign, no thousands separator, no exponent"
        )
    return Decimal(text)


def parse_currency(text: object) -> str:
    """'EUR' -> 'EUR'. Upper case only, so that one currency has one spelling everywhere."""
    if isinstance(text, str) and text in MINOR_UNITS:
        return text
    raise ValueError('must be the code of an active ISO 4217 currency in capitals, such as "EUR"')


def check_minor_units(amount: Decimal, currency: str) -> None:
    """Refuses '10.005' EUR and '10.5' JPY, whose last digits nobody could pay."""
    exponent = amount.as_tuple().exponent
    digits = MINOR_UNITS[currency]
    if isinstance(exponent, int) and -exponent > digits:
        allowed = f"at most {digits} digits after the point" if digits else "no digits after the point"
        raise ValueError(f"has {-exponent} digits after the point, but {currency} has {allowed}")


def amount_text(amount: Decimal, currency: str) -> str:
    """As the API writes it: '1250.00' EUR, '1250' JPY. Finer digits that an allocation left are kept, not rounded."""
    digits = MINOR_UNITS[currency]
    rounded = amount.quantize(Decimal(1).scaleb(-digits))
    return f"{rounded if rounded == amount else amount.normalize():f}"


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency; may be negative inside (a difference), never from outside."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not self.amount.is_finite():
            raise ValueError("an amount must be a finite Decimal")
        parse_currency(self.currency)

    @classmethod
    def parse(cls, amount: object, currency: object) -> "Money":
        """From the caller's two strings; ValueError says which and why."""
        money = cls(parse_amount(amount), parse_currency(currency))
        check_minor_units(money.amount, money.currency)
        return money

    def __str__(self) -> str:
        return f"{amount_text(self.amount, self.currency)} {self.currency}"

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount - self._same(other), self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.amount < self._same(other)

    def _same(self, other: "Money") -> Decimal:
        if other.currency != self.currency:
            raise ValueError(f"cannot combine {self.currency} with {other.currency}; nothing is converted here")
        return other.amount
