"""One embedded process for all scenarios; a case, with its own customer, for each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.scenarios.story import SECRET, Case, World
from tests.servers.embedded import embedded


@pytest.fixture(scope="session")
def world(run_folder: Path) -> Iterator[World]:
    with embedded(run_folder / "scenarios") as process, process.client() as client:
        world = World(client)
        world.call("PUT", "/v1/sources/bank", {"kind": "standard_webhook", "secrets": [SECRET]})
        yield world


@pytest.fixture
def case_in(world: World) -> Iterator[Callable[[str], Case]]:
    """Begins a case with a customer of this time zone."""
    begun: list[Case] = []

    def begin(zone: str) -> Case:
        begun.append(Case(world, ZoneInfo(zone)))
        return begun[-1]

    yield begin
    for case in begun:
        case.forget()


@pytest.fixture
def case(case_in: Callable[[str], Case]) -> Case:
    return case_in("UTC")
