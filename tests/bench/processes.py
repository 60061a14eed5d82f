"""The processes that are measured: how they are started, and what they have used.

What must stay true: each dies with the benchmark, however that ends; the time of a process that was waited for is counted with
its parent's, so no process that is measured may end while it is measured.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from shared.db.programs import TETHER

ROOT = Path(__file__).parents[2]
READY_SECONDS, STOP_SECONDS = 60.0, 20.0
KINDS = {"postgres": "postgres", "beam.smp": "rabbitmq"}


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds, user + system."""

    python: float = 0.0
    postgres: float = 0.0
    rabbitmq: float = 0.0

    @property
    def total(self) -> float:
        return self.python + self.postgres + self.rabbitmq

    def __sub__(self, earlier: "Cpu") -> "Cpu":
        return Cpu(self.python - earlier.python, self.postgres - earlier.postgres, self.rabbitmq - earlier.rabbitmq)


@dataclass(frozen=True, slots=True)
class Child:
    """A started process that speaks in lines."""

    process: subprocess.Popen[str]

    @property
    def pid(self) -> int:
        return self.process.pid

    def say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """What it says next; RuntimeError when it has ended instead."""
        assert self.process.stdout
        said = self.process.stdout.readline()
        if not said:
            raise RuntimeError(f"{self.process.args!r} ended with status {self.process.wait(STOP_SECONDS)}")
        return said.strip()


@contextmanager
def started(*command: str, environment: Mapping[str, str] | None = None, log: Path | None = None) -> Iterator[Child]:
    """`command`: arguments for this Python. Its output goes into `log`; without one it speaks with us, and has to be listened to."""
    tie = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(signal.SIGTERM)), "same", str(ROOT)]
    with log.open("ab") if log else nullcontext() as file:
        process = subprocess.Popen(
            [*tie, sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=file or subprocess.PIPE,
            stderr=file,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            start_new_session=True,  # Ctrl-C is for us alone
        )
    try:
        yield Child(process)
    finally:
        _end(process)


def end_soon(children: Iterable[Child]) -> None:
    """Tells all of them, before the first one is waited for."""
    for child in children:
        child.process.terminate()


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


def wait_ready(child: Child, port: int) -> None:
    """Until its /readyz says so."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError) as error:
            if child.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{child.process.args!r} is not ready: {error}") from error
        time.sleep(0.05)


def used(without: Sequence[int]) -> Cpu:
    """By everything that the benchmark has started, except these processes and what they have started."""
    seconds = {"python": 0.0, "postgres": 0.0, "rabbitmq": 0.0}
    left_out = {child.pid for pid in without for child in psutil.Process(pid).children(recursive=True)}.union(without)
    for process in psutil.Process().children(recursive=True):
        if process.pid in left_out:
            continue
        try:
            times, name = process.cpu_times(), process.name()
        except psutil.NoSuchProcess:
            continue
        spent = times.user + times.system + times.children_user + times.children_system
        seconds[KINDS.get(name, "python")] += spent
    return Cpu(**seconds)


@contextmanager
def on_one_core() -> Iterator[None]:
    """All that runs, this process too, shares one core meanwhile, so that a second of CPU is the same for everybody."""
    cores = os.sched_getaffinity(0)
    _confine({min(cores)})
    try:
        yield
    finally:
        _confine(cores)


def _confine(cores: set[int]) -> None:
    """Every thread of every process; those that they start later inherit it."""
    myself = psutil.Process()
    for process in (myself, *myself.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            for thread in process.threads():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(thread.id, cores)


def resident(pid: int) -> float:
    """MB in memory now."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def peak_resident(pid: int) -> float:
    """MB in memory at most, since it was started."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"the kernel does not say how much memory {pid} had at most")


def proportional(name: str) -> float:
    """MB of all processes of that name that the benchmark has started; shared pages count once."""
    found = [process for process in psutil.Process().children(recursive=True) if process.name() == name]
    return sum(float(process.memory_full_info().pss) for process in found) / 1e6
