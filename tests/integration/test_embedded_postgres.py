"""The database inside the process: whoever starts it, wherever its folder is, however the process ends."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from shared.db import embedded, programs
from shared.db.embedded import EmbeddedPostgres
from shared.db.folder import Folder, FolderInUse
from shared.db.programs import TETHER, Programs
from shared.db.tether import NOBODY

ROOT = Path(__file__).parents[2]
as_root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

KEEP_RUNNING = """
import asyncio, sys
from pathlib import Path
from shared.db.embedded import EmbeddedPostgres

async def main():
    print(await EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True)
    await asyncio.sleep(120)

asyncio.run(main())
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can reach, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def ask(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def keeps_a_row_over_a_restart(folder: Path) -> bool:
    answer: object = None
    for statement in ("CREATE TABLE kept AS SELECT 1", "SELECT count(*) FROM kept"):
        server = EmbeddedPostgres(folder, durable=False)  # ended in order, so the disk need not be waited for
        answer = await ask(await server.start(), statement)
        await server.stop()
    return answer == 1


def servers_in(folder: Path) -> list[int]:
    return list(Folder(folder)._servers())


async def none_left_in(folder: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while servers_in(folder) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return not servers_in(folder)


async def test_a_second_start_on_the_folder_continues_where_the_first_one_stopped(tmp_path: Path) -> None:
    assert await keeps_a_row_over_a_restart(tmp_path / "db")
    assert servers_in(tmp_path / "db") == []


async def test_the_database_is_dunnock_durable_on_loopback_and_closed_by_a_password(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "db")
    dsn = await server.start()
    password = (tmp_path / "db" / "password").read_text()
    try:
        assert await ask(dsn, "SELECT current_database()") == "dunnock"
        assert await ask(dsn, "SHOW fsync") == "on"
        assert await ask(dsn, "SHOW listen_addresses") == "127.0.0.1"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(dsn.replace(password, "guess"), "SELECT 1")
    finally:
        await server.stop()
    assert stat.S_IMODE((tmp_path / "db" / "password").stat().st_mode) == 0o600


async def test_a_folder_in_use_is_refused_and_the_error_names_the_process(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "db")
    await server.start()
    try:
        with pytest.raises(FolderInUse, match=f"live process {os.getpid()}"):
            await EmbeddedPostgres(tmp_path / "db").start()
    finally:
        await server.stop()


async def test_a_port_that_somebody_else_took_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1], embedded.free_port()])
        monkeypatch.setattr(embedded, "free_port", lambda: next(ports))
        server = EmbeddedPostgres(tmp_path / "db")
        try:
            assert await ask(await server.start(), "SELECT 1") == 1
        finally:
            await server.stop()


async def test_a_killed_process_leaves_no_server_and_its_rows_are_there_at_the_next_start(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KEEP_RUNNING, str(tmp_path / "db")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        await ask(process.stdout.readline().strip(), "CREATE TABLE kept AS SELECT 42 AS answer")
        assert servers_in(tmp_path / "db") != []
        process.send_signal(signal.SIGKILL)
    assert await none_left_in(tmp_path / "db", seconds=10)

    server = EmbeddedPostgres(tmp_path / "db")
    try:
        assert await ask(await server.start(), "SELECT answer FROM kept") == 42
    finally:
        await server.stop()


async def test_a_start_right_after_the_kill_does_not_wait_for_anybody_to_clean_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KEEP_RUNNING, str(tmp_path / "db")]
    for _ in range(2):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert await ask(process.stdout.readline().strip(), "SELECT 1") == 1
            process.send_signal(signal.SIGKILL)
    assert await none_left_in(tmp_path / "db", seconds=10)


async def test_a_server_that_was_left_behind_is_ended_before_the_next_one_starts(tmp_path: Path) -> None:
    assert await keeps_a_row_over_a_restart(tmp_path / "db")
    first = EmbeddedPostgres(tmp_path / "db")
    await first.start()
    first._folder.release()  # as if its process had gone and the tie had failed
    assert first._server is not None
    left_behind = first._server.pid
    assert left_behind in servers_in(tmp_path / "db")
    second = EmbeddedPostgres(tmp_path / "db")
    try:
        dsn = await second.start()
        assert left_behind not in servers_in(tmp_path / "db")
        assert await ask(dsn, "SELECT count(*) FROM kept") == 1
    finally:
        await second.stop()
        await first.stop()


@as_root_only
@pytest.mark.parametrize("identity", ["nobody", "nobody-searching", "namespace"])
async def test_root_runs_it_as_somebody_else(identity: str, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "IDENTITIES_OF_ROOT", {identity: programs.IDENTITIES_OF_ROOT[identity]})
    if identity != "nobody":
        open_folder.chmod(0o700)
    probe = Programs(open_folder)
    probe.identity = identity
    if not await probe.succeeds("initdb", "--show", "-D", "nowhere"):
        pytest.skip(f"this machine does not allow it: {probe.last_words()}")
    assert await keeps_a_row_over_a_restart(open_folder / "db")


@as_root_only
async def test_root_may_keep_it_in_a_folder_closed_to_everybody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert await keeps_a_row_over_a_restart(tmp_path / "deep" / "db")


@as_root_only
async def test_a_normal_user_runs_it_as_himself(open_folder: Path) -> None:
    os.chown(open_folder, NOBODY, -1)
    tied = [
        sys.executable,
        "-I",
        "-S",
        str(TETHER),
        str(os.getpid()),
        str(int(signal.SIGTERM)),
        "nobody-searching",
        str(ROOT),
    ]
    command = [*tied, sys.executable, "-c", KEEP_RUNNING, str(open_folder / "db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert await ask(process.stdout.readline().strip(), "SELECT 1") == 1
        assert {os.stat(f"/proc/{pid}").st_uid for pid in servers_in(open_folder / "db")} == {NOBODY}
        process.send_signal(signal.SIGTERM)
    assert await none_left_in(open_folder / "db", seconds=10)


@as_root_only
def test_a_folder_of_another_user_is_refused_with_what_to_do(open_folder: Path) -> None:
    (open_folder / "db").mkdir(mode=0o700)
    tied = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), "15", "nobody-searching", str(ROOT)]
    command = [*tied, sys.executable, "-c", KEEP_RUNNING, str(open_folder / "db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "belongs to another user: start as that one, or set DUNNOCK_DATA_DIR" in done.stderr


def test_nothing_is_started_for_a_parent_that_has_already_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", str(TETHER), "1", "15", "same", str(tmp_path), "/usr/bin/touch", "started"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "has ended" in done.stderr
    assert not (tmp_path / "started").exists()
