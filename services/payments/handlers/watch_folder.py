"""Books the statement files that a bank, or a transfer job, puts into a folder.

True here: a file is looked at only when it has been still for a moment; it is moved only after it was booked, so a
crash in between costs a second reading, which books nothing twice; two processes may watch the same folder. What a file
became stands beside it.
"""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import structlog
from prometheus_client import Counter

from services.payments.domain.matching import Rules
from services.payments.domain.statement import WrongFile
from services.payments.handlers.record_payment import PaymentRecorder
from services.payments.handlers.take_statement import ReaderOf, Taken, take_statement
from services.payments.store.sources import FILES, FILES_KIND, built_in_source

STILL = 2.0  # seconds without a change
LARGEST = 256 * 1024 * 1024
HEAD = 4096
FAILED = Counter("dunnock_statement_files_failed", "Files of the watched folder that are no statements")

log = structlog.get_logger("payments")


@dataclass(frozen=True, slots=True)
class StatementFolder:
    folder: Path
    recorder: PaymentRecorder
    rules: Rules
    reader_of: ReaderOf

    async def look(self) -> int:
        """How many files were dealt with; raises what the database raises, and the file stays."""
        files = await asyncio.to_thread(_waiting, self.folder)
        for file in files:
            await self._deal_with(file)
        return len(files)

    async def _deal_with(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                said, where = _told(await self._book(file)), "done"
        except FileNotFoundError:
            return  # the other process was faster
        except WrongFile as error:
            said, where = f"{error}\n", "failed"
            FAILED.inc()
            log.error("statement_file_failed", file=path.name, hint=str(error))
        await asyncio.to_thread(_move, path, path.parent / where, said)

    async def _book(self, file: BinaryIO) -> Taken:
        if file.seek(0, 2) > LARGEST:
            raise WrongFile(f"the file is larger than {LARGEST // 1024 // 1024} MiB; ask the bank for smaller ones")
        async with self.recorder.db.connection() as connection:
            source = await built_in_source(connection, FILES, FILES_KIND)
        file.seek(0)
        reader = self.reader_of(file.read(HEAD))
        file.seek(0)
        return await take_statement(self.recorder, source, reader, file, self.rules)


def _waiting(folder: Path) -> list[Path]:
    """By name, as banks number them. No links, and nothing that is still being written or hidden."""
    before = time.time() - STILL
    found = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    return sorted(path for path in found if not path.name.startswith(".") and path.stat().st_mtime < before)


def _told(taken: Taken) -> str:
    counts = {"format": taken.format, "entries": taken.entries, **taken.counts}
    lines = [json.dumps(counts), *(f"{bad.place}: {bad.detail}" for bad in taken.errors)]
    return "\n".join(lines) + "\n"


def _move(path: Path, folder: Path, said: str) -> None:
    """A name that is there already is kept apart by the time."""
    folder.mkdir(exist_ok=True)
    name = path.name if not (folder / path.name).exists() else f"{time.time_ns()}-{path.name}"
    (folder / f"{name}.txt").write_text(said)
    path.replace(folder / name)
