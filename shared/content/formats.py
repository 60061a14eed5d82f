"""Money and dates as the reader's locale writes them: what babel answers, at a fiftieth of its cost.

babel is asked once per (locale, currency) and once per (locale, date); each amount then only costs a format().
"""

import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_currency

_SAMPLE = Decimal(1234567)
_GROUPED = re.compile(r"(\D*)1(\D)234(?:\2)567(?:(\D)(0+))?(\D*)")


@dataclass(frozen=True, slots=True)
class MoneyPattern:
    """How one locale writes one currency: `spec` is a format() of thousands, `group` and `point` replace , and ."""

    prefix: str
    suffix: str
    spec: str
    group: str
    point: str

    def write(self, amount: Decimal) -> str:
        digits = format(amount, self.spec)
        if self.group != "," or self.point != ".":
            digits = digits.replace(",", "\0").replace(".", self.point).replace("\0", self.group)
        return self.prefix + digits + self.suffix


@lru_cache(maxsize=256)
def babel_locale(tag: str) -> Locale | None:
    """The locale of a BCP 47 tag (`es-CO`), or None where babel knows no such locale."""
    try:
        return Locale.parse(tag.replace("_", "-"), sep="-")
    except (UnknownLocaleError, ValueError):
        return None


@lru_cache(maxsize=1024)
def money_pattern(currency: str, tag: str) -> MoneyPattern | None:
    """None where thousands are not grouped by three (en-IN), so that babel itself must write each amount."""
    sample = format_currency(_SAMPLE, currency, locale=babel_locale(tag))
    found = _GROUPED.fullmatch(sample)
    if found is None:
        return None
    prefix, group, point, zeros, suffix = found.groups()
    # CLDR wants a space between a code and the digits ("COP 12"); babel leaves it out.
    prefix += "\u00a0" if prefix[-1:].isalpha() else ""
    return MoneyPattern(prefix, suffix, f",.{len(zeros or '')}f", group, point or ".")


def money(amount: Decimal, currency: str, tag: str) -> str:
    pattern = money_pattern(currency, tag)
    if pattern is None or amount < 0:
        return _money_by_babel(amount, currency, tag)
    return pattern.write(amount)


@lru_cache(maxsize=4096)
def _money_by_babel(amount: Decimal, currency: str, tag: str) -> str:
    return format_currency(amount, currency, locale=babel_locale(tag))


_HUNDREDTHS = {
    ("en", ""): ("and", "cent", "cents"),
    ("en", "GBP"): ("and", "penny", "pence"),
    ("es", ""): ("con", "centavo", "centavos"),
    ("es", "EUR"): ("con", "céntimo", "céntimos"),
    ("pt", ""): ("e", "centavo", "centavos"),
    ("pt", "EUR"): ("e", "cêntimo", "cêntimos"),
}
"""How a language joins and names the hundredths of a currency; of "" the others."""


@lru_cache(maxsize=1024)
def spoken_money(amount: Decimal, currency: str, tag: str) -> str:
    """ "1250 euros and 50 cents": a voice reads a sign, a code, and the points and commas of another country in its own way,
    or not at all. Where no word for the hundredths is known, the digits as the locale writes them, in one group."""
    locale = babel_locale(tag)
    language = locale.language if locale else ""
    words = _HUNDREDTHS.get((language, currency)) or _HUNDREDTHS.get((language, ""))
    whole, hundredths = divmod(amount * 100, 100)
    if amount < 0 or hundredths % 1 or (hundredths and words is None):
        return format_currency(amount, currency, locale=locale, format_type="name", group_separator=False)
    said = format_currency(whole, currency, "0", locale, False, "name", group_separator=False)
    if not hundredths or words is None:
        return said
    joined, one, many = words
    cents = f"{hundredths:.0f} {one if hundredths == 1 else many}"
    return f"{said} {joined} {cents}" if whole else cents


@lru_cache(maxsize=8192)
def day(value: date, style: str, tag: str) -> str:
    """A date in babel's `long` (mail) or `medium` (short channels) style."""
    return format_date(value, style, locale=babel_locale(tag))


def both(parts: list[str], tag: str) -> str:
    """ "one, two and three"."""
    return parts[0] if len(parts) == 1 else format_list(parts, locale=babel_locale(tag))
