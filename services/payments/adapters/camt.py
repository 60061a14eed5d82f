"""ISO 20022 statements: camt.052 (report), camt.053 (statement), camt.054 (notification), every version.

True here: elements are known by their local names, so versions and banks' own namespaces need no list. Nothing is kept
of the file but the entry that is being read: a batch booking gives one entry for each of its transactions, at once. A
DOCTYPE is refused where it stands; entities, the network and huge nodes are off.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, BinaryIO

from lxml import etree

from services.payments.domain.statement import (
    BadEntry,
    Entry,
    Item,
    WrongFile,
    amount_of,
    currency_of,
    one_line,
)

_CHUNK = 64 * 1024
_MOST_FIELDS = 2_000  # of one entry or transaction
_MOST_TEXT = 64 * 1024  # characters of one entry or transaction
_MOST_DEPTH = 64
_EVIDENCE = 16 * 1024
_FORMATS = {
    "BkToCstmrAcctRpt": ("camt.052", "Rpt"),
    "BkToCstmrStmt": ("camt.053", "Stmt"),
    "BkToCstmrDbtCdtNtfctn": ("camt.054", "Ntfctn"),
}
_NOT_GIVEN = ("NOTPROVIDED", "NONREF", "NOTAVAILABLE")

Fields = dict[str, list[str]]


class Camt:
    format = "camt"

    @staticmethod
    def recognises(head: bytes) -> bool:
        plain = (
            head.replace(b"\0", b"").removeprefix(b"\xef\xbb\xbf").removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
        )
        return plain.lstrip().startswith(b"<")

    def check(self, file: BinaryIO) -> None:
        top = _Top()
        for _ in _fed(file, top):
            pass
        if top.name not in _FORMATS:
            raise WrongFile(_not_camt(top))
        self.format = _FORMATS[top.name][0]

    def read(self, file: BinaryIO) -> Iterator[Item]:
        entries = _Entries()
        for _ in _fed(file, entries):
            yield from entries.taken()


def _fed(file: BinaryIO, target: "_Top") -> Iterator[None]:
    """Feeds the file to the target, a chunk at a time."""
    parser = etree.XMLParser(
        target=target, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
    )
    try:
        while chunk := file.read(_CHUNK):
            parser.feed(chunk)
            yield
        parser.close()
    except etree.XMLSyntaxError as error:
        raise WrongFile(f"the XML breaks at line {error.lineno}: {_said(error)}; it may be truncated") from None
    except (LookupError, UnicodeDecodeError):
        raise WrongFile("the encoding that the XML declares is not known, or not the one that it is in") from None
    yield


def _said(error: etree.XMLSyntaxError) -> str:
    return (error.msg or "not well-formed").split(", line")[0][:200]


def _not_camt(top: "_Top") -> str:
    if top.root == "Document" and top.name:
        return f"an ISO 20022 file with {top.name[:60]!r}, not a statement: send camt.052, camt.053 or camt.054"
    return f"an XML file with <{(top.root or '')[:60]}>, not a statement: send camt.052, camt.053 or camt.054"


class _Top:
    """Of the document only what it is. The base of the reader, and all that the check needs."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.name: str | None = None
        self._depth = 0

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise WrongFile("the XML has a DOCTYPE, which no statement has; it is refused unread")

    def start(self, tag: str, attributes: Any) -> None:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise WrongFile(f"the XML is nested deeper than {_MOST_DEPTH} levels")
        if self._depth == 1:
            self.root = _local(tag)
            self.name = self.root
        elif self._depth == 2:
            self.name = _local(tag)

    def end(self, tag: str) -> None:
        self._depth -= 1

    def data(self, text: str) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """lxml asks for it."""


@dataclass(slots=True)
class _Record:
    """The fields of an entry, or of one transaction of it, by their path."""

    fields: Fields
    size: int = 0
    count: int = 0


