"""What stops a process at start: said by its name, in words, without a secret, with a status that a supervisor sees."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.warm import ROOT

REQUIRED = {
    "DUNNOCK_DATABASE_URL": "postgresql://app:hunter2@127.0.0.1:1/dunnock",  # nobody answers there
    "DUNNOCK_AMQP_URL": "amqp://app:hunter2@127.0.0.1:1/",
    "DUNNOCK_PUBLIC_URL": "https://pay.example.com",
    "DUNNOCK_SECRET_KEY": "hunter2-hunter2-hunter2",
    "DUNNOCK_DOCUMENTS_URL": "file:///nowhere",
}
ALL = set(REQUIRED)


def said_by(module: str, status: int, **settings: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DUNNOCK_", "PORT"))}
    command = [sys.executable, "-m", module]
    done = subprocess.run(
        command, cwd=ROOT, env=kept | settings, capture_output=True, text=True, timeout=240, check=False
    )
    assert (status, "") == (done.returncode, done.stdout), done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("services.scheduler", ALL),
        ("services.dispatcher", ALL),
        ("services.payments", ALL - {"DUNNOCK_AMQP_URL"}),
        ("services.migrate", {"DUNNOCK_DATABASE_URL"}),
        ("services.parked", {"DUNNOCK_AMQP_URL"}),
    ],
)
def test_every_setting_that_a_process_lacks_is_named(module: str, names: set[str]) -> None:
    said = said_by(module, 2)
    assert names == {line.split(":")[0].strip() for line in said.splitlines() if "is missing; expected: " in line}


@pytest.mark.parametrize("module", ["services", "services.scheduler", "services.dispatcher", "services.payments"])
def test_what_outgoing_calls_may_reach_is_checked_by_every_process(module: str) -> None:
    said = said_by(module, 2, **REQUIRED, DUNNOCK_OUTGOING_ALLOW="erp.internal, https://u:hunter2@erp")
    assert ["DUNNOCK_OUTGOING_ALLOW"] == [line.split(":")[0].strip() for line in said.splitlines()[1:]]


def test_a_migration_says_when_nobody_answers() -> None:
    said = said_by("services.migrate", 1, DUNNOCK_DATABASE_URL=REQUIRED["DUNNOCK_DATABASE_URL"])
    assert "PostgreSQL does not answer at the address of DUNNOCK_DATABASE_URL" in said


def test_a_folder_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    taken = tmp_path / "data"
    taken.write_text("a file")
    said = said_by("services", 1, PORT="0", DUNNOCK_DATA_DIR=str(taken))
    assert f"Dunnock cannot start: the data cannot be kept in {taken} (File exists): set DUNNOCK_DATA_DIR" in said
