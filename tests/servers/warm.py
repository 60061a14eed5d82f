"""`python -m ...` without its imports: forked from a parent that has them, one for each process that runs tests.

What must stay true: what is started here is told apart from a program's own start by its speed alone, so a test may take
either; who wants the imports to be part of what is tested starts it by `subprocess`.
"""

import atexit
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]


class Forked:
    """What a test needs of a subprocess.Popen, of a process whose parent is another one."""

    def __init__(self, report: socket.socket, args: list[str]) -> None:
        self.args = args
        self.returncode: int | None = None
        self._report = report.makefile("rb", buffering=0)
        report.close()
        said = self._report.readline()
        assert said, "the parent of warm processes has ended, and said above why"
        self.pid = int(said)

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        if (status := self._ended(timeout)) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._report], [], [], timeout)[0]:
            self.returncode = int(self._report.readline() or -signal.SIGKILL)  # without a word: all of them were killed
            self._report.close()
        return self.returncode


def start(module: str, *arguments: str, env: Mapping[str, str], log: IO[bytes]) -> Forked:
    """`python -m module arguments` in ROOT; returns once it has a pid."""
    ours, theirs = socket.socketpair()
    asked = json.dumps({"module": module, "arguments": arguments, "environment": dict(env)})
    with theirs:
        socket.send_fds(_parent(), [asked.encode()], [log.fileno(), theirs.fileno()])
    return Forked(ours, [module, *arguments])


@functools.cache
def _parent() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.servers.warm_parent", str(theirs.fileno())]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DUNNOCK_")}
    with theirs:
        parent = subprocess.Popen(
            command, cwd=ROOT, env=kept, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
        )
    atexit.register(parent.wait)
    atexit.register(ours.close)  # before the wait: it ends when nobody can ask any more
    return ours
