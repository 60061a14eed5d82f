"""Installs locked dependencies into .venv: `python3 deploy/setup.py requirements.lock [requirements-dev.lock ...]`.

What must stay true: standard library only; only what a lock names, checked by its hashes; root is not needed, nothing
outside .venv is written; what is being done is visible; a lock that is already installed costs nothing.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = str(VENV / "bin" / "python")
AT_ONCE = 8
PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


def main(locks: list[Path]) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  # said before anything newer is used
        sys.exit(f"Dunnock needs Python 3.11 or newer, this is {sys.version.split()[0]}: make PYTHON=python3.12 ...")
    make_environment()
    for lock in locks:
        stamp = VENV / f".installed-{lock.stem}"
        fingerprint = hashlib.sha256(lock.read_bytes()).hexdigest()
        if not stamp.exists() or stamp.read_text() != fingerprint:
            install(lock)
            stamp.write_text(fingerprint)


def make_environment() -> None:
    probe = [PYTHON, "-c", "import pip"]
    if Path(PYTHON).exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        return
    say(f"making .venv with Python {sys.version.split()[0]}")
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(f"python3 -m venv failed (on Debian and Ubuntu: apt install python3-venv)\n{made.stdout}{made.stderr}")


def install(lock: Path) -> None:
    present = installed()
    wanted = [entry for entry in entries(lock.read_text()) if named(entry) not in present]
    started = time.monotonic()
    for first in range(0, len(wanted), AT_ONCE):
        some = wanted[first : first + AT_ONCE]
        names = ", ".join(named(entry)[0] for entry in some)
        say(f"{lock.name}: {first + len(some):3} of {len(wanted)}  {names}")
        pip_install(some)
    if wanted:
        compile_all()
    say(f"{lock.name}: {len(wanted)} packages in {time.monotonic() - started:.0f} s")


def entries(lock: str) -> list[str]:
    """A lock in parts of one package each, its hashes included; less what only Windows needs."""
    parts: list[str] = []
    for line in lock.splitlines():
        if PACKAGE.match(line):
            parts.append(line)
        elif line.strip().startswith("--hash"):
            parts[-1] += f"\n{line}"
    return [part for part in parts if "sys_platform == 'win32'" not in part]


def named(entry: str) -> tuple[str, str]:
    found = PACKAGE.match(entry)
    assert found is not None
    return canonical(found[1]), found[2]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> set[tuple[str, str]]:
    folders = VENV.glob("lib/python*/site-packages/*.dist-info")
    return {(canonical(name), version) for name, _, version in (folder.stem.partition("-") for folder in folders)}


def pip_install(some: list[str]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(some) + "\n")
        file.flush()
        options = ["--require-hashes", "--no-deps", "--quiet", "--quiet", "--disable-pip-version-check", "--no-input"]
        options.append("--no-compile")  # see compile_all
        environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
        done = subprocess.run([PYTHON, "-m", "pip", "install", *options, "-r", file.name], env=environment, check=False)
    if done.returncode != 0:
        sys.exit("pip could not install these, and says above why; the same command goes on where it stopped")


def compile_all() -> None:
    """On all processors, where pip would take one; what was compiled before costs nothing. A package may well hold a file that
    this Python cannot read, and does not need."""
    folders = [*VENV.glob("lib/python*/site-packages"), ROOT / "services", ROOT / "shared"]
    subprocess.run([PYTHON, "-m", "compileall", "-qq", "-j", "0", *folders], check=False)


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main([ROOT / name for name in sys.argv[1:]])
