"""The harness of the benchmark: what it makes of times that are known beforehand."""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Iterator

import pytest

from geventconnpool.cli.bench.answers import Answer, Bar, Figure, spread
from geventconnpool.cli.bench.measuring import Effort, Slices, measure

LONG = 1.0  # seconds for one operation: so long that it is warmed up in one go
WARMING_UP = 3


class Known:
    """Work that takes what it is told to, in one round after the other."""

    def __init__(self, name: str, seconds: list[float], log: list[str]) -> None:
        self.name = name
        self.seconds = iter([*[LONG] * WARMING_UP, *seconds])
        self.log = log

    def __call__(self, count: int) -> float:
        self.log.append(self.name)
        return next(self.seconds) * count


def orders(seed: int, rounds: int = 12) -> list[list[str]]:
    """The order of four subjects in each round."""
    log: list[str] = []
    subjects = {name: Known(name, [LONG] * rounds, log) for name in "abcd"}
    measure(subjects, Effort(rounds, seed))
    after = log[4 * WARMING_UP :]
    return [after[place : place + 4] for place in range(0, len(after), 4)]


class TestMeasure:
    def test_a_ratio_is_taken_within_a_round(self) -> None:
        log: list[str] = []
        floor = Known("floor", [1.0, 2.0, 10.0], log)
        pool = Known("pool", [2.0, 6.0, 10.0], log)

        slices = measure({"floor": floor, "pool": pool}, Effort(rounds=3))

        assert slices.ratios("pool", "floor") == [2.0, 3.0, 1.0]
        assert slices.ratio("pool", "floor") == 2.0  # that of the medians is 3

    def test_each_subject_has_one_slice_in_each_round(self) -> None:
        found = orders(seed=5)

        assert len(found) == 12
        assert all(sorted(order) == list("abcd") for order in found)

    def test_the_order_is_drawn_anew_and_comes_from_the_seed(self) -> None:
        assert orders(seed=5) == orders(seed=5)
        assert orders(seed=5) != orders(seed=6)
        assert len({tuple(order) for order in orders(seed=5)}) > 3

    def test_others_random_numbers_change_nothing(self) -> None:
        before = orders(seed=5)
        random.seed(99)
        assert orders(seed=5) == before

    def test_no_garbage_is_collected_within_a_slice(self) -> None:
        seen: list[bool] = []

        def work(count: int) -> float:
            seen.append(gc.isenabled())
            return LONG * count

        measure({"work": work}, Effort(rounds=3))

        assert seen[WARMING_UP:] == [False] * 3
        assert gc.isenabled()

    def test_garbage_is_collected_again_after_an_error(self) -> None:
        calls = iter([*[LONG] * WARMING_UP, None])

        def work(count: int) -> float:
            seconds = next(calls)
            if seconds is None:
                raise OSError("broken")
            return seconds * count

        with pytest.raises(OSError, match="broken"):
            measure({"work": work}, Effort(rounds=3))

        assert gc.isenabled()

    @pytest.mark.parametrize("each", [2e-8, 1e-6, 3.7e-5, 9e-4])
    def test_a_slice_is_about_as_long_as_asked_for(self, each: float) -> None:
        counts: list[int] = []

        def work(count: int) -> float:
            counts.append(count)
            return each * count

        measure({"work": work}, Effort(rounds=1), slice_seconds=0.003)

        assert counts[-1] % 2 == 0
        assert 0.001 < each * counts[-1] < 0.005

    def test_an_interruption_does_not_make_slices_short(self) -> None:
        counts: list[int] = []

        def work(count: int) -> float:
            counts.append(count)
            return 1e-6 * count + (1.0 if len(counts) in (1, 8) else 0.0)

        measure({"work": work}, Effort(rounds=1), slice_seconds=0.003)

        assert 0.001 < 1e-6 * counts[-1] < 0.005

    def test_what_takes_longer_than_a_slice_is_done_twice(self) -> None:
        counts: list[int] = []

        def work(count: int) -> float:
            counts.append(count)
            return LONG * count

        slices = measure({"work": work}, Effort(rounds=2))

        assert counts == [2] * (WARMING_UP + 2)
        assert slices.seconds["work"] == [LONG, LONG]


class TestFigures:
    def test_median_quartiles_and_the_best_time(self) -> None:
        slices = Slices({"floor": [1e-7] * 5, "pool": [1e-7, 2e-7, 3e-7, 4e-7, 50e-7]})

        floor, pool = slices.figures("cost", "floor", x=10)

        assert (floor.value, floor.low, floor.high, floor.note) == (1.0, 1.0, 1.0, "100 ns")
        assert (pool.table, pool.subject, pool.unit, pool.x) == ("cost", "pool", "x", 10)
        assert [pool.value, pool.low, pool.high] == pytest.approx([3.0, 2.0, 4.0])
        assert pool.note == "100 ns"

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([7], (7, 7, 7)),
            ([2, 1], (2, 1, 2)),
            ([3, 1, 2], (2, 1, 3)),
            ([5, 4, 3, 2, 1], (3, 2, 4)),
            (range(101), (50, 25, 75)),
        ],
    )
    def test_spread(self, values: list[float], expected: tuple[float, ...]) -> None:
        assert spread(values) == expected


class TestAnswers:
    @pytest.mark.parametrize(
        ("value", "at_most", "passed"),
        [(1.5, True, True), (1.51, True, False), (1.5, False, True), (1.49, False, False)],
    )
    def test_a_bar_is_passed_on_its_own_side(
        self, value: float, at_most: bool, passed: bool
    ) -> None:
        assert Bar("cost", value, 1.5, at_most=at_most).is_passed is passed

    def test_json_keeps_everything(self) -> None:
        answer = Answer(
            "blocked",
            "How long?",
            [Figure("t", "s", 1.5, 1.0, 2.0, "x", 100, "12 ns"), Figure("t", "u", 1, 1, 1, "x")],
            [Bar("b", 2.0, 1.0, "ms", at_most=False, guarded=True)],
            ["redis: not installed"],
        )

        assert Answer.from_json(json.loads(json.dumps(answer.as_json()))) == answer


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    assert gc.isenabled()
    yield
    gc.enable()
