"""Where the programs of RabbitMQ are: installed on the machine, else Debian's packages unpacked under build/."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.debian import DownloadFailed, unpacked_packages

UNPACKED = Path(__file__).parents[2] / "build" / "rabbitmq"


@dataclass(frozen=True, slots=True)
class Installation:
    server: Path  # the plain script, not Debian's wrapper that changes the user
    erlang: Path  # the folder with `erl`
    epmd: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def installed() -> Installation | None:
    erl = shutil.which("erl")
    epmd = shutil.which("epmd")
    servers = [Path("/usr/lib/rabbitmq/bin/rabbitmq-server"), *Path("/opt").glob("rabbitmq*/sbin/rabbitmq-server")]
    for server in servers:
        if erl and epmd and server.exists():
            return Installation(server, Path(erl).parent, Path(epmd))
    return None


def downloaded() -> Installation:
    """Raises DownloadFailed."""
    root = unpacked_packages(UNPACKED, "rabbitmq-server")
    erlang = root / "usr" / "lib" / "erlang"
    epmd = next(erlang.glob("erts-*/bin/epmd"), None)
    if epmd is None:
        raise DownloadFailed(f"the packages unpacked in {root} hold no Erlang")
    libraries = [str(folder) for place in ("lib", "usr/lib") for folder in (root / place).glob("*-linux-*")]
    environment = {"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {}
    write_erl(erlang, epmd.parent)
    return Installation(root / "usr/lib/rabbitmq/bin/rabbitmq-server", erlang / "ours", epmd, environment)


def write_erl(erlang: Path, programs: Path) -> None:
    """The packaged `erl` knows only /usr/lib/erlang."""
    script = erlang / "ours" / "erl"
    script.parent.mkdir(exist_ok=True)
    settings = f"EMU=beam PROGNAME=erl ROOTDIR='{erlang}' BINDIR='{programs}'"
    script.write_text(f'#!/bin/sh\nexport {settings}\nexec "{programs}/erlexec" ${{1+"$@"}}\n')
    script.chmod(0o755)
