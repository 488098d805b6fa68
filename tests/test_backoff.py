"""The pauses after failures, and the door to randomness."""

from __future__ import annotations

import dataclasses
import math
import pickle
import random
from fractions import Fraction

import pytest

from geventconnpool import backoff
from geventconnpool.backoff import Backoff

SEED = 20150304


class Drawn:
    """A source that notes what it is asked for and always draws at the same *place*."""

    def __init__(self, place: float) -> None:
        self.place = place
        self.asked: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float, /) -> float:
        self.asked.append((a, b))
        return a + (b - a) * self.place


def delays(pauses: Backoff, upto: int) -> list[float]:
    return [pauses.delay(failures) for failures in range(1, upto + 1)]


# --- the pauses --------------------------------------------------------------------------


def test_without_jitter_the_pause_grows_by_the_factor_up_to_the_cap():
    pauses = Backoff(base=0.5, cap=5.0, factor=3.0, jitter="none")

    assert delays(pauses, 5) == [0.5, 1.5, 4.5, 5.0, 5.0]


def test_the_defaults_are_those_of_the_contract():
    assert repr(Backoff()) == "Backoff(base=0.1, cap=5.0, factor=2.0, jitter='full')"


def test_full_jitter_draws_between_nothing_and_the_pause():
    source = Drawn(0.25)

    with backoff.replaced(source):
        drawn = delays(Backoff(base=1, cap=3, jitter="full"), 3)

    assert source.asked == [(0.0, 1.0), (0.0, 2.0), (0.0, 3.0)]
    assert drawn == [0.25, 0.5, 0.75]


def test_decorrelated_jitter_draws_between_the_base_and_three_times_the_pause_before():
    source = Drawn(0.5)

    with backoff.replaced(source):
        drawn = delays(Backoff(base=1, cap=6, jitter="decorrelated"), 5)

    assert source.asked == [(1.0, 3.0), (1.0, 3.0), (1.0, 6.0), (1.0, 12.0), (1.0, 18.0)]
    assert drawn == [2.0, 2.0, 3.5, 6.0, 6.0]


def test_a_callable_as_jitter_gets_the_pause_and_has_the_last_word():
    seen = []

    def twice(pause: float) -> float:
        seen.append(pause)
        return 2 * pause

    drawn = delays(Backoff(base=1, cap=2, jitter=twice), 3)

    assert seen == [1.0, 2.0, 2.0]
    assert drawn == [2.0, 4.0, 4.0]


def test_a_cap_below_the_base_holds_from_the_first_failure_on():
    source = Drawn(0.0)

    with backoff.replaced(source):
        drawn = [Backoff(base=5, cap=2, jitter=kind).delay(1) for kind in ("none", "decorrelated")]

    assert drawn == [2.0, 2.0]


@pytest.mark.parametrize("failures", [2000, 10**6, 10**400])
@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        (Backoff(jitter="none"), 5.0),
        (Backoff(base=0, jitter="none"), 0.0),
        (Backoff(cap=0, jitter="none"), 0.0),
        (Backoff(base=3, factor=1, jitter="none"), 3.0),
        (Backoff(base=1e300, cap=1e308, factor=1e300, jitter="none"), 1e308),
    ],
)
def test_any_number_of_failures_has_a_pause(pauses, failures, expected):
    assert pauses.delay(failures) == expected


def test_decorrelated_jitter_stays_finite_at_the_end_of_the_floats():
    with backoff.replaced(Drawn(1.0)):
        assert Backoff(base=1e308, cap=1.5e308, jitter="decorrelated").delay(10**6) == 1.5e308


@pytest.mark.parametrize("jitter", ["full", "decorrelated"])
def test_every_draw_is_within_its_bounds_and_they_spread(jitter):
    print(f"seed {SEED}")
    pauses = Backoff(base=0.1, cap=5.0, jitter=jitter)

    with backoff.replaced(random.Random(SEED)):
        drawn = [pauses.delay(6) for _ in range(2000)]

    lowest, highest = (0.0, 3.2) if jitter == "full" else (0.1, 4.8)
    assert lowest <= min(drawn) < lowest + 0.05
    assert highest - 0.05 < max(drawn) <= highest
    assert math.isclose(sum(drawn) / 2000, (lowest + highest) / 2, rel_tol=0.05)


