"""One folder under build/servers for each test run; those of runs that were killed are swept by the next one.

What must stay true: a folder is removed only when no live run holds its lock, so that runs side by side never meet.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SERVERS = Path(__file__).parents[2] / "build" / "servers"


@contextmanager
def workspace() -> Iterator[Path]:
    SERVERS.mkdir(parents=True, exist_ok=True)
    with locked(SERVERS / "sweep.lock"):
        sweep()
        folder = SERVERS / secrets.token_hex(4)
        held = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        fcntl.flock(held, fcntl.LOCK_EX)
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".lock").unlink()
        os.close(held)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sweep() -> None:
    for lock in SERVERS.glob("*.lock"):
        if lock.name == "sweep.lock":
            continue
        descriptor = os.open(lock, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink()
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)
