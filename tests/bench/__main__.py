"""`python -m tests.bench [--strict] [--smoke] [ROW...]`: measures against baselines of the same run, into a table and build/bench.json.

FULL=1 takes the large sizes, --smoke next to nothing: does each row still run? Rows: due, mixed-channels, scheduler, webhook, intake,
statements, dry-run; all of them when none is named.
The status is 0 also when a goal does not hold, because a busy machine measures badly; 1 with --strict.
"""

import os
import signal
import sys
from types import FrameType

from tests.bench import figures
from tests.bench.figures import Figure
from tests.bench.processes import ROOT
from tests.bench.rows import ROWS, measure
from tests.bench.sizes import FULL, SMALL, SMOKE, Sizes
from tests.bench.stage import stage

STRICT, SMOKED = "--strict", "--smoke"
OPTIONS = {STRICT, SMOKED}


def main(arguments: list[str]) -> int:
    rows = [name for name in arguments if not name.startswith("--")] or list(ROWS)
    options = {name for name in arguments if name.startswith("--")}
    if unknown := [name for name in rows if name not in ROWS] + sorted(options - OPTIONS):
        sys.exit(f"no such row or option: {', '.join(unknown)}; there are {', '.join([*ROWS, *sorted(OPTIONS)])}")
    sizes = _sizes(options)
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
    return 1 if STRICT in options and missed else 0


def _sizes(options: set[str]) -> Sizes:
    if SMOKED in options:
        return SMOKE
    return FULL if os.environ.get("FULL", "0") not in ("", "0") else SMALL


def _measure(rows: list[str], sizes: Sizes, measured: list[Figure]) -> None:
    """What is measured is kept, even when a later row fails."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(sizes.longest)
    print("starting PostgreSQL and RabbitMQ", flush=True)
    with stage() as ready:
        for some in measure(ready, sizes, rows):
            measured.extend(some)
        signal.alarm(0)
        ready.tell("measured")


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit("ended from outside")


def _late(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError("the benchmark takes too long: the machine is too busy, or something hangs")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
