"""The folder of one embedded PostgreSQL: who holds it, who owns its files, what an earlier process left in it.

What must stay true: one live process at a time holds the folder (a lock that the kernel drops with the process);
`postmaster.pid` is removed only while the lock is held and no PostgreSQL runs in the folder, else two servers could
write the same files.
"""

import asyncio
import fcntl
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path


class FolderInUse(Exception):
    """Another live process works on the folder, or it belongs to another user."""


class Folder:
    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.cluster = self.root / "cluster"
        self._lock: int | None = None

    def hold(self) -> None:
        """Raises FolderInUse, naming the process that holds it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.root / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError as error:
            raise FolderInUse(
                f"the database folder {self.root} belongs to another user: "
                "start as that one, or set DUNNOCK_DATA_DIR to another folder"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode() or "unknown"
            os.close(lock)
            raise FolderInUse(
                f"the database folder {self.root} is used by the live process {holder}: "
                "stop that one, or set DUNNOCK_DATA_DIR to another folder"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._lock = lock

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def give_to(self, user: int) -> None:
        """Makes `user` the owner of everything in the folder; only root can and needs to."""
        for folder, _, files in os.walk(self.root):
            os.chown(folder, user, -1)
            for name in files:
                os.chown(os.path.join(folder, name), user, -1, follow_symlinks=False)

    def password_file(self) -> Path:
        """The superuser's password, made at the first call and readable by the owner alone."""
        file = self.root / "password"
        if not file.exists() or not file.read_bytes():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
            with open(descriptor, "w", encoding="ascii") as out:
                out.write(secrets.token_urlsafe(24))
        return file

    def server_status(self) -> str:
        """PostgreSQL's own word (`starting`, `ready`, `stopping`), or nothing."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        return lines[7].strip() if len(lines) > 7 else ""

    async def end_leftovers(self) -> None:
        """Ends servers of earlier, killed processes; harder the longer they take."""
        for stop, seconds in ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            if await self._gone_after(stop, seconds):
                (self.cluster / "postmaster.pid").unlink(missing_ok=True)
                return
        raise FolderInUse(f"the processes {list(self._servers())} on {self.cluster} do not end: end them by hand")

    async def _gone_after(self, stop: signal.Signals, seconds: float) -> bool:
        for process in self._servers():
            os.kill(process, stop)
        deadline = time.monotonic() + seconds
        while running := any(self._servers()):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.05)
        return not running

    def _servers(self) -> Iterator[int]:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                ours = os.readlink(entry / "cwd") == str(self.cluster.resolve())
                if ours and os.path.basename(os.readlink(entry / "exe")) == "postgres":
                    yield int(entry.name)
            except OSError:  # it ended meanwhile, or belongs to somebody else
                continue
