"""python -m tests.servers.warm_parent DESCRIPTOR: has imported what the services need, and forks into one of them when asked.

What must stay true: a start of Python and its imports cost more than most tests, and nothing of what a test looks at: that
alone is shared. It runs one thread and no event loop, opens nothing and reads no setting. What it forks is a process with a
pid, session, environment, arguments and log of its own, which runs its module from the first line and holds no descriptor
of anybody else. Nothing that came from here outlives it, and it does not outlive whoever asks.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from dataclasses import dataclass

from shared.db.tether import PR_SET_PDEATHSIG, call

STARTED_HERE = ("services", "services.scheduler", "services.dispatcher", "services.payments")
ALSO_IMPORTED = ("sqlalchemy.dialects.postgresql.asyncpg", "alembic.command")  # when a database is first spoken to
LARGEST = 1 << 17


@dataclass(frozen=True, slots=True)
class Start:
    """Of `python -m module arguments`."""

    module: str
    arguments: list[str]
    environment: dict[str, str]


def main(control: socket.socket) -> None:
    import_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a keeper
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, LARGEST, 2)
        if not message:
            return
        start, log, report = Start(**json.loads(message)), descriptors[0], socket.socket(fileno=descriptors[1])
        parent = os.getpid()
        if os.fork():
            os.close(log)
            report.close()
            continue
        dies_with(parent)
        control.close()
        if keep(start, log, report):
            return


def import_all() -> None:
    for package in STARTED_HERE:
        importlib.import_module(f"{package}.__main__")
        del sys.modules[f"{package}.__main__"]  # it is run, not imported
    for module in ALSO_IMPORTED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # else the first collection of each child copies all of it


def keep(start: Start, log: int, report: socket.socket) -> bool:
    """Starts it, says its pid, waits for it, says how it ended. True: this is the started one."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    parent = os.getpid()
    if pid := os.fork():
        os.close(log)
        with contextlib.suppress(BrokenPipeError):  # nobody asks any more
            report.sendall(f"{pid}\n".encode())
            _, status = os.waitpid(pid, 0)
            report.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    dies_with(parent)
    report.close()
    become(start, log)
    return True


def become(start: Start, log: int) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, place in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, place)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    os.environ.update(start.environment)
    sys.argv = [start.module, *start.arguments]
    runpy.run_module(start.module, run_name="__main__", alter_sys=True)


def dies_with(parent: int) -> None:
    if sys.platform == "linux":
        call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
