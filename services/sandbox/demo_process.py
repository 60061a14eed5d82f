"""The demo's own `python -m services`: a free port, a folder that is removed afterwards, the sandbox for a world.

What must stay true: nothing of it outlives the demo, however that ends; no DUNNOCK_* of the caller reaches it, so that
a demo never sends through real providers.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from shared.db.embedded import free_port
from shared.db.programs import TETHER

ROOT = Path(__file__).parents[2]
READY_SECONDS, END_SECONDS = 240.0, 60.0
API_KEY = "dk_demo"


class DemoFailed(Exception):
    """What was to be shown did not happen."""


@contextmanager
def dunnock() -> Iterator[httpx.Client]:
    """A client of a running system."""
    (ROOT / "build").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="demo-", dir=ROOT / "build"))
    port = free_port()
    process = _start(folder, port)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {API_KEY}"}, timeout=READY_SECONDS
        ) as client:
            _wait(process, client, folder / "log")
            yield client
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("DUNNOCK_")}
    settings = {"DUNNOCK_DATA_DIR": str(folder), "DUNNOCK_API_KEY": API_KEY, "PORT": str(port)}
    tied = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(signal.SIGTERM)), "same", str(ROOT)]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*tied, sys.executable, "-m", "services"],
            env={**own, **settings, "DUNNOCK_LOG_LEVEL": "warning"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the demo, which then ends it in order
        )


def _wait(process: subprocess.Popen[bytes], client: httpx.Client, log: Path) -> None:
    began = time.monotonic()
    if not sys.stderr.isatty():
        print("starting PostgreSQL, the three services and the sandbox ...", file=sys.stderr, flush=True)
    while not _answers(client):
        took = time.monotonic() - began
        if process.poll() is not None or took > READY_SECONDS:
            raise DemoFailed(f"python -m services did not become ready. The end of what it said:\n{_end_of(log)}")
        _progress(f"starting PostgreSQL, the three services and the sandbox ... {took:.0f} s")
        time.sleep(0.2)
    _progress("")


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz", timeout=10).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _progress(text: str) -> None:
    """One line that is written over, and nothing where nobody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
