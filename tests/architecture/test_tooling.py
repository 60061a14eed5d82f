"""The commands and the locked dependencies, as far as they can be checked without running them all."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-bench.lock"]
COMMANDS = ["setup", "demo", "run", "test", "check", "bench", "chaos", "up", "help"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(lock: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
    return {canonical(name): version for name, version in found}


def asked_for(requirements: list[str]) -> set[str]:
    return {canonical(re.split(r"[\[><=;~! ]", requirement)[0]) for requirement in requirements}


@pytest.mark.parametrize(
    ("lock", "group"),
    [("requirements.lock", None), ("requirements-dev.lock", "dev"), ("requirements-bench.lock", "bench")],
)
def test_a_lock_holds_everything_that_is_asked_for(lock: str, group: str | None) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = asked_for(project["project"]["dependencies"])
    wanted |= asked_for(project["dependency-groups"][group]) if group else set()
    assert wanted - locked(lock).keys() == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_its_hash_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    parts = re.split(r"^(?=[A-Za-z0-9._-]+==)", text, flags=re.MULTILINE)[1:]
    assert [part.split()[0] for part in parts if "--hash=sha256:" not in part] == []
    assert re.findall(r"://|^-|file:", text, re.MULTILINE) == []


def test_the_locks_agree_on_every_version() -> None:
    runtime = locked("requirements.lock")
    for lock in LOCKS[1:]:
        other = locked(lock)
        assert {name: other.get(name) for name in runtime} == runtime


@pytest.mark.parametrize("command", COMMANDS)
def test_make_help_lists_the_command_with_a_line(command: str) -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^  make {command} +\S.{{10,}}$", shown, re.MULTILINE)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the setup script in it."""
    folder = tmp_path_factory.mktemp("house")
    (folder / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "setup.py", folder / "deploy" / "setup.py")
    return folder


def set_up(house: Path, lock: str) -> subprocess.CompletedProcess[str]:
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(house), "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, "deploy/setup.py", lock]
    environment = {"PATH": os.environ["PATH"], **offline}
    return subprocess.run(command, cwd=house, capture_output=True, text=True, check=False, env=environment)


def test_setup_makes_an_environment_once_and_then_costs_nothing(house: Path) -> None:
    (house / "empty.lock").write_text("nothing-for-us==1.0 ; sys_platform == 'win32'\n")
    first, second = set_up(house, "empty.lock"), set_up(house, "empty.lock")
    assert (first.returncode, second.returncode) == (0, 0)
    assert "making .venv" in first.stdout
    assert second.stdout == ""
    assert (house / ".venv" / "bin" / "python").exists()


def test_setup_refuses_a_package_whose_content_is_not_the_locked_one(house: Path) -> None:
    (house / "tampered-1.0.tar.gz").write_bytes(b"not what was locked")
    (house / "one.lock").write_text(f"tampered==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    done = set_up(house, "one.lock")
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert not (house / ".venv" / ".installed-one").exists()
