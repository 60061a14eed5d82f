"""RabbitMQ from its image, where there is only a Docker engine; it ends with the process that started it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from shared.db.embedded import free_port
from shared.db.programs import TETHER
from tests.servers.broker import Broker, speaks_amqp

IMAGE = "rabbitmq:4-management-alpine"
READY_SECONDS = 300.0  # the image may have to be pulled


def docker_works() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0


@contextmanager
def container_broker() -> Iterator[Broker]:
    port, management = free_port(), free_port()
    published = ["-p", f"127.0.0.1:{port}:5672", "-p", f"127.0.0.1:{management}:15672"]
    tied = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), str(int(signal.SIGTERM)), "same", "/"]
    command = [*tied, shutil.which("docker") or "docker", "run", "--rm", "--init", *published, IMAGE]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as client:
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not speaks_amqp(port):
                if client.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the container of {IMAGE} did not start")
                time.sleep(0.2)
            yield Broker(f"amqp://guest:guest@127.0.0.1:{port}/", management)
        finally:
            client.terminate()
