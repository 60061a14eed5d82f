"""A RabbitMQ for tests: the one that DUNNOCK_TEST_AMQP_URL names, else a private one.

DUNNOCK_TEST_RABBITMQ = installed | download | docker picks the way to a private one; else they are tried in this order.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.broker import Broker, PrivateBroker
from tests.servers.container import container_broker, docker_works
from tests.servers.debian import DownloadFailed
from tests.servers.installation import Installation, downloaded, installed


@contextmanager
def rabbitmq(folder: Path) -> Iterator[Broker]:
    if given := os.environ.get("DUNNOCK_TEST_AMQP_URL"):
        yield Broker(given)
        return
    if installation := find_installation():
        server = PrivateBroker(folder / "rabbitmq", installation)
        try:
            server.start()
            yield server.broker
        finally:
            server.kill()  # nobody will come back for what is in it
            server.stop()
        return
    with container_broker() as broker:
        yield broker


def find_installation() -> Installation | None:
    """None: there is only Docker. Fails the run with what to do when there is nothing at all."""
    way = os.environ.get("DUNNOCK_TEST_RABBITMQ", "")
    if way in ("", "installed") and (found := installed()):
        return found
    reason = "rabbitmq-server is not installed"
    if way in ("", "download"):
        try:
            return downloaded()
        except DownloadFailed as failure:
            reason = f"{reason}; its packages cannot be downloaded: {failure}"
    if way in ("", "docker") and docker_works():
        return None
    sys.exit(
        f"no RabbitMQ for the tests: {reason}; there is no Docker engine either. Install rabbitmq-server, or set "
        "DUNNOCK_TEST_AMQP_URL=amqp://user:password@host:5672/"
    )


def announce() -> None:
    """Downloads what has to be downloaded where its progress can be seen, before pytest captures what is printed."""
    if url := os.environ.get("DUNNOCK_TEST_AMQP_URL"):
        place = urlsplit(url).hostname
    else:
        found = find_installation()
        place = str(found.server) if found else "a container"
    print(f"RabbitMQ for the tests: {place}", flush=True)


if __name__ == "__main__":
    announce()
