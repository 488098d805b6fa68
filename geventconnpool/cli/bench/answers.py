"""What a benchmark has found: figures, and whether they pass their bars. Kept as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Answer", "Bar", "Figure", "spread"]


@dataclass(frozen=True)
class Figure:
    """One thing measured: the median over the rounds, and the quartiles around it."""

    table: str
    """The heading that it stands under; figures of one table have one unit."""
    subject: str
    value: float
    low: float
    high: float
    unit: str
    """``ns``, ``ms``, ``bytes``, ``x`` (a ratio), ``hand-offs``, ..."""
    x: float | None = None
    """Where it stands on an axis, if the table has one: the number of greenlets, say."""
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """What a figure had to be, and was."""

    what: str
    value: float
    limit: float
    unit: str = "x"
    at_most: bool = True
    guarded: bool = False
    """Whether the short form of the benchmark, in CI, fails over it."""

    @property
    def is_passed(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit


@dataclass
class Answer:
    """All that one question has brought to light."""

    key: str
    question: str
    figures: list[Figure] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    """What could not be measured, and why: ``"pymongo: not installed"``."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Answer:
        return cls(
            found["key"],
            found["question"],
            [Figure(**each) for each in found["figures"]],
            [Bar(**each) for each in found["bars"]],
            list(found["absent"]),
        )


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and the quartiles of *values*, by nearest rank."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return ordered[(last + 1) // 2], ordered[round(last * 0.25)], ordered[round(last * 0.75)]
