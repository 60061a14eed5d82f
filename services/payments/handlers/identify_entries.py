"""Gives each entry of a file its identity: what it looks like, and its place among those of its statement that look alike.

True here: memory does not grow with the statement, so what was seen of it is counted in a file, which SQLite removes.
"""

import sqlite3
from types import TracebackType
from typing import Self

from services.payments.domain.statement import Entry, identity, looks_of

_COUNT = "INSERT INTO seen VALUES (?, 1) ON CONFLICT (looks) DO UPDATE SET times = times + 1 RETURNING times"


class Identities:
    """Entries come in the order of the file, a statement after the other."""

    def __init__(self) -> None:
        self._statement: str | None = None
        self._seen = sqlite3.connect("", isolation_level=None)  # a nameless file
        self._seen.execute("PRAGMA journal_mode = OFF")
        self._seen.execute("CREATE TABLE seen (looks BLOB PRIMARY KEY, times INTEGER) WITHOUT ROWID")
        self._seen.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._seen.close()

    def of(self, entry: Entry) -> str:
        if entry.statement != self._statement:
            self._statement = entry.statement
            self._seen.execute("DELETE FROM seen")
        (times,) = self._seen.execute(_COUNT, (looks_of(entry),)).fetchone()
        return identity(entry, times)
