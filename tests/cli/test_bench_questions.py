"""Every real question, once and with the least effort: what comes out has the right shape."""

from __future__ import annotations

import importlib.util
import math
from collections import defaultdict
from pathlib import Path

import pytest
from gevent.monkey import is_module_patched

import geventconnpool
from geventconnpool.cli.bench import catalogue, children
from geventconnpool.cli.bench.answers import Answer
from geventconnpool.cli.bench.measuring import Effort

pytestmark = [
    pytest.mark.slow,
    pytest.mark.servers,  # the other pools are installed where the servers are
    pytest.mark.skipif(is_module_patched("socket"), reason="questions are asked in processes"),
]

LIMIT = 300  # seconds; only against hanging


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    """Those given so far."""
    return {}


@pytest.mark.parametrize("key", catalogue.known())
def test_a_question_is_answered(key: str, answers: dict[str, Answer]) -> None:
    answer = answers[key] = children.ask(key, Effort(rounds=2, seed=1, quick=True), LIMIT)

    assert answer.key == key
    assert answer.question.endswith("?")
    assert answer.figures
    assert answer.bars
    rows = [(figure.table, figure.subject, figure.x) for figure in answer.figures]
    assert len(set(rows)) == len(rows), "the same row twice"
    units = defaultdict(set)
    for figure in answer.figures:
        units[figure.table].add(figure.unit)
        assert all(map(math.isfinite, (figure.low, figure.value, figure.high))), figure
        assert figure.low <= figure.value <= figure.high, figure
    assert all(len(found) == 1 for found in units.values()), units
    assert len({bar.what for bar in answer.bars}) == len(answer.bars)
    assert all(math.isfinite(bar.value) for bar in answer.bars)


def test_the_guard_asks_those_that_have_guarded_bars(answers: dict[str, Answer]) -> None:
    if set(answers) != set(catalogue.known()):
        pytest.skip("needs the answers to all questions: run the whole file")
    path = Path(geventconnpool.__file__).parents[1] / "benchmarks" / "guard.py"
    spec = importlib.util.spec_from_file_location("bench_guard", path)
    assert spec is not None
    assert spec.loader is not None
    guard = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(guard)

    guarded = {key for key, answer in answers.items() if any(bar.guarded for bar in answer.bars)}

    assert set(guard.QUESTIONS) == guarded
