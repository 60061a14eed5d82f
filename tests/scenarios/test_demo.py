"""`make demo` shows what the README says it shows, and leaves nothing behind, however it ends."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers.embedded import SLOW, until
from tests.servers.warm import ROOT

DEMO = [sys.executable, "-m", "services.sandbox.demo"]
QUOTED = re.compile(r"<!-- demo -->\n```text\n(.*?)```\n<!-- /demo -->", re.DOTALL)


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(DEMO, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running:
        yield running
        running.kill()


@pytest.mark.timeout(600)
def test_the_readme_quotes_what_the_demo_prints(demo: subprocess.Popen[str]) -> None:
    printed, said = demo.communicate(timeout=500)
    assert demo.returncode == 0, f"{printed}\n{said}"

    quoted = QUOTED.search((ROOT / "README.md").read_text())
    assert quoted, "README.md has no transcript between <!-- demo --> and <!-- /demo -->"
    assert printed == quoted[1]


@pytest.mark.parametrize(("sent", "left"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
@pytest.mark.timeout(300)
def test_a_demo_that_is_stopped_leaves_no_process_behind(
    demo: subprocess.Popen[str], sent: signal.Signals, left: int
) -> None:
    def postgres() -> list[psutil.Process]:
        below = psutil.Process(demo.pid).children(recursive=True)
        return below if any(name_of(one) == "postgres" for one in below) else []

    started = until(postgres, SLOW, lambda: "no PostgreSQL was started")
    folder = Path(started[0].environ()["DUNNOCK_DATA_DIR"])
    demo.send_signal(sent)
    printed, said = demo.communicate(timeout=SLOW)

    assert demo.returncode == left, f"{printed}\n{said}"
    until(lambda: not any(one.is_running() for one in started), SLOW, lambda: f"left behind: {started}")
    assert folder.exists() == (sent is signal.SIGKILL)
    for rest in sorted(folder.rglob("*"), reverse=True) if folder.exists() else []:
        rest.rmdir() if rest.is_dir() else rest.unlink()


def name_of(process: psutil.Process) -> str:
    """Nothing, if it has ended meanwhile."""
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""
