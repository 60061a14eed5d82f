from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.ground import Ground, ground
from tests.chaos.stage import Stage, stage


@pytest.fixture(scope="session")
def chaos_ground(run_folder: Path) -> Iterator[Ground]:
    with ground(run_folder / "chaos") as laid:
        yield laid


@pytest.fixture(scope="module")
def chaos_stage(chaos_ground: Ground) -> Iterator[Stage]:
    with stage(chaos_ground) as made:
        yield made
