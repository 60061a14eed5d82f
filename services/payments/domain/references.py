"""What in a transfer may name an invoice.

True here: a checked reference carries its own proof (ISO 11649, the Swiss QR reference, a UUID), so one wrong digit
makes it none; everything else is words, and a word alone proves nothing. Words are joined over blanks, dashes and line
breaks, because payers and banks cut numbers anywhere.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

LONGEST = 35  # characters of a number or reference that are compared
SHORTEST = 4
MOST_KEYS = 96  # words of one transfer that are looked up
_JOINED = 4  # neighbours that may be one number
_JOINED_PIECES = 6  # the same, where 'INV1001' is two
_GROUPS = 9  # in which a reference with check digits is written at most
_QR_DIGITS = 27
_MOST_WORDS = 150

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9]")
_WORD = re.compile(r"[A-Z0-9]+")
_PIECE = re.compile(r"[A-Z]+|[0-9]+")
_UUID = re.compile(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b")
_CREDITOR_REFERENCE = re.compile(r"RF[0-9]{2}[A-Z0-9]{1,21}")
_QR_REFERENCE = re.compile(r"[0-9]{27}")
_AS_NUMBERS = {ord(letter): str(number) for number, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 10)}
_CARRIES = (0, 9, 4, 6, 8, 2, 7, 1, 3, 5)


@dataclass(frozen=True, slots=True)
class Found:
    """`checked`: references that prove themselves (plain; UUIDs in lower case). `words`: plain pieces of text that may be
    a number, and may not."""

    checked: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()


def plain(text: str) -> str:
    """'inv 2026/17' -> 'INV202617'; the database compares the same (ix_invoice_plain_number)."""
    return _NOT_PLAIN.sub("", text).upper()


def find(structured: Iterable[str], text: str) -> Found:
    """Everything that may name an invoice, bounded."""
    fields = [*structured, text]
    uuids = {uuid.lower() for part in fields for uuid in _UUID.findall(part)}
    words = {plain(part) for part in fields[:-1]} | set(_joined_words(fields))
    checked = {word for word in words if _is_creditor_reference(word) or _is_qr_reference(word)}
    usable = {word for word in words if SHORTEST <= len(word) <= LONGEST and not word.isalpha()}
    return Found(frozenset(checked | uuids), frozenset(sorted(usable, key=len, reverse=True)[:MOST_KEYS]))


def single_checked(found: Found) -> str | None:
    """The one reference by which an invoice that comes later may claim the money."""
    return next(iter(found.checked)) if len(found.checked) == 1 else None


def _joined_words(fields: Iterable[str]) -> Iterable[str]:
    for field in fields:
        words = _WORD.findall(field.upper())[:_MOST_WORDS]
        yield from _neighbours(words, _JOINED)
        if (pieces := _PIECE.findall(field.upper())[:_MOST_WORDS]) != words:
            yield from _neighbours(pieces, _JOINED_PIECES)


def _neighbours(words: list[str], most: int) -> Iterable[str]:
    """References with check digits are written in more groups than numbers of invoices are cut into."""
    for at in range(len(words)):
        joined = ""
        for count, word in enumerate(words[at : at + _GROUPS], 1):
            joined += word
            if len(joined) > LONGEST:
                break
            if count <= most or joined.startswith("RF") or len(joined) == _QR_DIGITS:
                yield joined


def _is_creditor_reference(word: str) -> bool:
    if not _CREDITOR_REFERENCE.fullmatch(word):
        return False
    return int((word[4:] + word[:4]).translate(_AS_NUMBERS)) % 97 == 1


def _is_qr_reference(word: str) -> bool:
    """27 digits, the last one by the recursive modulo 10; a row of zeros is none."""
    if not _QR_REFERENCE.fullmatch(word) or not word.strip("0"):
        return False
    carry = 0
    for digit in word[:-1]:
        carry = _CARRIES[(carry + int(digit)) % 10]
    return (10 - carry) % 10 == int(word[-1])
