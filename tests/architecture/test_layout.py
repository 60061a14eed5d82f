"""The house rules that import-linter cannot see."""

from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
SERVICES = {folder.name for folder in (ROOT / "services").iterdir() if (folder / "__init__.py").exists()}
VAGUE = {"utils", "util", "helpers", "helper", "common", "base", "misc"}

ONE_USER_IS_ENOUGH: dict[str, str] = {
    "shared.tables": "the data model on one page: migrations are checked against it, and every service's SQL speaks of it",
}
"""Rooms of `shared` that one service alone uses, each with the reason why it stands there all the same."""


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("services", "shared")


def test_no_place_has_a_name_that_says_nothing() -> None:
    files = [file for top in ("services", "shared", "tests", "deploy") for file in (ROOT / top).rglob("*")]
    assert [str(file.relative_to(ROOT)) for file in files if file.name.split(".")[0] in VAGUE] == [
        "deploy/k8s/base"  # kustomize's own word
    ]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_service_has_its_truth_page(service: str) -> None:
    page = (ROOT / "services" / service / "README.md").read_text()
    assert page.startswith("# ")


def test_nothing_lives_in_shared_that_one_service_alone_uses(graph: grimp.ImportGraph) -> None:
    rooms = graph.find_children("shared")
    lonely = {room: found for room in rooms if len(found := users(graph, room)) < 2}
    assert lonely.keys() == ONE_USER_IS_ENOUGH.keys(), f"rooms and their users: {lonely}"


def users(graph: grimp.ImportGraph, room: str) -> set[str]:
    """The services that reach the room, directly or through other rooms; what starts all of them is no user."""
    modules = graph.find_downstream_modules(room, as_package=True)
    return {name for module in modules if module.startswith("services.") and (name := module.split(".")[1]) in SERVICES}