# --- one object for everybody ------------------------------------------------------------


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Backoff().base = 7.0  # type: ignore[misc]


def test_equal_settings_are_equal_whatever_kind_of_number_said_so():
    assert Backoff(1, 5, 2) == Backoff(1.0, Fraction(5), 2.0)
    assert hash(Backoff(1, 5, 2)) == hash(Backoff(1.0, 5.0, 2.0))
    assert repr(Backoff(1, 5, 2)) == repr(Backoff(1.0, 5.0, 2.0))
    assert Backoff(1) != Backoff(2)


def test_it_travels_between_processes():
    assert pickle.loads(pickle.dumps(Backoff(3, jitter="none"))) == Backoff(3, jitter="none")


# --- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"base": -1}, ValueError, "base must be a finite number of at least 0 (-1)"),
        ({"base": math.nan}, ValueError, "base must be a finite number of at least 0 (nan)"),
        ({"base": True}, TypeError, "base must be a finite number of at least 0 (True)"),
        ({"base": "1"}, TypeError, "base must be a finite number of at least 0 ('1')"),
        ({"base": None}, TypeError, "base must be a finite number of at least 0 (None)"),
        ({"base": 1j}, TypeError, "base must be a finite number of at least 0 (1j)"),
        ({"cap": math.inf}, ValueError, "cap must be a finite number of at least 0 (inf)"),
        ({"cap": -0.1}, ValueError, "cap must be a finite number of at least 0 (-0.1)"),
        ({"factor": 0.5}, ValueError, "factor must be a finite number of at least 1 (0.5)"),
        ({"factor": math.inf}, ValueError, "factor must be a finite number of at least 1 (inf)"),
        (
            {"jitter": "equal"},
            ValueError,
            "jitter must be 'full', 'none', 'decorrelated' or a callable ('equal')",
        ),
        (
            {"jitter": None},
            TypeError,
            "jitter must be 'full', 'none', 'decorrelated' or a callable (None)",
        ),
    ],
)
def test_wrong_settings_are_refused_by_name_and_value(wrong, error, message):
    with pytest.raises(error) as caught:
        Backoff(**wrong)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("failures", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)]
)
@pytest.mark.parametrize("jitter", ["full", "none", "decorrelated", float])
def test_without_a_failure_there_is_no_pause(failures, error, jitter):
    with pytest.raises(error) as caught:
        Backoff(jitter=jitter).delay(failures)

    assert str(caught.value) == f"failures must be an int of at least 1 ({failures})"


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (-1.0, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_a_jitter_that_returns_no_duration_is_told_so(returned, error):
    with pytest.raises(error) as caught:
        Backoff(jitter=lambda pause: returned).delay(1)

    wanted = "what jitter returns must be a finite number of at least 0"
    assert str(caught.value) == f"{wanted} ({returned})"


# --- the door to randomness --------------------------------------------------------------


def test_chance_comes_from_the_functions_of_random_which_are_seeded_anew_after_a_fork():
    print(f"seed {SEED}")
    state = random.getstate()
    try:
        random.seed(SEED)
        drawn = [backoff.uniform(2.0, 9.0) for _ in range(3)]
        random.seed(SEED)
        expected = [random.uniform(2.0, 9.0) for _ in range(3)]
    finally:
        random.setstate(state)

    assert drawn == expected


def test_another_source_holds_inside_the_block_only_and_blocks_nest():
    outer, inner = Drawn(0.0), Drawn(1.0)

    with backoff.replaced(outer):
        with backoff.replaced(inner):
            within = backoff.uniform(1.0, 2.0)
        between = backoff.uniform(3.0, 4.0)
    backoff.uniform(5.0, 6.0)

    assert (within, between) == (2.0, 3.0)
    assert inner.asked == [(1.0, 2.0)]
    assert outer.asked == [(3.0, 4.0)]


def test_the_source_comes_back_when_the_block_fails():
    source = Drawn(0.0)

    with pytest.raises(KeyError), backoff.replaced(source):
        raise KeyError

    backoff.uniform(1.0, 2.0)
    assert source.asked == []
