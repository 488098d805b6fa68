"""Which parts the proof has, and where a scenario is found by its name."""

from __future__ import annotations

from collections.abc import Callable

import enumeration
from lifetimes import LIVES
from tally import Task

from geventconnpool.testing import Simulation

__all__ = ["PARTS", "find"]

PARTS: dict[str, Callable[[bool], list[Task]]] = {
    "faults": enumeration.tasks,
}
"""What each part has to run, per change or nightly."""


def find(name: str) -> Callable[[Simulation], object]:
    """The scenario of that name."""
    return LIVES[name]
