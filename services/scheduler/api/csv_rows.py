"""Rows of a CSV import as the objects that NDJSON would have sent.

What must stay true: one line is one row (a field has no line break), so that a quote left open breaks its own line
and no other; text that a spreadsheet would take for a formula is text.
"""

import csv
import re
from collections.abc import Sequence
from typing import Any

from shared.kernel.errors import BadRequest, FieldError, Invalid

INVOICE = (
    "invoice_id",
    "number",
    "issue_date",
    "due_date",
    "currency",
    "amount",
    "creditor_id",
    "flow",
    "payment_url",
    "payment_reference",
)
CUSTOMER = {"customer_name": "name", "locale": "locale", "timezone": "timezone", "country": "country"}
CONTACTS = {"email": "email", "phone": "phone"}
ATTRIBUTE = "attributes."
COLUMNS = frozenset((*INVOICE, *CUSTOMER, *CONTACTS, "customer_id"))
_CONTACT = re.compile(r"/customer/contact_points/([01])(?:/.*)?")
_COLUMN_OF = {f"/customer/{name}": f"/{column}" for column, name in CUSTOMER.items()} | {
    "/customer/customer_id": "/customer_id",
    "/customer": "/customer_name",
}


class CsvRows:
    """`header`: the first line. Raises `Invalid` for one that cannot be read."""

    def __init__(self, header: bytes) -> None:
        text = header.removeprefix(b"\xef\xbb\xbf").decode(errors="replace")
        self._delimiter = ";" if ";" in text and "," not in text else ","
        self.columns = [name.strip() for name in self._fields(text)]
        unknown = [name for name in self.columns if name not in COLUMNS and not _is_attribute(name)]
        twice = {name for name in self.columns if self.columns.count(name) > 1}
        if unknown or twice:
            name, why = (unknown[0], "is not a known column") if unknown else (min(twice), "stands twice")
            known = ", ".join((*INVOICE, "customer_id", *CUSTOMER, *CONTACTS))
            raise Invalid(f"the header's column {name[:60]!r} {why}; the columns are {known} and attributes.X")

    def read(self, line: bytes) -> dict[str, Any]:
        """Raises `BadRequest`. Empty fields are left out."""
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"the line is not UTF-8 (byte {error.start})") from None
        if "\0" in text:
            raise BadRequest("the line has the character U+0000; remove it")
        fields = self._fields(text)
        if len(fields) != len(self.columns):
            raise BadRequest(
                f"the line has {len(fields)} fields, the header {len(self.columns)}; check quotes and commas"
            )
        row = {column: value for column, value in zip(self.columns, fields, strict=True) if value}
        return _as_object(row)

    def _fields(self, text: str) -> Sequence[str]:
        try:
            return [field.strip() for field in next(csv.reader((text,), delimiter=self._delimiter, strict=True), [])]
        except csv.Error as error:
            raise BadRequest(f"the line is not CSV: {error}") from None


def _is_attribute(column: str) -> bool:
    return column.startswith(ATTRIBUTE) and len(column) > len(ATTRIBUTE)


def _as_object(row: dict[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {name: row[name] for name in INVOICE if name in row}
    if attributes := {name[len(ATTRIBUTE) :]: value for name, value in row.items() if name.startswith(ATTRIBUTE)}:
        body["attributes"] = attributes
    customer: dict[str, Any] = {name: row[column] for column, name in CUSTOMER.items() if column in row}
    contacts = [{"kind": kind, "address": row[column]} for column, kind in CONTACTS.items() if column in row]
    if contacts:
        customer["contact_points"] = contacts
    if "customer_id" in row:
        (customer or body)["customer_id"] = row["customer_id"]
    if customer:
        body["customer"] = customer
    return body


def columns_of(errors: Sequence[FieldError], body: dict[str, Any]) -> tuple[FieldError, ...]:
    """The same errors, pointing at columns and not into the object that was made of them."""
    return tuple(FieldError(_column(error.pointer, body), error.detail) for error in errors)


def _column(pointer: str, body: dict[str, Any]) -> str:
    if (found := _CONTACT.fullmatch(pointer)) is not None:
        return f"/{body['customer']['contact_points'][int(found[1])]['kind']}"
    return _COLUMN_OF.get(pointer, pointer)
