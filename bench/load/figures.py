"""Measured values, their spread over the repetitions, and the bars they must meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Bar:
    """The limit that the median must reach (`at_least`) or not exceed."""

    limit: float
    at_least: bool

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:,g}"


def at_least(limit: float) -> Bar:
    return Bar(limit, True)


def at_most(limit: float) -> Bar:
    return Bar(limit, False)


@dataclass(frozen=True)
class Figure:
    """One line of the table, with one value per repetition."""

    part: str
    what: str
    unit: str
    values: Sequence[float]
    bar: Bar | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def met(self) -> bool | None:
        """None where there is no bar."""
        return None if self.bar is None else self.bar.met(self.median)

    def as_dict(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "part": self.part,
            "what": self.what,
            "unit": self.unit,
            "min": min(self.values),
            "median": self.median,
            "max": max(self.values),
            "values": list(self.values),
            "bar": self.bar and str(self.bar),
            "met": self.met,
            "note": self.note,
        }


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """The ratio for each repetition, so that values measured together are compared with each other."""
    return [a / b for a, b in zip(over, under, strict=True) if b]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0…1) of them do not exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
