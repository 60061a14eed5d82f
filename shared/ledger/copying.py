"""The plan of new invoices, written by COPY in PostgreSQL's own binary form.

True here: nothing of such a plan can be stored yet (the transaction has just inserted its invoice), so it needs no ON
CONFLICT. All of a row but its four ids is the same for every invoice of the same dates, so it is encoded once (`tail`):
an import spends 1 microsecond a row on this instead of 5 with `copy_records_to_table`.
"""

import struct
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import assert_never

import asyncpg

from shared.ledger.plan import COLUMNS

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = struct.pack(">h", -1)
NULL = struct.pack(">i", -1)
_EPOCH, _EPOCH_DAY = datetime(2000, 1, 1, tzinfo=UTC), date(2000, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_IDS = struct.Struct(">hiqiqiqii").pack  # number of columns, then length and value of each id
_IDS_OF_INVOICE = struct.Struct(">hiqiiqii").pack
_COUNT = len(COLUMNS)

Value = str | int | bool | date | datetime | None
NewRow = tuple[int, int | None, int, int, bytes]
"""(invoice id, installment id, flow version id, generation, tail)"""


def tail(values: Iterable[Value]) -> bytes:
    """The columns of `NewReminder` from `step` on, in their order."""
    return b"".join(_field(value) for value in values)


async def copy_reminders(tx: asyncpg.Connection, rows: Iterable[NewRow]) -> None:
    """In the transaction that inserted the invoices."""
    body = b"".join((HEADER, *map(_row, rows), END))
    if len(body) > len(HEADER) + len(END):
        await tx.copy_to_table("reminder", source=_at_once(body), columns=list(COLUMNS), format="binary")


async def _at_once(body: bytes) -> AsyncIterator[bytes]:
    """Not a file: for one asyncpg makes a class, which keeps it until the oldest garbage is collected, some 500 batches later."""
    yield body


def _row(row: NewRow) -> bytes:
    invoice, installment, version, generation, rest = row
    if installment is None:
        return _IDS_OF_INVOICE(_COUNT, 8, invoice, -1, 8, version, 4, generation) + rest
    return _IDS(_COUNT, 8, invoice, 8, installment, 8, version, 4, generation) + rest


@lru_cache(maxsize=8192, typed=True)  # typed: 1 and True are not the same bytes
def _field(value: Value) -> bytes:
    match value:
        case None:
            return NULL
        case bool():
            data = b"\1" if value else b"\0"
        case int():
            data = struct.pack(">i", value)
        case datetime():
            data = struct.pack(">q", (value - _EPOCH) // _MICROSECOND)
        case date():
            data = struct.pack(">i", value.toordinal() - _EPOCH_DAY)
        case str():
            data = value.encode()
        case _:
            assert_never(value)
    return struct.pack(">i", len(data)) + data