class _Entries(_Top):
    """Collects one entry at a time. What a transaction does not say, its entry says."""

    def __init__(self) -> None:
        super().__init__()
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0  # of the element's text, also of what was not kept
        self._account: str | None = None
        self._statement = 0
        self._number = 0
        self._details = 0
        self._entry: _Record | None = None
        self._detail: _Record | None = None
        self._first: _Record | None = None  # a transaction that waits to learn whether it is the only one
        self._items: list[Item] = []

    def taken(self) -> list[Item]:
        items, self._items = self._items, []
        return items

    def start(self, tag: str, attributes: Any) -> None:
        super().start(tag, attributes)
        name = _local(tag)
        self._path.append(name)
        self._forget_text()
        if len(self._path) == 3 and name != "GrpHdr":
            self._statement, self._account = self._statement + 1, None
        elif name == "Ntry" and len(self._path) == 4:
            self._number, self._details = self._number + 1, 0
            self._entry, self._detail, self._first = _Record({}), None, None
        elif name == "TxDtls" and self._entry and len(self._path) == 6:
            self._detail = _Record({})
        if self._entry and "Ccy" in attributes:
            self._keep("@" + self._below(), attributes["Ccy"])

    def data(self, text: str) -> None:
        """In pieces of some hundred characters: what is over the limit makes the entry too large, and is not kept."""
        if self._entry or "Acct" in self._path:
            if self._length <= _MOST_TEXT:
                self._text.append(text)
            self._length += len(text)

    def _forget_text(self) -> None:
        self._text.clear()
        self._length = 0

    def end(self, tag: str) -> None:
        text, length = "".join(self._text).strip(), self._length
        self._forget_text()
        if self._entry and (text or length > _MOST_TEXT):
            self._keep(self._below(), text, length)
        elif text and self._path[3:] in (["Acct", "Id", "IBAN"], ["Acct", "Id", "Othr", "Id"]):
            self._account = text[:64]
        name = self._path.pop()
        super().end(tag)
        if name == "TxDtls" and len(self._path) == 5 and self._detail:
            self._end_of_detail(self._detail)
        elif name == "Ntry" and len(self._path) == 3 and self._entry:
            self._end_of_entry(self._entry)

    def _below(self) -> str:
        return "/".join(self._path[6 if self._detail else 4 :])

    def _keep(self, path: str, text: str, length: int = 0) -> None:
        record = self._detail or self._entry
        assert record is not None
        record.size += len(path) + max(length, len(text))
        record.count += 1
        if record.size <= _MOST_TEXT and record.count <= _MOST_FIELDS:
            record.fields.setdefault(path, []).append(text)

    def _end_of_detail(self, detail: _Record) -> None:
        self._detail = None
        self._details += 1
        if self._details == 1:
            self._first = detail
            return
        if self._first:
            self._items.append(self._item(self._first, 1, alone=False))
            self._first = None
        self._items.append(self._item(detail, self._details, alone=False))

    def _end_of_entry(self, entry: _Record) -> None:
        if self._details <= 1:
            self._items.append(self._item(self._first or _Record({}), 0, alone=True))
        self._entry = self._first = None

    def _item(self, detail: _Record, nth: int, *, alone: bool) -> Item:
        assert self._entry is not None
        place = f"entry {self._number}" + (f", transaction {nth}" if nth else "")
        if any(record.size > _MOST_TEXT or record.count > _MOST_FIELDS for record in (self._entry, detail)):
            return BadEntry(place, f"it is larger than {_MOST_TEXT // 1024} KiB or {_MOST_FIELDS} fields")
        try:
            return _entry(self._entry.fields, detail.fields, place, str(self._statement), self._account, alone)
        except ValueError as error:
            return BadEntry(place, str(error))


def _entry(entry: Fields, detail: Fields, place: str, statement: str, account: str | None, alone: bool) -> Entry:
    said = _first(detail, "CdtDbtInd") or _first(entry, "CdtDbtInd")
    if said not in ("CRDT", "DBIT"):
        raise ValueError("CdtDbtInd is missing or neither CRDT nor DBIT")
    status = _first(entry, "Sts", "Sts/Cd")
    if status not in ("BOOK", "PDNG", "INFO", "FUTR", None):
        raise ValueError("Sts is neither BOOK nor PDNG")
    amount, currency = _amount(entry, detail, alone)
    returned = any(path.startswith("RtrInf/") for path in detail)
    parties = (
        ("Dbtr", "UltmtDbtr") if said == "CRDT" else ("Dbtr", "Cdtr")
    )  # who sent what is returned stands as either
    return Entry(
        place=place,
        statement=statement,
        account=account,
        amount=amount,
        currency=currency,
        credit=said == "CRDT",
        takes_back=_first(entry, "RvslInd") in ("true", "1") or returned,
        booked=status in ("BOOK", None),
        day=_day(entry),
        bank_ref=_given(_first(detail, "Refs/AcctSvcrRef") or _first(entry, "AcctSvcrRef")),
        end_to_end=_given(_first(detail, "Refs/EndToEndId")),
        references=tuple(
            reference[:140]
            for path in ("RmtInf/Strd/CdtrRefInf/Ref", "RmtInf/Strd/RfrdDocInf/Nb")
            for reference in detail.get(path, ())[:50]
        ),
        text=one_line(*detail.get("RmtInf/Ustrd", ()))
        or one_line(*detail.get("AddtlTxInf", ()), *entry.get("AddtlNtryInf", ())),
        payer_name=_first(detail, *(f"RltdPties/{party}/{path}" for party in parties for path in ("Nm", "Pty/Nm"))),
        payer_iban=next((iban for iban in _ibans(detail, parties) if iban != account), None),
        evidence=json.dumps({"entry": entry, "transaction": detail}, ensure_ascii=False).encode()[:_EVIDENCE],
    )


def _amount(entry: Fields, detail: Fields, alone: bool) -> tuple[Any, str]:
    """Of a batch each transaction's own amount, in the account's currency."""
    currency = currency_of(_first(entry, "@Amt"))
    if alone:
        return amount_of(_first(entry, "Amt") or ""), currency
    for path in ("Amt", "AmtDtls/TxAmt/Amt", "AmtDtls/CntrValAmt/Amt", "AmtDtls/InstdAmt/Amt"):
        if _first(detail, path) and _first(detail, f"@{path}") == currency:
            return amount_of(_first(detail, path) or ""), currency
    raise ValueError(f"a transaction of a batch has no amount in {currency}")


def _ibans(detail: Fields, parties: tuple[str, ...]) -> Iterator[str]:
    return (found for party in parties if (found := _first(detail, f"RltdPties/{party}Acct/Id/IBAN")))


def _day(entry: Fields) -> date | None:
    said = _first(entry, "BookgDt/Dt", "BookgDt/DtTm", "ValDt/Dt", "ValDt/DtTm")
    if said is None:
        return None
    try:
        return date.fromisoformat(said[:10])
    except ValueError:
        raise ValueError("the booking date is not a date") from None


def _given(text: str | None) -> str | None:
    return None if text is None or text.upper() in _NOT_GIVEN else text[:140]


def _first(fields: Fields, *paths: str) -> str | None:
    return next((fields[path][0][:140] for path in paths if path in fields), None)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
