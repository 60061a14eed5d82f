"""An entry of a bank statement, whatever file it came in, and what tells it from every other one.

True here: the same entry has the same identity in every file that holds it (a day's statement after the hours' reports,
the file sent again), so it is booked once; two entries that look alike in one statement are two.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import BinaryIO, Protocol

from shared.kernel.money import MINOR_UNITS

MOST_TEXT = 2_000  # characters of what a payer wrote that are looked at and kept
_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Entry:
    """`credit`: money came in. `takes_back`: it returns an earlier entry of the other direction. `references` are
    structured ones; `place` says where it stands in the file; `evidence` is what was read."""

    place: str
    statement: str
    account: str | None
    amount: Decimal
    currency: str
    credit: bool
    takes_back: bool
    booked: bool
    day: date | None
    bank_ref: str | None
    end_to_end: str | None
    references: tuple[str, ...]
    text: str
    payer_name: str | None
    payer_iban: str | None
    evidence: bytes


@dataclass(frozen=True, slots=True)
class BadEntry:
    """One that cannot be read; the others still count."""

    place: str
    detail: str


class WrongFile(ValueError):
    """Not a statement that can be read; the sentence says what it is, or where it breaks. Nothing was booked."""


Item = Entry | BadEntry


class StatementReader(Protocol):
    """One file format. `format` names it, more precisely once something was read."""

    format: str

    @staticmethod
    def recognises(head: bytes) -> bool:
        """By the first kilobytes."""

    def check(self, file: BinaryIO) -> None:
        """Reads the whole file in flat memory; raises WrongFile."""

    def read(self, file: BinaryIO) -> Iterator[Item]:
        """Entry by entry, in flat memory."""


def identity(entry: Entry, nth: int) -> str:
    """`nth`: its place among those of one statement that look alike, from 1."""
    return hashlib.sha256(looks_of(entry) + str(nth).encode()).hexdigest()[:40]


def looks_of(entry: Entry) -> bytes:
    """The same for entries of which nothing but their place says that they are two."""
    said = (
        entry.account,
        entry.bank_ref,
        entry.end_to_end,
        f"{entry.amount.normalize():f}",
        entry.currency,
        entry.credit,
        entry.takes_back,
        entry.day,
        entry.references,
        entry.text,
        entry.payer_name,
        entry.payer_iban,
    )
    return hashlib.sha256(repr(said).encode()).digest()


def amount_of(text: str) -> Decimal:
    """A positive amount with a point; ValueError says what is wrong."""
    try:
        amount = Decimal(text) if _AMOUNT.fullmatch(text) else Decimal(0)
    except InvalidOperation:
        amount = Decimal(0)
    if amount <= 0 or amount != round(amount, 4):
        raise ValueError("the amount is not a positive number with at most 15 digits and 4 after the point")
    return amount


def currency_of(text: str | None) -> str:
    if text not in MINOR_UNITS:
        raise ValueError("the currency is missing or not an active ISO 4217 code")
    return text


def one_line(*texts: str | None) -> str:
    """What is there, with single blanks, bounded."""
    return " ".join(" ".join(text for text in texts if text)[: 4 * MOST_TEXT].split())[:MOST_TEXT]
