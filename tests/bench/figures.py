"""What was measured, as a table and as build/bench.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any


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
    """One line. The goal is one of the ratio where there is one, else of the value."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    goal: Goal | None = None

    @property
    def holds(self) -> bool | None:
        if self.goal is None:
            return None
        return self.goal.holds(self.value if self.ratio is None else self.ratio)

    def as_json(self) -> dict[str, Any]:
        said = {"baseline": self.baseline, "ratio": self.ratio, "goal": self.goal and str(self.goal)}
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            **{name: _rounded(value) for name, value in said.items() if value is not None},
            "holds": self.holds,
        }


def paired(name: str, unit: str, ours: Sequence[float], theirs: Sequence[float], goal: Goal | None) -> Figure:
    """Repeats that took turns: the ratio is the median of the pairs' ratios, so that what slowed a pair slows no ratio."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Figure(name, median(ours), unit, median(theirs), median(ratios), goal)


def against(name: str, unit: str, ours: Sequence[float], theirs: Sequence[float], goal: Goal | None) -> Figure:
    """Repeats that were not paired: the ratio of the medians."""
    return Figure(name, median(ours), unit, median(theirs), median(ours) / median(theirs), goal)


def table(figures: Sequence[Figure]) -> str:
    rows = [("what", "value", "baseline", "ratio", "goal", "")] + [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}"
        f"  {row[4]:<{widths[4]}}  {row[5]}".rstrip()
        for row in rows
    )


def write(figures: Sequence[Figure], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([figure.as_json() for figure in figures], indent=2) + "\n")


def _row(figure: Figure) -> tuple[str, str, str, str, str, str]:
    return (
        figure.name,
        f"{_text(figure.value)} {figure.unit}",
        "" if figure.baseline is None else _text(figure.baseline),
        "" if figure.ratio is None else f"{figure.ratio:.3g}",
        "" if figure.goal is None else str(figure.goal),
        {None: "", True: "holds", False: "DOES NOT HOLD"}[figure.holds],
    )


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
