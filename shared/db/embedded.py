"""PostgreSQL as a part of the process: a wheel's programs, the data in one folder, no installation, no root needed.

What must stay true: what is committed survives SIGKILL (fsync stays on unless a test says otherwise); a server never
outlives its process, and a second start on the folder continues where the first one was cut; it never runs as root,
listens on loopback only and asks for the password that stands in its folder alone.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from shared.db.folder import Folder
from shared.db.programs import IDENTITIES_OF_ROOT, Programs, ended

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
READY_SECONDS, STOP_SECONDS = 120.0, 20.0


class DatabaseDown(Exception):
    """The embedded server could not be started."""


class EmbeddedPostgres:
    def __init__(self, data_dir: Path, *, durable: bool = True, settings: Mapping[str, str] | None = None) -> None:
        self._folder = Folder(data_dir)
        self._durable = durable
        self._settings = SETTINGS | ({} if durable else NOT_DURABLE) | dict(settings or {})
        self._programs = Programs(self._folder.root)
        self._server: subprocess.Popen[bytes] | None = None

    async def start(self) -> str:
        """The address of the database `dunnock`. Raises FolderInUse or DatabaseDown."""
        self._folder.hold()
        try:
            await self._folder.end_leftovers()
            await self._choose_identity()
            await self._make_cluster()
            return await self._make_database(await self._serve())
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Ends the server in order and lets the folder go; harmless when nothing runs."""
        if self._server is not None:
            for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                self._server.send_signal(how)
                if await ended(self._server, STOP_SECONDS):
                    break
            self._server = None
        self._folder.release()

    async def _choose_identity(self) -> None:
        if os.geteuid() != 0:
            return
        for self._programs.identity, owner in IDENTITIES_OF_ROOT.items():
            self._folder.give_to(owner)
            if await self._programs.succeeds("initdb", "--show", "-D", str(self._folder.cluster)):
                return
        raise DatabaseDown(
            "PostgreSQL does not run as root, and no other user can be taken on here: start as a normal user "
            f"({self._programs.last_words()})"
        )

    async def _make_cluster(self) -> None:
        if self._folder.cluster.exists():
            return
        unfinished = self._folder.root / "cluster.new"  # renamed when whole: a kill in between leaves no half cluster
        shutil.rmtree(unfinished, ignore_errors=True)
        password = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(self._folder.password_file())]
        options = ["-E", "UTF8", "--locale=C.UTF-8", *([] if self._durable else ["-N"])]
        if os.geteuid() == 0:
            self._folder.give_to(IDENTITIES_OF_ROOT[self._programs.identity])
        if not await self._programs.succeeds("initdb", "-D", str(unfinished), *password, *options):
            raise DatabaseDown(f"initdb in {self._folder.root} failed: {self._programs.last_words()}")
        unfinished.rename(self._folder.cluster)

    async def _serve(self) -> int:
        for _ in range(5):
            port = free_port()
            pairs = {**self._settings, "port": str(port)}.items()
            settings = [word for name, value in pairs for word in ("-c", f"{name}={value}")]
            self._server = self._programs.launch("postgres", "-D", str(self._folder.cluster), *settings)
            if await self._ready(self._server):
                return port
            if "could not bind" not in self._programs.last_words():  # somebody was faster on that port: the next one
                break
        raise DatabaseDown(f"PostgreSQL in {self._folder.root} did not start: {self._programs.last_words()}")

    async def _ready(self, server: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            if self._folder.server_status() == "ready":
                return True
            await asyncio.sleep(0.01)
        return False

    async def _make_database(self, port: int) -> str:
        password = self._folder.password_file().read_text()
        address = f"postgresql://postgres:{password}@127.0.0.1:{port}"
        connection = await asyncpg.connect(f"{address}/postgres")
        try:
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = 'dunnock'"):
                await _make_quick(connection, password)
                await connection.execute("CREATE DATABASE dunnock")
        finally:
            await connection.close()
        return f"{address}/dunnock"


async def _make_quick(connection: asyncpg.Connection, password: str) -> None:
    """A chosen password is hashed thousands of times, at each connect, so that nobody finds it by trying; ours is random."""
    if connection.get_server_version().major >= 16:
        await connection.execute("SET scram_iterations = 1")
        await connection.execute(f"ALTER ROLE postgres PASSWORD '{password}'")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
