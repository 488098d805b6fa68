"""Hours of chaos: the short form, the same again from the same seed, and a broken pool."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from soak import SOAKS, Soak, replay, run, soak, tasks

import geventconnpool
from geventconnpool.engine import Engine
from geventconnpool.lease import Lease
from geventconnpool.testing import Simulation

HERE = Path(__file__).parent


@pytest.mark.parametrize("seed", range(1, len(SOAKS) + 1))
def test_hours_of_chaos_leave_everything_in_order(seed: int) -> None:
    story = soak(seed, hours=2)
    assert not story.failure, f"{story}\n{story.failure}"
    assert story.counts["wrong answers"] == story.counts["repairs"] == 0
    assert story.counts["requests"] > 20
    assert story.counts["kills"] > 20


def test_the_same_seed_is_the_same_story_in_another_process() -> None:
    here = soak(3, hours=1)
    script = "import soak; print(soak.soak(3, hours=1))"
    for hash_seed in ("0", "4711"):
        path = os.pathsep.join(map(str, [HERE, Path(geventconnpool.__file__).parent.parent]))
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed},
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == str(here)
    assert soak(4, hours=1).trace_hash != here.trace_hash


@pytest.mark.slow
def test_the_harness_does_not_grow() -> None:
    """What lives on in it is the same after one hour and after seven of them."""
    with Simulation(2, shuffle=True) as sim:
        life = Soak(sim, 2)
        counts = []
        for hours in (1.0, 6.0):
            life.live(hours)
            gc.collect()
            counts.append(len(gc.get_objects()))
        life.end()
    assert not life.picture
    assert counts[1] - counts[0] < 1_000


class TestBrokenPool:
    """A pool that takes back what was left in the middle of an answer."""

    @pytest.fixture
    def trusting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        leave = Lease.__exit__
        monkeypatch.setattr(Lease, "__exit__", lambda self, *error: leave(self, None, None, None))

    @pytest.mark.usefixtures("trusting")
    def test_is_found_and_replayed(self) -> None:
        tally = run(6, hours=24)
        assert len(tally.failures) == 1
        assert "was told" in tally.failures[0]
        line = tally.failures[0].splitlines()[-1]
        assert line == "replay: python -m tests.simulation --replay 'soak seed=6 hours=24'"
        again = replay("soak seed=6 hours=24").failures
        assert again[0].splitlines()[0] == tally.failures[0].splitlines()[0]

    def test_places_that_get_lost_are_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A greenlet of the pool that is killed before it begins keeps its place."""
        monkeypatch.setattr(Engine, "_job_ended", lambda *args: None)
        story = soak(6, hours=24)
        assert story.failure
        assert "last: " in story.failure


def test_a_change_is_proved_with_three_days() -> None:
    assert [task.args for task in tasks(nightly=False)] == [(1, 24.0), (2, 24.0), (3, 24.0)]
    assert tasks(nightly=True)[0].args == (7, 24 * 30.0)
