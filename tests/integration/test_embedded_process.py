"""`python -m services`: how it starts, who may ask it what, how it ends and goes on."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import psutil
import pytest

from shared.db.programs import TETHER
from shared.db.tether import NOBODY
from tests.integration.embedded_checks import at_rest, invoice, messages
from tests.servers.embedded import PYTHON, SLOW, Embedded, embedded
from tests.servers.warm import ROOT

READY_WITHIN, ENDED_WITHIN = 60, 30


@pytest.fixture(scope="module")
def process(run_folder: Path) -> Iterator[Embedded]:
    with embedded(run_folder / "process", PYTHON) as running:
        yield running


def test_it_is_ready_on_an_empty_folder_for_less_than_a_minute_of_work(process: Embedded) -> None:
    assert process.process is not None
    family = psutil.Process(process.process.pid)
    spent = [one.cpu_times() for one in (family, *family.children(recursive=True))]
    # Of one processor, so that the verdict is the same on a busy machine.
    assert sum(one.user + one.system + one.children_user + one.children_system for one in spent) < READY_WITHIN / 2


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/sandbox", "/sandbox/messages", "/sandbox/clock"])
def test_looking_after_it_and_playing_with_it_needs_no_key(process: Embedded, path: str) -> None:
    assert httpx.get(process.url + path).status_code == 200


@pytest.mark.parametrize("path", ["/v1/invoices", "/v1/payments", "/v1/channels"])
def test_everything_else_needs_one(process: Embedded, path: str) -> None:
    refused = httpx.get(process.url + path)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")


def test_it_has_a_double_for_every_channel(process: Embedded) -> None:
    notices = httpx.get(process.url + "/readyz").json()["notices"]
    assert [name for name in notices if name.startswith("dispatcher.channel.")] == []


def test_it_listens_on_loopback_alone(process: Embedded) -> None:
    assert process.process is not None
    family = psutil.Process(process.process.pid)
    found = [each for one in (family, *family.children(recursive=True)) for each in one.net_connections("inet")]
    assert {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_a_second_one_on_the_same_folder_says_who_has_it(process: Embedded, run_folder: Path) -> None:
    second = Embedded(run_folder / "second", {"DUNNOCK_DATA_DIR": str(process.folder / "data")}).start()
    assert process.process is not None
    assert second.ended() == 1
    assert f"is used by the live process {process.process.pid}" in second.log
    assert "Traceback" not in second.log
    assert process.status("/readyz") == 200


def test_a_port_in_use_is_told_before_anything_is_started(process: Embedded, run_folder: Path) -> None:
    second = Embedded(run_folder / "other", port=process.port).start()
    assert second.ended() == 1
    assert f"cannot listen on 127.0.0.1:{process.port} (Address already in use)" in second.log
    assert "Traceback" not in second.log
    assert not (second.folder / "data").exists()


def test_after_a_termination_the_next_one_continues_on_the_folder(process: Embedded) -> None:
    with process.client() as client:
        day = datetime.fromisoformat(client.get("/sandbox/clock").json()["now"]).date()
        assert client.post("/v1/invoices", json=invoice("KEPT", day)).status_code == 201
        at_rest(client)
        client.post("/sandbox/clock", json={"advance": "P11D"})
        before = messages(client), client.get("/sandbox/clock").json()["now"]

    began = time.monotonic()
    assert process.terminate() == 0
    assert time.monotonic() - began < ENDED_WITHIN
    assert process.servers() == []

    with process.start().ready().client() as client:
        assert [one["step"] for one in before[0]] == ["deliver-invoice", "upcoming"]
        assert messages(client) == before[0]
        assert client.get("/sandbox/clock").json()["now"] > before[1]
        assert client.get("/v1/invoices/KEPT").json()["status"] == "open"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_normal_user_runs_it() -> None:
    parent, ended_by = str(os.getpid()), str(int(signal.SIGTERM))
    tied = [sys.executable, "-I", "-S", str(TETHER), parent, ended_by, "nobody-searching", str(ROOT), sys.executable]
    probe = subprocess.run([*tied, "-c", ""], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"this machine does not allow it: {probe.stderr}")
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, -1)
        process = Embedded(Path(name), launcher=tied).start()
        try:
            process.ready(SLOW)
            assert process.process is not None
            family = psutil.Process(process.process.pid)
            assert {one.uids().effective for one in (family, *family.children(recursive=True))} == {NOBODY}
            assert process.terminate() == 0
        finally:
            process.end()
