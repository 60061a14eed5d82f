"""Books a bank statement file, whatever its format and size.

True here: memory does not grow with the file; an entry that cannot be read is told with its place and the others count;
an entry that any file brought before has no effect. It returns only after every commit and the hand-off barrier of
every invoice that it touched, also where only entries came that were known: so a 2xx after it is a promise. A file that
is broken is refused before anything is booked; when the database goes away in the middle, sending the file again books
what is missing.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from services.payments.domain.matching import Rules
from services.payments.domain.statement import BadEntry, Entry, Item, StatementReader
from services.payments.handlers.book_entries import BATCH, Outcome, book_batch
from services.payments.handlers.identify_entries import Identities
from services.payments.handlers.record_payment import PaymentRecorder

ReaderOf = Callable[[bytes], StatementReader]
"""By the first kilobytes of a file; raises WrongFile."""
MOST_ERRORS = 100  # told one by one; all are counted


@dataclass(slots=True)
class Taken:
    """What became of a file's entries."""

    format: str
    counts: Counter[str] = field(default_factory=Counter)
    errors: list[BadEntry] = field(default_factory=list)
    until: float = 0.0  # monotonic: when the last hand-off barrier ends

    @property
    def entries(self) -> int:
        return sum(self.counts.values())

    def add(self, outcomes: Sequence[Outcome], wait: float) -> None:
        self.counts.update(outcome.value for outcome in outcomes)
        self.until = max(self.until, time.monotonic() + wait)

    def bad(self, entry: BadEntry) -> None:
        self.counts["errors"] += 1
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(entry)


async def take_statement(
    recorder: PaymentRecorder, source_id: int, reader: StatementReader, file: BinaryIO, rules: Rules
) -> Taken:
    """Raises WrongFile. The file is read in a thread, a batch at a time."""
    await asyncio.to_thread(reader.check, file)
    file.seek(0)
    taken = Taken(reader.format)
    items = reader.read(file)
    with Identities() as identities:
        while batch := await asyncio.to_thread(_next, items):
            entries = [(identities.of(item), item) for item in batch if isinstance(item, Entry)]
            for item in batch:
                if isinstance(item, BadEntry):
                    taken.bad(item)
            if entries:
                taken.add(*await book_batch(recorder, source_id, entries, rules))
    await asyncio.sleep(max(0.0, taken.until - time.monotonic()))
    return taken


def _next(items: Iterator[Item]) -> list[Item]:
    return list(islice(items, BATCH))
