"""One RabbitMQ node of our own.

What must stay true: own ports, own node name, own folder, own epmd; nothing of it outlives the process that started it,
and nothing outside the folder is written. Ports stay the same over stop and start, so that clients can come back.
"""

import base64
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aio_pika

from shared.db.embedded import free_port
from shared.db.programs import TETHER
from shared.messages import PARKED, QUEUES
from tests.servers.installation import Installation
from tests.servers.postgres import run

READY_SECONDS = 240.0  # five on an idle machine
QUIET = "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"
LIMITS = """loopback_users.guest = true
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.absolute = 1GB
log.console = false
log.file.level = warning
management_agent.disable_metrics_collector = true
"""


@dataclass(frozen=True, slots=True)
class Broker:
    url: str  # of the virtual host "/"
    management_port: int | None = None  # None: a broker of somebody else's, where no virtual host can be made

    @contextmanager
    def fresh_virtual_host(self) -> Iterator[str]:
        """The address of a world without queues; of a given broker the one it names, where ours are dropped before."""
        if self.management_port is None:
            run(drop_queues(self.url))
            yield self.url
            return
        name = f"t{secrets.token_hex(6)}"
        self._manage("PUT", f"vhosts/{name}")
        try:
            yield f"{self.url.rpartition('/')[0]}/{name}"
        finally:
            self._manage("DELETE", f"vhosts/{name}")

    def _manage(self, method: str, path: str) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{self.management_port}/api/{path}", method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=20):
            pass


class PrivateBroker:
    def __init__(self, folder: Path, installation: Installation, *, management: bool = True) -> None:
        self._folder = folder
        self._installation = installation
        self._port, self._epmd_port, self._node_port, self._management_port = (free_port() for _ in range(4))
        self._plugins = "[rabbitmq_management]." if management else "[]."
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None
        self.broker = Broker(
            f"amqp://guest:guest@127.0.0.1:{self._port}/", self._management_port if management else None
        )

    @property
    def pid(self) -> int:
        assert self._node is not None, "the broker does not run"
        return self._node.pid

    def start(self) -> None:
        self._write_settings()
        if self._epmd is None:
            port = str(self._epmd_port)
            self._epmd = self._launch(str(self._installation.epmd), "-port", port, "-address", "127.0.0.1")
        self._node = self._launch(str(self._installation.server))
        deadline = time.monotonic() + READY_SECONDS
        while not speaks_amqp(self._port):
            if self._node.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ in {self._folder} did not start: {self._last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        self._end_node(signal.SIGTERM)
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None

    def kill(self) -> None:
        """As a power cut: what was confirmed must be there after the next start()."""
        self._end_node(signal.SIGKILL)

    def wipe(self) -> None:
        """Forgets every queue and message; only while it is stopped."""
        shutil.rmtree(self._folder / "mnesia")

    def _end_node(self, how: signal.Signals) -> None:
        if self._node is None:
            return
        self._node.send_signal(how)
        try:
            self._node.wait(20)
        except subprocess.TimeoutExpired:
            self._node.kill()
            self._node.wait()
        self._node = None

    def _write_settings(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        management = f"management.tcp.port = {self._management_port}\nmanagement.tcp.ip = 127.0.0.1\n"
        (self._folder / "rabbitmq.conf").write_text(LIMITS + (management if "management" in self._plugins else ""))
        (self._folder / "enabled_plugins").write_text(self._plugins)
        cookie = self._folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text("PRIVATE" + os.urandom(8).hex().upper())
            cookie.chmod(0o400)

    def _launch(self, *command: str) -> subprocess.Popen[bytes]:
        tied = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(signal.SIGKILL)), "same"]
        with (self._folder / "output").open("ab") as output:
            return subprocess.Popen(
                [*tied, str(self._folder), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(),
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": f"{self._installation.erlang}:{os.environ.get('PATH', os.defpath)}",
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder),
            "detached": "true",  # the script becomes the node, else the tie would hold only the script
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"t{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": str(folder / "log" / "node.log"),
            "RABBITMQ_PID_FILE": str(folder / "rabbit.pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": QUIET,
            **self._installation.environment,
        }

    def _last_words(self) -> str:
        files = [self._folder / "output", self._folder / "log" / "node.log"]
        return " / ".join(file.read_text(errors="replace")[-600:] for file in files if file.exists())


async def drop_queues(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        for queue in (*QUEUES, PARKED):
            await channel.queue_delete(queue)


def speaks_amqp(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(connection.recv(1))
    except OSError:
        return False
