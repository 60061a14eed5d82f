"""`make bench` still measures: two of its rows with next to nothing, and how it makes and says things. The other rows, which need more
processes, are tried by `python -m tests.bench --smoke`."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.bench import seed
from tests.bench.bulk import INDEXES
from tests.bench.figures import Figure, Goal, between, paired, table, write
from tests.bench.processes import on_one_core, started
from tests.bench.rows import measure
from tests.bench.sizes import SMOKE
from tests.bench.stage import Stage, counting_sink
from tests.servers.broker import Broker

TABLES = ("customer", "contact_point", "invoice", "installment", "reminder")


@pytest.fixture
def stage(run_folder: Path, postgres_dsn: str, template_database: str, broker: Broker) -> Iterator[Stage]:
    with counting_sink() as sink:
        yield Stage(run_folder, postgres_dsn, template_database, broker, sink, time.monotonic())


@pytest.mark.parametrize("row", ["scheduler", "statements"])
def test_a_row_of_the_bench_measures_what_it_says(stage: Stage, row: str) -> None:
    (figures,) = measure(stage, SMOKE, [row])
    assert [
        figure.name for figure in figures if figure.value < 0 or (figure.ratio is not None and figure.ratio <= 0)
    ] == []
    assert all(figure.n for figure in figures)


async def test_what_is_made_in_bulk_has_the_indexes_of_the_migrations(database_dsn: str) -> None:
    connection = await asyncpg.connect(database_dsn)
    try:
        before = [await _indexes(connection, table) for table in TABLES]
        await seed.lay(database_dsn, seed.Ground(20, 40))
        await seed.plan(connection, 40, 5, unused=True)
        assert before == [await _indexes(connection, table) for table in TABLES]
        assert 200 == await connection.fetchval("SELECT count(*) FROM reminder WHERE state = 'pending'")
    finally:
        await connection.close()


def test_the_ratio_of_pairs_is_the_median_of_their_ratios() -> None:
    figure = paired("sent", "mails/s", [30.0, 10.0, 60.0], [10.0, 10.0, 10.0], Goal(">=", 3), 500)
    assert (figure.ratio, figure.repeats, figure.pairs, figure.holds) == (3.0, 3, (3.0, 1.0, 6.0), True)


def test_a_machine_that_gets_slower_slows_no_ratio_to_what_ran_before_and_after() -> None:
    costs = {
        "bare": [1.0, 3.0, 5.0],
        "ours": [4.0, 8.0],
    }  # twice as much as the bare ones, wherever each of them is run
    assert [2.0, 4.0] == between(costs["bare"])
    assert paired("sent", "mails/s", costs["ours"], between(costs["bare"]), Goal("<=", 2)).pairs == (2.0, 2.0)


def test_on_one_core_are_all_threads_of_what_was_started_and_only_meanwhile() -> None:
    everywhere = os.sched_getaffinity(0)
    with started(
        "-c",
        "import threading; threading.Thread(target=input).start(); print('up', flush=True); threading.Event().wait(60)",
    ) as child:
        child.line()
        with on_one_core():
            assert {min(everywhere)} == os.sched_getaffinity(0)
            assert [{min(everywhere)}] * 2 == [os.sched_getaffinity(thread) for thread in _threads(child.pid)]
        assert [everywhere] * 2 == [os.sched_getaffinity(thread) for thread in _threads(child.pid)]


def test_the_table_says_ratio_goal_verdict_n_and_repeats() -> None:
    figures = [
        paired("sent", "mails/s", [30.0, 10.0], [10.0, 10.0], Goal(">=", 3), 500),
        Figure("  its memory", 120.0, "MB"),
    ]
    assert [
        "what                ours  baseline  ratio  goal            n  repeats",
        "sent          20 mails/s        10      2  >= 3  MISSED  500        2",
        "  its memory      120 MB                                            1",
    ] == table(figures).split("\n")


def test_the_file_says_what_the_table_says(tmp_path: Path) -> None:
    write([paired("sent", "mails/s", [30.0], [10.0], Goal(">=", 3), 500)], tmp_path / "bench.json")
    assert [
        {"name": "sent", "value": 30.0, "unit": "mails/s", "baseline": 10.0, "ratio": 3.0, "pairs": [3.0], "goal": ">= 3", "n": 500,
         "repeats": 1, "holds": True}
    ] == json.loads((tmp_path / "bench.json").read_text())  # fmt: skip


async def _indexes(connection: asyncpg.Connection, table: str) -> list[tuple[object, ...]]:
    return sorted(tuple(row) for row in await connection.fetch(INDEXES, table))


def _threads(pid: int) -> list[int]:
    return [int(folder.name) for folder in Path(f"/proc/{pid}/task").iterdir()]
