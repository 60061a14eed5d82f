"""What was measured, as a table and as build/bench.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

HEAD = ("what", "ours", "baseline", "ratio", "goal", "", "n", "repeats")
TO_THE_LEFT = (0, 4, 5)
VERDICTS = {None: "", True: "holds", False: "MISSED"}


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio must keep."""

    sign: str
    bound: float

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.sign == ">=" else value <= self.bound

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line. The goal is one of the ratio where there is one, else of the value. `n`: of how many it was measured;
    `repeats`: how often, and `pairs` the ratio of each."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    goal: Goal | None = None
    n: int | None = None
    repeats: int = 1
    pairs: tuple[float, ...] = ()

    @property
    def holds(self) -> bool | None:
        if self.goal is None:
            return None
        return self.goal.holds(self.value if self.ratio is None else self.ratio)

    def as_json(self) -> dict[str, Any]:
        said = {
            "baseline": self.baseline,
            "ratio": self.ratio,
            "pairs": [_rounded(pair) for pair in self.pairs] or None,
            "goal": self.goal and str(self.goal),
            "n": self.n,
        }
        return {
            "name": self.name.strip(),
            "value": _rounded(self.value),
            "unit": self.unit,
            **{name: _rounded(value) for name, value in said.items() if value is not None},
            "repeats": self.repeats,
            "holds": self.holds,
        }


def paired(
    name: str, unit: str, ours: Sequence[float], theirs: Sequence[float], goal: Goal | None, n: int | None = None
) -> Figure:
    """Repeats that took turns: the ratio is the median of the pairs' ratios, so that what slowed a pair slows no ratio."""
    pairs = tuple(one / other for one, other in zip(ours, theirs, strict=True))
    return Figure(name, median(ours), unit, median(theirs), median(pairs), goal, n, len(pairs), pairs)


def between(runs: Sequence[float]) -> list[float]:
    """Of a baseline that ran before and after each of the others: the mean of the two, so that a machine which gets slower
    from one run to the next slows no ratio."""
    return [(before + after) / 2 for before, after in pairwise(runs)]


def table(figures: Sequence[Figure]) -> str:
    rows = [HEAD, *map(_row, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join("  ".join(_cells(row, widths)).rstrip() for row in rows)


def write(figures: Sequence[Figure], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([figure.as_json() for figure in figures], indent=2) + "\n")


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        f"{cell:<{width}}" if column in TO_THE_LEFT else f"{cell:>{width}}"
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.name,
        f"{_text(figure.value)} {figure.unit}",
        "" if figure.baseline is None else _text(figure.baseline),
        "" if figure.ratio is None else f"{figure.ratio:.3g}",
        "" if figure.goal is None else str(figure.goal),
        VERDICTS[figure.holds],
        "" if figure.n is None else f"{figure.n:,}",
        str(figure.repeats),
    )


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
