"""The harness: everything side by side in one process, as ratios of the same round.

In each round every subject gets one short slice, in a fresh random order, with the garbage
collector off. A ratio is taken between two slices of one round, and the figure is the median
over the rounds: a machine which others use, too, slows both sides alike.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import gevent

from geventconnpool.cli.bench.answers import Figure, spread

__all__ = ["Effort", "Slices", "Work", "measure"]

Work = Callable[[int], float]
"""Does something so many times; returns the seconds that it took.

CPU seconds (``time.thread_time``) where nothing from outside is waited for.
"""


@dataclass(frozen=True)
class Effort:
    """How much to do, and with which random numbers."""

    rounds: int = 60
    seed: int = 1
    quick: bool = False
    """Leave out what takes long: large sizes, slow peers."""


class Slices:
    """Seconds for one operation, of each subject in each round."""

    def __init__(self, seconds: Mapping[str, list[float]]) -> None:
        self.seconds = seconds

    def ratios(self, subject: str, base: str) -> list[float]:
        """How many times as long *subject* took as *base*, round by round."""
        pairs = zip(self.seconds[subject], self.seconds[base], strict=True)
        return [one / other for one, other in pairs]

    def ratio(self, subject: str, base: str) -> float:
        """The median of `ratios`."""
        return spread(self.ratios(subject, base))[0]

    def figures(self, table: str, base: str, x: float | None = None) -> list[Figure]:
        """For each subject the ratio to *base*, with the nanoseconds of its best round noted."""
        found = []
        for subject, seconds in self.seconds.items():
            note = f"{min(seconds) * 1e9:.0f} ns"
            found.append(Figure(table, subject, *spread(self.ratios(subject, base)), "x", x, note))
        return found


def measure(
    subjects: Mapping[str, Work],
    effort: Effort,
    slice_seconds: float = 0.003,
    count: int | None = None,
) -> Slices:
    """Let all *subjects* work, interleaved, in slices of about *slice_seconds* each.

    Where what is measured depends on how much is done, *count* is how much, the same for all.
    """
    order = random.Random(effort.seed)
    counts = {name: count or _count_for(work, slice_seconds) for name, work in subjects.items()}
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(effort.rounds):
        names = list(subjects)
        order.shuffle(names)
        gevent.sleep(0)  # whatever the last round has left to do is not this one's
        gc.collect()
        gc.disable()
        try:
            for name in names:
                seconds[name].append(subjects[name](counts[name]) / counts[name])
        finally:
            gc.enable()
    return Slices(seconds)


def _count_for(work: Work, seconds: float) -> int:
    """How often to do it so that a slice takes about *seconds*; warms it up on the way.

    By the best of three: from one that the machine has interrupted would follow slices so short
    that starting them counts.
    """
    count = 2
    while (took := min(work(count) for _ in range(3))) < seconds / 4 and count < 1_000_000:
        count *= 2
    return max(2, int(count * seconds / max(took, 1e-9)) // 2 * 2)
