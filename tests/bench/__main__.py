"""`python -m tests.bench [--strict] [ROW...]`: measures against baselines of the same run, prints a table, writes build/bench.json.

FULL=1 takes the large sizes. Rows: due, mixed-channels, scheduler, webhook, intake, statements, dry-run; all of them when none is named.
The status is 0 also when a goal does not hold, because a busy machine measures badly; 1 with --strict.
"""

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from tests.bench import dry_run, due, figures, intake, mixed, queueing, statements, webhook
from tests.bench.figures import Figure
from tests.bench.processes import ROOT
from tests.bench.sizes import FULL, SMALL, Sizes
from tests.bench.stage import Stage, stage

ROWS: dict[str, Callable[[Stage, Sizes], list[Figure]]] = {
    "due": due.measure,
    "mixed-channels": mixed.measure,
    "scheduler": queueing.measure,
    "webhook": webhook.measure,
    "intake": intake.measure,
    "statements": statements.measure,
    "dry-run": dry_run.measure,
}


def main(arguments: list[str]) -> int:
    strict = "--strict" in arguments
    rows = [name for name in arguments if name != "--strict"] or list(ROWS)
    if unknown := [name for name in rows if name not in ROWS]:
        sys.exit(f"no such row: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    sizes = FULL if os.environ.get("FULL", "0") not in ("", "0") else SMALL
    measured: list[Figure] = []
    try:
        _measure(rows, sizes, measured)
    except KeyboardInterrupt:
        return 130
    finally:
        figures.write(measured, ROOT / "build" / "bench.json")
        print(f"\n{figures.table(measured)}\n", flush=True)
    missed = [figure for figure in measured if figure.holds is False]
    print(f"{len(missed)} goals do not hold (a busy machine measures badly)" if missed else "all goals hold")
    return 1 if strict and missed else 0


def _measure(rows: list[str], sizes: Sizes, measured: list[Figure]) -> None:
    """What is measured is kept, even when a later row fails."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(sizes.longest)
    print("starting PostgreSQL and RabbitMQ", flush=True)
    with stage() as ready:
        for name in rows:
            measured.extend(ROWS[name](ready, sizes))
        signal.alarm(0)
        ready.tell("measured")


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit("ended from outside")


def _late(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError("the benchmark takes too long: the machine is too busy, or something hangs")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
