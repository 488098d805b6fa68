"""Every public method in any order: the derandomized form, and that it sees a broken pool."""

from __future__ import annotations

from typing import Any

import machine
import pytest

from geventconnpool.core.state import PoolState

Short = machine.PoolMachine.TestCase
Short.settings = machine.how(40, derandomize=True)


class TestAnyOrder(Short):
    """Forty programs, always the same."""


@pytest.mark.slow
def test_more_programs_hold() -> None:
    tally = machine.run(3, 60)
    assert tally.failures == []
    assert tally.counts["commands"] > 200


def test_a_broken_pool_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is interrupted with a connection in hand does not pass it on."""

    def leave(self: PoolState, waiter: Any, now: float) -> None:
        if waiter.waiting:
            self.line.leave(waiter)

    monkeypatch.setattr(PoolState, "leave", leave)
    tally = machine.run(1, 400, shrinks=False)
    assert len(tally.failures) == 1
    assert "Failing test case" in tally.failures[0] or "Falsifying example" in tally.failures[0]
    assert tally.failures[0].endswith("--replay 'machine seed=1 examples=400'")
