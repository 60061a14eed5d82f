"""Debian packages and what they need, unpacked into a folder: the system is not touched, no root is needed.

What must stay true: apt works on lists and caches of its own; a folder is used only when it was unpacked to the end.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.workspace import locked


class DownloadFailed(Exception):
    """The packages cannot be had here."""


def unpacked_packages(folder: Path, package: str) -> Path:
    """The root of the unpacked tree. Raises DownloadFailed."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DownloadFailed("this is no Debian: apt-get or dpkg-deb is missing")
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    with locked(folder / "lock"):
        if not root.exists():
            print(f"downloading {package} and what it needs into {folder} (once)", flush=True)
            download(folder, package)
            unpack(folder, root)
    return root


def download(folder: Path, package: str) -> None:
    for place in ("state/lists/partial", "cache/archives/partial"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    status = folder / "status"
    status.write_text(without_erlang(Path("/var/lib/dpkg/status").read_text()))
    options = {
        "Dir::State": folder / "state",
        "Dir::State::status": status,
        "Dir::Cache": folder / "cache",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    call("apt-get", *words, "update")
    call("apt-get", *words, "--yes", "--download-only", "install", package)


def without_erlang(status: str) -> str:
    """The list of installed packages less those that must come along: half an Erlang on the system is no help."""
    ours = ("Package: erlang", "Package: rabbitmq-server")
    return "\n\n".join(entry for entry in status.split("\n\n") if not entry.startswith(ours))


def unpack(folder: Path, root: Path) -> None:
    unfinished = folder / "root.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    for archive in sorted((folder / "cache" / "archives").glob("*.deb")):
        call("dpkg-deb", "-x", str(archive), str(unfinished))
    if not unfinished.exists():
        raise DownloadFailed(f"apt-get downloaded nothing into {folder}")
    unfinished.rename(root)
    shutil.rmtree(folder / "cache")
    shutil.rmtree(folder / "state")


def call(*command: str) -> None:
    """Shows what the program says while it works."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    said: list[str] = []
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        for line in program.stdout or ():
            print(f"  {line.rstrip()}", flush=True)
            said.append(line)
    if program.returncode != 0:
        raise DownloadFailed(f"{' '.join(command[:1])}: {''.join(said[-6:]).strip()}")
