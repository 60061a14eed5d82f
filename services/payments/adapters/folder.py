"""A folder where statement files are put. What became of a file stands beside it, in `done` or `failed`.

True here: a file is taken when it has been still for a moment; links, and what is no file, are told and never followed
or opened; nothing that happens to one file while it is looked at disturbs the others.
"""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

from services.payments.domain.pick_up import LARGEST, Ended, Found, Gone, NotNow, too_large
from services.payments.domain.statement import WrongFile

STILL = 2.0  # seconds without a change
ENDS = {Ended.BOOKED: "done", Ended.REFUSED: "failed"}
_NO_FILE = {
    "directory": "it is a directory; put the files themselves into the folder",
    "link": "it is a link; put the file itself into the folder",
    "special": "it is neither a file nor a directory",
    "name": "its name is not UTF-8; give it another name",
}


class Folder:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def pages(self, after: str) -> AsyncIterator[Sequence[Found]]:
        """By name, as banks number them; nothing hidden, and nothing that is still being written."""
        try:
            yield await asyncio.to_thread(self._waiting)
        except OSError as error:
            raise NotNow(f"the folder cannot be read: {_said(error)}") from None

    def _waiting(self) -> list[Found]:
        with os.scandir(self._path) as there:
            seen = [_seen(each) for each in there if not each.name.startswith(".") and each.name not in ENDS.values()]
        return sorted((found for found in seen if found), key=lambda found: found.name)

    @asynccontextmanager
    async def open(self, found: Found) -> AsyncIterator[BinaryIO]:
        if found.version in _NO_FILE:
            raise NotNow(_NO_FILE[found.version]) if found in await asyncio.to_thread(self._waiting) else Gone
        file = await asyncio.to_thread(self._opened, found)
        try:
            yield file
        finally:
            file.close()

    def _opened(self, found: Found) -> BinaryIO:
        try:
            descriptor = os.open(self._path / found.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise Gone from None
        except OSError as error:
            raise NotNow(f"it cannot be opened: {_said(error)}") from None
        file = os.fdopen(descriptor, "rb")
        status = os.fstat(file.fileno())
        if _version(status) != found.version or status.st_size > LARGEST:
            file.close()
            raise Gone if _version(status) != found.version else WrongFile(too_large())
        return file

    async def put_away(self, found: Found, ended: Ended, said: str) -> bool:
        try:
            await asyncio.to_thread(self._move, found, self._path / ENDS[ended], said)
        except FileNotFoundError:
            return True  # somebody took it away, or put another one in its place, which nobody has read
        except OSError as error:
            raise NotNow(f"it was read, but cannot be moved to {ENDS[ended]!r}: {_said(error)}") from None
        return True

    def _move(self, found: Found, folder: Path, said: str) -> None:
        """A name that is there already is kept apart by the time."""
        folder.mkdir(exist_ok=True)
        names = found.name, f"{found.name}.txt"
        kept = f"{time.time_ns()}-{found.name}" if any((folder / name).exists() for name in names) else found.name
        if _version(os.lstat(self._path / found.name)) != found.version:
            raise FileNotFoundError
        (self._path / found.name).rename(folder / kept)
        (folder / f"{kept}.txt").write_text(said)


def _seen(entry: os.DirEntry[str]) -> Found | None:
    """None: not yet, or not any more."""
    try:
        entry.name.encode()
        status = entry.stat(follow_symlinks=False)
    except UnicodeEncodeError:
        return Found(os.fsencode(entry.name).decode("ascii", "backslashreplace"), "name")
    except OSError:
        return None
    changed = min(status.st_mtime, status.st_ctime)  # a copy may bring a time of the future with it
    if stat.S_ISREG(status.st_mode) and changed >= time.time() - STILL:
        return None
    return Found(entry.name, _version(status))


def _version(status: os.stat_result) -> str:
    if stat.S_ISREG(status.st_mode):
        return f"{status.st_size}-{status.st_mtime_ns}"
    if stat.S_ISDIR(status.st_mode):
        return "directory"
    return "link" if stat.S_ISLNK(status.st_mode) else "special"


def _said(error: OSError) -> str:
    return error.strerror or type(error).__name__
