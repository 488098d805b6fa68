"""What the parts of the proof hand in: counts that add up, and failures that can be replayed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from geventconnpool.testing import Plan, Record, play

__all__ = ["REPLAY", "Tally", "Task", "judge"]

REPLAY = "python -m tests.simulation --replay"


@dataclass
class Tally:
    """Counts of one part of the proof, and the reports of what failed."""

    counts: Counter[str] = field(default_factory=Counter)
    """Runs, positions, schedules, virtual hours, ...: whatever the part counts."""
    failures: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take over what *other* has."""
        self.counts.update(other.counts)
        self.failures += other.failures

    def take(self, scenario: str, record: Record) -> None:
        """Count one run."""
        self.counts["runs"] += 1
        self.counts["steps"] += record.steps
        self.counts["virtual seconds"] += round(record.seconds)
        if record.failure is not None:
            self.failures.append(record.report(scenario, REPLAY))


@dataclass(frozen=True)
class Task:
    """A share of a part: *run* is called with *args* in a process of its own choice."""

    part: str
    run: Callable[..., Tally]
    args: tuple[Any, ...] = ()


def judge(scenario: str, life: Callable[..., object], plan: Plan, tally: Tally) -> Record:
    """Play *life* by *plan*, and take it down in *tally*."""
    record = play(life, plan)
    tally.take(scenario, record)
    return record
