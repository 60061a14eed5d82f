"""SWIFT statements: MT940 (what was booked) and MT942 (what is under way), in the dialects that the package mt-940 reads.

True here: the file is read by lines and given to the package a few hundred entries at a time, with their statement's
head, so memory is flat however long a statement is. What the package cannot read is tried entry by entry: only the bad
one is lost, and said. MT942 is what a bank knows during the day: it is pending until an MT940 books it.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, BinaryIO

from mt940.models import Transactions
from mt940.options import Options

from services.payments.domain.statement import BadEntry, Entry, Item, WrongFile, amount_of, currency_of, one_line

logging.getLogger("mt940").setLevel(logging.CRITICAL + 1)  # it would write payers' lines into the log

_AT_ONCE = 200
_LONGEST_LINE = 8 * 1024
_LONGEST_ENTRY = 100  # lines
_EVIDENCE = 16 * 1024
_OPTIONS = Options(applicant_iban=True, merge_keeps_values=True, unbounded_details=True, strip_bom=True)
_START = re.compile(r"^(\{1:|:20:|:20\b)", re.MULTILINE)
_SLASHED = re.compile(
    r"/(EREF|REMI|NAME|IBAN|CNTP|ORDP|BENM|TRTP|BIC|MARF|CSID|PREF|ADDR|USTD|STRD|CSRF|OCMT|RTRN|ISDT)/"
)
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_ENDS = (":62", ":90", ":64", "-}", "-")
_NOT_GIVEN = ("NONREF", "NOTPROVIDED", "")


class Mt940:
    format = "MT940"

    @staticmethod
    def recognises(head: bytes) -> bool:
        return _START.search(_decoded(head.removeprefix(b"\xef\xbb\xbf"))) is not None

    def check(self, file: BinaryIO) -> None:
        interim = {part.interim for part in _statements(file)}
        if not interim:
            raise WrongFile("the file has no statement: none of its lines begins with :20:")
        if interim == {True}:
            self.format = "MT942"

    def read(self, file: BinaryIO) -> Iterator[Item]:
        for part in _statements(file):
            yield from _items(part)


@dataclass(slots=True)
class _Part:
    """Some entries of one statement, each with the line where it begins; `head`: its tags before the entries."""

    number: int
    line: int
    head: list[str] = field(default_factory=list)
    entries: list[tuple[int, list[str]]] = field(default_factory=list)
    first: int = 0  # entries of the statement before these
    closed: bool = False  # by its closing balance; MT942 has its sums instead

    @property
    def interim(self) -> bool:
        return not any(line.startswith(":60") for line in self.head)


def _statements(file: BinaryIO) -> Iterator[_Part]:
    """The statements, long ones in parts."""
    part: _Part | None = None
    for number, line in enumerate(_lines(file), 1):
        if line.startswith(":20:"):
            if part:
                yield part
            part = _Part(part.number + 1 if part else 1, number)
        if part is None or part.closed:
            continue
        if line.startswith(":61:") and len(part.entries) == _AT_ONCE:
            yield replace(part, closed=True)
            part = _Part(part.number, part.line, part.head, [], part.first + _AT_ONCE)
        _add(part, number, line)
    if part:
        yield part


def _add(part: _Part, number: int, line: str) -> None:
    if line.startswith(":61:"):
        part.entries.append((number, [line]))
    elif line.startswith(_ENDS):
        part.closed = True
    else:
        lines = part.entries[-1][1] if part.entries else part.head
        if len(lines) < _LONGEST_ENTRY:
            lines.append(line)


def _lines(file: BinaryIO) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if b"\0" in line:
            raise WrongFile(
                "the file is not in a SWIFT character set (it has NUL bytes; UTF-16?): send it as UTF-8 or Latin-1"
            )
        yield _decoded(line.removeprefix(b"\xef\xbb\xbf")).rstrip("\r\n")


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _items(part: _Part) -> Iterator[Item]:
    parsed = _parsed(part.head, part.entries)
    for nth, (line, lines) in enumerate(part.entries):
        place = f"entry {part.first + nth + 1} of statement {part.number} (line {line})"
        found = parsed[nth] if parsed else next(iter(_parsed(part.head, [(line, lines)]) or ()), None)
        if found is None:
            yield BadEntry(place, "its :61: line is not as MT940 has it")
            continue
        try:
            yield _entry(found, lines, place, part)
        except ValueError as error:
            yield BadEntry(place, str(error))
    if not (part.closed or part.interim):
        yield BadEntry(
            f"statement {part.number} (line {part.line})",
            "it ends without a closing balance; the file may be truncated",
        )


def _parsed(head: list[str], entries: list[tuple[int, list[str]]]) -> list[dict[str, Any]] | None:
    """None: the package could not read them, or not one for one. What it raises is not documented, so all of it."""
    text = "\n".join((*head, *(line for _, lines in entries for line in lines)))
    made = Transactions(options=_OPTIONS)
    try:
        made.parse(text)
        found = [dict(transaction.data) | {"currency": made.currency} for transaction in made.transactions]
    except Exception:  # noqa: BLE001
        return None
    made.transactions.clear()  # they and their collection hold each other: memory would wait for the collector
    return found if len(found) == len(entries) else None


def _entry(data: dict[str, Any], lines: list[str], place: str, part: _Part) -> Entry:
    details = "\n".join(lines).partition(":86:")[2]
    said = _slashed(details)
    iban = (data.get("applicant_iban") or said.get("IBAN") or _iban(said.get("CNTP"))) or None
    return Entry(
        place=place,
        statement=str(part.number),
        account=_tag(part.head, ":25"),
        amount=amount_of(f"{abs(data['amount'].amount):f}"),
        currency=currency_of(data["currency"]),
        credit=data["status"] in ("C", "RD"),
        takes_back=data["status"] in ("RC", "RD"),
        booked=not part.interim,
        day=_day(data),
        bank_ref=_given(data.get("bank_reference")),
        end_to_end=_given(data.get("end_to_end_reference") or said.get("EREF")),
        references=tuple(text for text in (said.get("CSRF"), _given(data.get("customer_reference"))) if text),
        text=one_line(_text(data, said, details)),
        payer_name=one_line(data.get("applicant_name") or said.get("NAME") or said.get("ORDP"))[:140] or None,
        payer_iban=iban.replace(" ", "")[:34] if iban and _IBAN.fullmatch(iban.replace(" ", "")) else None,
        evidence="\n".join(lines).encode()[:_EVIDENCE],
    )


def _text(data: dict[str, Any], said: dict[str, str], details: str) -> str:
    """What the payer wrote, in the first place where a bank puts it."""
    german = (data.get("purpose") or "") + (data.get("additional_purpose") or "")
    if german and "?2" in details:
        return german
    return said.get("REMI") or said.get("USTD") or details.replace("\n", "") or data.get("extra_details") or ""


def _slashed(details: str) -> dict[str, str]:
    """'/NAME/Jo/REMI/INV-1' -> {'NAME': 'Jo', 'REMI': 'INV-1'}: the dialect of Dutch and other banks."""
    pieces = _SLASHED.split(details.replace("\n", ""))
    return {
        name: text.strip("/ ").removeprefix("USTD//") for name, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def _iban(text: str | None) -> str | None:
    """'/CNTP/IBAN/BIC/name' begins with it."""
    return text.partition("/")[0] if text else None


def _day(data: dict[str, Any]) -> date | None:
    """The booking date where it is given, else the value date."""
    found = data.get("entry_date") or data.get("date")
    return date(found.year, found.month, found.day) if found else None


def _tag(head: list[str], name: str) -> str | None:
    return next((line.partition(":")[2].partition(":")[2][:64] for line in head if line.startswith(name)), None)


def _given(text: str | None) -> str | None:
    text = (text or "").strip()
    return None if text.upper() in _NOT_GIVEN else text[:140]
