"""The guard of CI: it fails over what is slow, and over nothing else."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import bench_fakes
import pytest

import geventconnpool
from geventconnpool.cli.bench.answers import Answer, Bar
from geventconnpool.cli.bench.children import NoAnswer
from geventconnpool.cli.bench.measuring import Effort

Ask = Callable[[str, Effort], Answer]


@pytest.fixture(scope="module")
def guard() -> ModuleType:
    path = Path(geventconnpool.__file__).parents[1] / "benchmarks" / "guard.py"
    spec = importlib.util.spec_from_file_location("bench_guard", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def slow_at(*slow: tuple[str, int], factor: float) -> tuple[Ask, list[tuple[str, Effort]]]:
    """Answers at their bars, but *factor* times as slow for (question, so many times)."""
    left = dict(slow)
    asked: list[tuple[str, Effort]] = []

    def ask(key: str, effort: Effort) -> Answer:
        asked.append((key, effort))
        left[key] = left.get(key, 0) - 1
        return bench_fakes.answer(key, ratio=1.5 * (factor if left[key] >= 0 else 1.0), limit=1.5)

    return ask, asked


def test_what_is_fast_passes_at_once(guard: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    ask, asked = slow_at(factor=1.0)

    assert guard.main(["--seed", "3"], ask) == 0

    expected = [(key, Effort(rounds, 3, quick=True)) for key, rounds in guard.QUESTIONS.items()]
    assert asked == expected
    assert "MISSED" not in capsys.readouterr().out


def test_what_has_become_slow_fails(guard: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    ask, asked = slow_at(("blocked", 99), factor=1.01 + guard.MARGIN)

    assert guard.main([], ask) == 1

    output = capsys.readouterr().out
    assert output.count("MISSED") == 1
    assert "MISSED  blocked" in output
    assert [key for key, _ in asked].count("blocked") == guard.TRIES
    assert len({effort.seed for key, effort in asked if key == "blocked"}) == guard.TRIES


def test_noise_passes(guard: ModuleType) -> None:
    ask, _ = slow_at(("blocked", 99), factor=0.99 + guard.MARGIN)

    assert guard.main([], ask) == 0


def test_a_bad_moment_passes_at_a_later_try(guard: ModuleType) -> None:
    ask, asked = slow_at(("contended", guard.TRIES - 1), factor=3.0)

    assert guard.main([], ask) == 0
    assert [key for key, _ in asked].count("contended") == guard.TRIES


def test_the_best_of_each_bar_counts(guard: ModuleType) -> None:
    """Two bars with a bad moment each, never in the same try as the other."""
    tries = iter([(9.0, 1.0), (1.0, 9.0)])

    def ask(key: str, effort: Effort) -> Answer:
        one, two = next(tries)
        bars = [Bar("one", one, 1.0, guarded=True), Bar("two", two, 1.0, guarded=True)]
        return Answer(key, "What?", bars=bars)

    assert [bar.value for bar in guard.best_of("blocked", 1, ask, math.inf)] == [1.0, 1.0]


def test_when_time_is_up_nothing_is_asked_again(guard: ModuleType) -> None:
    ask, asked = slow_at(("blocked", 1), factor=9.0)

    assert not guard.holds("blocked", 1, ask, -math.inf)
    assert len(asked) == 1


def test_bars_that_are_not_guarded_decide_nothing(guard: ModuleType) -> None:
    def ask(key: str, effort: Effort) -> Answer:
        answer = bench_fakes.answer(key)
        answer.bars = [bar if bar.guarded else replace(bar, limit=1e9) for bar in answer.bars]
        assert not all(bar.is_passed for bar in answer.bars)
        return answer

    assert guard.main([], ask) == 0


@pytest.mark.parametrize(
    ("bar", "held"),
    [
        (Bar("cost", 0, 0, "blocks"), True),
        (Bar("cost", 1, 0, "blocks"), False),
        (Bar("done", 49, 49, at_most=False), True),
        (Bar("done", 0, 49, at_most=False), False),
    ],
)
def test_both_sides(guard: ModuleType, bar: Bar, held: bool) -> None:
    assert guard.is_held(bar) is held


@pytest.mark.parametrize("guarded", [True, False])
def test_a_question_without_a_verdict_fails(
    guard: ModuleType, guarded: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """It must not pass because nothing was looked at."""

    def ask(key: str, effort: Effort) -> Answer:
        if key == "blocked" and guarded:
            raise NoAnswer("MemoryError")
        return Answer(key, "What?", bars=[Bar("cost", 1, 2, guarded=key != "blocked")])

    assert guard.main([], ask) == 1
    assert "blocked" in capsys.readouterr().out
