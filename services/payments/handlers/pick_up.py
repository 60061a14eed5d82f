"""Books the statement files that wait in a place, each version of each once.

True here: one process at a time reads a file, and only that one puts it away; one that cannot be read is told, waits
ever longer and holds up no other; what dies in between costs a second reading, which books nothing twice.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog
from prometheus_client import Counter

from services.payments.domain.matching import Rules
from services.payments.domain.pick_up import Ended, FilePlace, Found, Gone, NotNow, Place, pause
from services.payments.domain.statement import WrongFile
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.handlers.take_statement import ReaderOf, Taken, take_statement
from services.payments.store.statement_files import Claimed, claim_file, forget_file, note, put_off, remember

HEAD = 4096
LEASE = timedelta(seconds=120)  # renewed while a file is read
MOST_PAGES = 100  # a look; the next one goes on from there
FAILED = Counter("dunnock_statement_files_failed", "Picked-up files that are no statements")
ENTRIES = Counter(
    "dunnock_statement_entries", "Entries of picked-up files, by what became of them; alarm on `errors`", ["outcome"]
)
NOT_READ = Counter("dunnock_statement_files_not_read", "Times that a waiting file could not be read")

log = structlog.get_logger("payments")


@dataclass(slots=True)
class PickUp:
    """The files of one place, for one source."""

    place: FilePlace
    kind: Place
    source_id: int
    recorder: PaymentRecorder
    rules: Rules
    reader_of: ReaderOf
    after: str = ""  # where the next look goes on, in a place of many pages

    async def look(self) -> int:
        """How many files were dealt with. Raises NotNow for the place, and what the database raises."""
        await self._note()
        dealt = 0
        while claimed := await self._claim():
            await self._deal_with(claimed)
            dealt += 1
        return dealt

    async def _note(self) -> None:
        pages, after = 0, ""
        async for page in self.place.pages(self.after):
            if page:
                async with self.recorder.db.connection() as connection:
                    await note(connection, self.source_id, self.kind, page)
            pages += 1
            if pages == MOST_PAGES and page:
                after = page[-1].name
                break
        self.after = after

    async def _claim(self) -> Claimed | None:
        async with self.recorder.db.connection() as connection:
            return await claim_file(connection, self.source_id, self.kind, LEASE)

    async def _deal_with(self, claimed: Claimed) -> None:
        try:
            async with self._kept(claimed):
                ended, said = await self._read(claimed.found)
                await self._end(claimed, ended, said)
        except Gone:
            async with self.recorder.db.connection() as connection:
                await forget_file(connection, claimed)
        except NotNow as error:
            await self._put_off(claimed, str(error))
        except Exception as error:  # noqa: BLE001  # whatever it is about this file, the others wait behind it
            await self._put_off(claimed, f"reading it ended with {type(error).__name__}")

    async def _read(self, found: Found) -> tuple[Ended, str]:
        try:
            async with self.place.open(found) as file:
                reader = self.reader_of(file.read(HEAD))
                file.seek(0)
                taken = await take_statement(self.recorder, self.source_id, reader, file, self.rules)
                _count(found, taken, self.kind)
                return Ended.BOOKED, _told(taken)
        except WrongFile as error:
            FAILED.inc()
            log.error("statement_file_failed", file=found.name, place=self.kind, hint=str(error))
            return Ended.REFUSED, f"{error}\n"

    async def _end(self, claimed: Claimed, ended: Ended, said: str) -> None:
        async with self.recorder.db.connection() as connection:
            if not await put_off(connection, claimed, LEASE):
                return  # we were away for too long, and another one has it
        moved = await self.place.put_away(claimed.found, ended, said)
        async with self.recorder.db.connection() as connection:
            await (forget_file(connection, claimed) if moved else remember(connection, claimed, ended, said))

    async def _put_off(self, claimed: Claimed, said: str) -> None:
        """Raises what the database raises: then nobody can be served, and the lease brings the file back."""
        again = pause(claimed.tries)
        NOT_READ.inc()
        log.error("statement_file_not_read", file=claimed.found.name, place=self.kind, hint=said, again_in=again)
        async with self.recorder.db.connection() as connection:
            await put_off(connection, claimed, timedelta(seconds=again), said)

    @asynccontextmanager
    async def _kept(self, claimed: Claimed) -> AsyncIterator[None]:
        """Ours while we are at it, however long that is."""
        renewing = asyncio.create_task(self._renew(claimed))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def _renew(self, claimed: Claimed) -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 4)
            with suppress(Exception):  # the database may be away: the next time comes before the lease ends
                async with self.recorder.db.connection() as connection:
                    await put_off(connection, claimed, LEASE)


def _count(found: Found, taken: Taken, kind: Place) -> None:
    for outcome, number in taken.counts.items():
        ENTRIES.labels(outcome).inc(number)
    if taken.errors:
        first = taken.errors[0]
        hint = f"{first.place}: {first.detail}"
        log.error("statement_entries_failed", file=found.name, place=kind, entries=taken.counts["errors"], hint=hint)


def _told(taken: Taken) -> str:
    counts = {"format": taken.format, "entries": taken.entries, **taken.counts}
    lines = [json.dumps(counts), *(f"{bad.place}: {bad.detail}" for bad in taken.errors)]
    return "\n".join(lines) + "\n"
