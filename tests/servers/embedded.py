"""`python -m services` as a user starts it: a process of its own, a folder, a port; everything else over HTTP and SQL.

What must stay true: no process started here outlives `end`, and no PostgreSQL outlives its process.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx

from shared.db.embedded import free_port
from shared.db.folder import Folder
from tests.servers import warm
from tests.servers.postgres import run
from tests.servers.warm import ROOT, Forked

API_KEY = "dk_of_the_tests"
SLOW = 180.0  # seconds that a machine under load may take for what takes a few
PACE = {"DUNNOCK_DUE_POLL": "0.03", "DUNNOCK_SWEEP_POLL": "0.3", "DUNNOCK_CONNECT_TIMEOUT": "0.2"}
PYTHON = [sys.executable]
PLAIN = False  # no TLS here, so no certificates are loaded, which would cost more than the request
T = TypeVar("T")


@dataclass
class Embedded:
    """One folder; its process is started and ended as often as one likes. `settings` are environment variables.

    `launcher`: the Python that runs it, as PYTHON; without one it is forked from a parent that has its imports."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    launcher: list[str] | None = None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | Forked | None = None

    def start(self, **more: str) -> "Embedded":
        """Returns at once; see `ready`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        own = {name: value for name, value in os.environ.items() if not name.startswith(("DUNNOCK_", "PORT"))}
        names = {"DUNNOCK_DATA_DIR": str(self.folder / "data"), "DUNNOCK_API_KEY": API_KEY, "PORT": str(self.port)}
        env = {**own, **names, **PACE, **self.settings, **more}
        with (self.folder / "log").open("ab") as log:
            if self.launcher is None:
                self.process = warm.start("services", env=env, log=log)
            else:
                command = [*self.launcher, "-m", "services"]
                self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        return self

    def ready(self, seconds: float = SLOW) -> "Embedded":
        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log}"
            return self.status("/readyz") == 200

        until(answers, seconds, lambda: f"it is not ready:\n{self.log}")
        return self

    def status(self, path: str) -> int | None:
        """Of a GET without a key; None while nobody listens."""
        try:
            return httpx.get(self.url + path, timeout=10, verify=PLAIN).status_code
        except httpx.TransportError:
            return None

    @property
    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def ended(self, seconds: float = SLOW) -> int:
        """The exit status, once it has ended by itself."""
        assert self.process is not None
        return self.process.wait(seconds)

    def terminate(self, seconds: float = SLOW) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """However it stands; then nothing of it runs."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.terminate(60)
            except subprocess.TimeoutExpired:
                self.kill()
        until(lambda: not self.servers(), 60, lambda: f"PostgreSQL {self.servers()} is left behind")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()[-4000:]

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {API_KEY}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=SLOW, verify=PLAIN)

    def servers(self) -> list[int]:
        """PostgreSQL's processes on this folder."""
        return list(Folder(self.folder / "data" / "postgres")._servers())

    @property
    def dsn(self) -> str:
        """The superuser's, from what stands in the folder."""
        postgres = self.folder / "data" / "postgres"
        port = (postgres / "cluster" / "postmaster.pid").read_text().splitlines()[3]
        return f"postgresql://postgres:{(postgres / 'password').read_text()}@127.0.0.1:{port}/dunnock"

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        async def fetch() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(self.dsn)
            try:
                return [dict(row) for row in await connection.fetch(statement, *values)]
            finally:
                await connection.close()

        return run(fetch())


@contextmanager
def embedded(folder: Path, launcher: list[str] | None = None, **settings: str) -> Iterator[Embedded]:
    """A running one, ready, and ended at the end."""
    process = Embedded(folder, settings, launcher)
    try:
        yield process.start().ready()
    finally:
        process.end()


def until(holds: Callable[[], T], seconds: float, otherwise: Callable[[], str]) -> T:
    """What `holds` answers once it is true."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)
    return answer
