"""Where statement files wait to be picked up, whatever place that is, and when one that could not be read is tried again."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, Protocol

LARGEST = 256 * 1024 * 1024  # bytes of a file
MOST_NAME = 1024  # bytes, as object stores have it
FIRST_PAUSE, LONGEST_PAUSE = 15.0, 3600.0  # seconds


class Place(StrEnum):
    FOLDER = "folder"
    BUCKET = "bucket"


class Ended(StrEnum):
    """What became of a file."""

    BOOKED = "booked"
    REFUSED = "refused"  # no statement; a corrected file is another version, or has another name


@dataclass(frozen=True, slots=True)
class Found:
    """`version`: changes with the content, so the same name may come again."""

    name: str
    version: str


class NotNow(Exception):
    """A file, or the whole place, cannot be read now; the sentence says why, and holds no secret."""


class Gone(Exception):
    """The file is not there any more, or not in this version."""


class FilePlace(Protocol):
    """A place where a bank, or a transfer job, puts files."""

    def pages(self, after: str) -> AsyncIterator[Sequence[Found]]:
        """What is there, by name, from the first name after `after` on where the place can. Raises NotNow."""

    def open(self, found: Found) -> AbstractAsyncContextManager[BinaryIO]:
        """The whole file, to be read. Raises NotNow, Gone, or WrongFile for one that is too large."""

    async def put_away(self, found: Found, ended: Ended, said: str) -> bool:
        """False: it stays, and has to be remembered. Raises NotNow."""


def pause(tries: int) -> float:
    """Seconds until the next try, after so many."""
    return float(min(FIRST_PAUSE * 2 ** min(tries - 1, 20), LONGEST_PAUSE))


def too_large() -> str:
    return f"the file is larger than {LARGEST // 1024 // 1024} MiB; ask the bank for smaller ones"
