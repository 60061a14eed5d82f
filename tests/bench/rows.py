"""What there is to measure: of each row its databases, which are filled before anything is measured, and how it is measured."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.bench import dry_run, due, intake, mixed, queueing, statements, webhook
from tests.bench.figures import Figure
from tests.bench.sizes import Sizes
from tests.bench.stage import Ground, Stage


@dataclass(frozen=True, slots=True)
class Row:
    grounds: Callable[[Sizes], list[Ground]]
    measure: Callable[[Stage, Sizes], list[Figure]]


ROWS: dict[str, Row] = {
    "due": Row(due.grounds, due.measure),
    "mixed-channels": Row(mixed.grounds, mixed.measure),
    "scheduler": Row(queueing.grounds, queueing.measure),
    "webhook": Row(webhook.grounds, webhook.measure),
    "intake": Row(intake.grounds, intake.measure),
    "statements": Row(statements.grounds, statements.measure),
    "dry-run": Row(dry_run.grounds, dry_run.measure),
}


def measure(stage: Stage, sizes: Sizes, names: Sequence[str]) -> Iterator[list[Figure]]:
    """One row after the other; the databases of all of them are made first, side by side."""
    stage.lay([ground for name in names for ground in ROWS[name].grounds(sizes)])
    for name in names:
        began = time.monotonic()
        yield ROWS[name].measure(stage, sizes)
        stage.tell(f"{name}: done in {time.monotonic() - began:.0f} s")
