"""Orders within bounds: what is counted, a share of it, and that broken pools are seen."""

from __future__ import annotations

from typing import Any

import pytest
from orders import DEPTHS, ORDERS, explore, find, tasks

from geventconnpool.core.slot import TAKEN
from geventconnpool.core.state import PoolState
from geventconnpool.core.waiting import Line, Waiter
from geventconnpool.desk import Desk
from geventconnpool.testing import Plan, play, schedules


@pytest.mark.parametrize("name", ORDERS)
def test_every_order_with_one_departure_is_survived(name: str) -> None:
    tally = explore(name, 1)
    assert tally.failures == []
    assert tally.counts["schedules"] == tally.counts["runs"] > 10


def test_the_tasks_play_every_schedule_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.DEPTHS", dict.fromkeys(DEPTHS, 1))
    played = dict.fromkeys(ORDERS, 0)
    for task in tasks(nightly=False):
        played[task.args[0]] += task.run(*task.args).counts["schedules"]
    assert played == {name: explore(name, 1).counts["schedules"] for name in ORDERS}


def test_nightly_goes_one_deeper() -> None:
    depths = {task.args[0]: task.args[1] for task in tasks(nightly=True)}
    assert depths == {name: depth + 1 for name, depth in DEPTHS.items()}


@pytest.mark.parametrize("name", ORDERS)
def test_the_same_schedule_gives_the_same_run(name: str) -> None:
    plan = Plan(turns=((1, 1), (3, 1)))
    one, other = play(find(name), plan), play(find(name), plan)
    assert one.failure is other.failure is None
    assert one.trace_hash == other.trace_hash != play(find(name)).trace_hash


class TestBrokenPool:
    """Plausible mistakes, each seen by the scenario that is about it."""

    def test_a_connection_is_handed_to_the_dead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def leave(self: PoolState, waiter: Any, now: float) -> None:
            if waiter.waiting:
                self.line.leave(waiter)
            self.settle(now)

        monkeypatch.setattr(PoolState, "leave", leave)
        assert "taken and has arrived nowhere" in first_failure("orders:three_users")

    def test_a_drained_connection_is_handed_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def hand_out(self: Desk, waiter: Waiter) -> None:
            assert waiter.slot is not None
            waiter.slot.state = TAKEN  # as if nobody had drained it

        monkeypatch.setattr(Desk, "_stand_again", hand_out)
        assert first_failure("orders:drained")

    def test_the_next_deadline_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Line, "next_deadline", lambda self: None)
        assert "nobody ends the wait" in first_failure("orders:cut")


def first_failure(name: str) -> str:
    """What the first bad schedule shows, with at most two departures."""
    for record in schedules(find(name), 2):
        if record.failure is not None:
            return str(record.failure)
    return ""
