"""A question of our own for the tests of the benchmark, and answers that are known."""

from __future__ import annotations

import sys
from pathlib import Path

from geventconnpool.cli.bench.answers import Answer, Bar, Figure

QUESTION = """
import sys
from geventconnpool.cli.bench.answers import Answer, Bar
from geventconnpool.cli.bench.measuring import measure

def count_up(count):
    import time
    began = time.perf_counter()
    for _ in range(count):
        pass
    return time.perf_counter() - began

def ask(effort):
    print("chatter")
    slices = measure({"floor: counting": count_up, "geventconnpool": count_up}, effort)
    answer = Answer("blocked", f"How long, with seed {effort.seed}?")
    answer.figures += slices.figures("counting", "floor: counting")
    answer.figures += [] if effort.quick else slices.figures("at leisure", "floor: counting")
    answer.bars.append(Bar("rounds", effort.rounds, 5, "rounds"))
    return answer
"""

_START = """\
import sys
from geventconnpool.cli.bench import questions
questions.__path__.insert(0, sys.argv.pop(1))
from geventconnpool.cli.bench.worker import main
sys.exit(main())
"""


def command(folder: Path, key: str, *arguments: str) -> list[str]:
    """Starts the real worker, which finds the questions of *folder* before the real ones."""
    return [sys.executable, "-c", _START, str(folder), key, *arguments]


def answer(key: str = "blocked", ratio: float = 1.2, limit: float = 1.5) -> Answer:
    """With a table of each kind, and one guarded bar."""
    found = Answer(key, f"What does {key} cost?", absent=["redis: not installed"])
    for subject, times in (("floor: bare", 1.0), ("geventconnpool", ratio), ("urllib3", 7.0)):
        found.figures.append(Figure("cost", subject, times, times, times, "x", None, "12 ns"))
        for x in (100, 1_000):
            figure = Figure("cost in a crowd", subject, times, times, times, "x", x, "12 ns")
            found.figures.append(figure)
            for share, wait in (("p50", 0.0), ("p99", 9.0 * times), ("longest", times * x)):
                table = f"wait, {share}, with a pause"
                found.figures.append(Figure(table, subject, wait, wait, wait, "hand-offs", x))
    found.bars.append(Bar("a checkout", ratio, limit, guarded=True))
    found.bars.append(Bar("against urllib3", 7.0 / ratio, 2.0, at_most=False))
    return found
