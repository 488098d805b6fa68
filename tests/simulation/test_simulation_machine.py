"""Every public method in any order: the derandomized form, and that it sees a broken pool."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import machine
import pytest

Short = machine.PoolMachine.TestCase
Short.settings = machine.how(40, derandomize=True)


class TestAnyOrder(Short):
    """Forty programs, always the same."""


@pytest.mark.slow
def test_more_programs_hold() -> None:
    tally = machine.run(3, 60)
    assert tally.failures == []
    assert tally.counts["commands"] > 200


BROKEN = """
import machine
from geventconnpool.core.state import PoolState

def leave(self, waiter, now):
    if waiter.waiting:
        self.line.leave(waiter)

PoolState.leave = leave
for failure in machine.run(1, 400, shrinks=False).failures:
    print(failure)
"""


def test_a_broken_pool_is_found() -> None:
    """Whoever is interrupted with a connection in hand does not pass it on.

    In a process of its own: Hypothesis takes constants from the modules that happen to be
    loaded, so what a seed draws beside a whole test suite is another thing.
    """
    paths = [str(Path(each).resolve()) for each in sys.path if each]
    done = subprocess.run(
        [sys.executable, "-c", BROKEN],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    assert "Failing test case" in done.stdout or "Falsifying example" in done.stdout
    assert done.stdout.endswith("--replay 'machine seed=1 examples=400'\n")
