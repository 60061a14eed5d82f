"""Our processes: real ones, started, waited for and killed one by one.

What must stay true: each ends with the test's process, however that ends; only what was started here is ever signalled.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from shared.db.embedded import free_port
from shared.db.programs import TETHER
from tests.servers import warm
from tests.servers.warm import ROOT, Forked

SLOW = 90.0  # seconds that a machine under load may take for what takes a few
SERVICES = ("scheduler", "dispatcher", "payments")


@dataclass(frozen=True, slots=True)
class Process:
    name: str
    port: int
    log: Path
    popen: subprocess.Popen[bytes] | Forked

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def runs(self) -> bool:
        return self.popen.poll() is None

    def last_words(self) -> str:
        return f"{self.name} ({self.popen.poll()}): ...{self.log.read_text(errors='replace')[-2000:]}"


@dataclass
class Plant:
    """`settings`: environment of every service. `killed`: pids of those that died by SIGKILL, since ever."""

    folder: Path
    settings: Mapping[str, str]
    processes: list[Process] = field(default_factory=list)
    killed: set[int] = field(default_factory=set)

    def start(self, service: str, *, crash_at: str | None = None, fresh: bool = False, **settings: str) -> Process:
        """Returns at once; see `ready`. With `crash_at` it will kill itself there; `fresh`: it imports all by itself."""
        port = free_port()
        dies = {"DUNNOCK_TEST_FLAGS": "1", "DUNNOCK_CRASH_AT": crash_at} if crash_at else {}
        return self.launch(service, port, f"services.{service}", fresh=fresh, PORT=str(port), **dies, **settings)

    def launch(
        self, name: str, port: int, module: str, *arguments: str, fresh: bool = False, **settings: str
    ) -> Process:
        log = self.folder / f"{len(self.processes)}-{name}.log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("DUNNOCK_", "PORT"))}
        env = {**inherited, "PYTHONPATH": str(ROOT), **self.settings, **settings}
        with log.open("ab") as output:
            start = _started if fresh else warm.start
            popen = start(module, *arguments, env=env, log=output)
        self.processes.append(Process(name, port, log, popen))
        return self.processes[-1]

    def running(self, service: str) -> list[Process]:
        return [one for one in self.processes if one.name == service and one.runs]

    async def ready(self, *processes: Process) -> None:
        async with httpx.AsyncClient(timeout=10) as http:
            for process in processes:
                await _until_ready(process, http)

    async def died(self, process: Process) -> None:
        """Waits until it has killed itself."""
        deadline = time.monotonic() + SLOW
        while process.runs:
            assert time.monotonic() < deadline, f"never came to its crash point: {process.last_words()}"
            await asyncio.sleep(0.02)
        assert process.popen.returncode == -signal.SIGKILL, process.last_words()
        self.killed.add(process.pid)

    def kill(self, process: Process) -> None:
        """SIGKILL, whatever it is doing."""
        process.popen.kill()
        process.popen.wait()
        self.killed.add(process.pid)

    def stop(self, process: Process) -> None:
        """In order: it drains what it has."""
        process.popen.terminate()
        try:
            process.popen.wait(SLOW)
        except subprocess.TimeoutExpired:
            self.kill(process)

    def end(self) -> None:
        for process in self.processes:
            if process.runs:
                process.popen.kill()
            process.popen.wait()


def _started(module: str, *arguments: str, env: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    tie = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(signal.SIGKILL)), "same", str(ROOT)]
    return subprocess.Popen(
        [*tie, sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=env,
        start_new_session=True,
    )


async def _until_ready(process: Process, http: httpx.AsyncClient) -> None:
    deadline = time.monotonic() + SLOW
    while True:
        try:
            if (await http.get(f"{process.url}/readyz")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.runs, f"ended: {process.last_words()}"
        assert time.monotonic() < deadline, f"not ready: {process.last_words()}"
        await asyncio.sleep(0.05)
