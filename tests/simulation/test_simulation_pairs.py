"""Pairs of events: how they are made to meet, a share of them, and that broken pools are seen."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from childhood import ChildWorld, childhood, pinging
from meetings import Deed, Meeting, Pair, call, falls_due, kill, start
from pairs import PAIRS, find, in_a_hurry, meet, one_line, refused, tasks
from tally import Tally
from world import World

from geventconnpool import forks
from geventconnpool.core.slot import CLOSING
from geventconnpool.core.state import PoolState
from geventconnpool.engine import Engine
from geventconnpool.maintenance import inheritance
from geventconnpool.testing import Simulation, play

QUICK = ["pause-handover", "drain-refused", "seize-refused"]


@pytest.mark.parametrize("name", QUICK)
def test_a_pair_is_survived(name: str) -> None:
    tally = meet(name)
    assert tally.failures == []
    assert tally.counts["runs"] >= 38
    assert tally.counts["positions"] >= 8


class TestMeeting:
    """Both events happen, at that step, in that order, and the run can be had again."""

    def test_every_way_of_both_is_met_in_both_orders(self) -> None:
        log: list[str] = []
        pair = a_pair(log, ways=(2, 3))

        meetings = list(pair.meetings())
        steps = {meeting.step for meeting in meetings}

        assert len(meetings) == len(steps) * 2 * 3 * 2
        assert sorted(steps) == list(range(min(steps), max(steps) + 1))
        play(Meeting(pair, 10, 1, 2, "ab"))
        play(Meeting(pair, 10, 0, 1, "ba"))
        assert log == ["first 1 at 10", "second 2 at 10", "second 1 at 10", "first 0 at 10"]

    def test_a_gap_is_in_steps(self) -> None:
        log: list[str] = []
        play(Meeting(a_pair(log), 10, 0, 0, "ba", 2))
        assert log == ["second 0 at 10", "first 0 at 12"]

    def test_two_of_a_kind_need_one_order(self) -> None:
        event = an_event([], "it", 3)
        meetings = list(Pair("toy", quiet, event, event).meetings())
        steps = {meeting.step for meeting in meetings}
        assert {meeting.order for meeting in meetings} == {"ab"}
        assert len(meetings) == len(steps) * 3 * 2

    @pytest.mark.parametrize("name", PAIRS)
    def test_its_name_finds_it(self, name: str) -> None:
        meeting = next(iter(PAIRS[name].meetings()))
        assert find(str(meeting)) == meeting
        assert " " not in str(meeting)

    @pytest.mark.parametrize("name", ["pair:close-kill:20:0:2:ba:0", "pair:fork-kill:25:0:1:ab:0"])
    def test_it_runs_alike_twice(self, name: str) -> None:
        one, other = play(find(name)), play(find(name))
        assert one.failure is other.failure is None
        assert one.trace_hash == other.trace_hash

    def test_the_order_matters(self) -> None:
        meetings = itertools.islice(PAIRS["pause-handover"].meetings(), 80)
        hashes = {str(meeting): play(meeting).trace_hash for meeting in meetings}
        turned = [name for name in hashes if hashes[name] != hashes[name.replace(":ab:", ":ba:")]]
        assert turned

    def test_a_step_that_never_comes_is_a_failure(self) -> None:
        record = play(Meeting(PAIRS["close-kill"], 999, 0, 0))
        assert "no such step" in str(record.failure)

    def test_the_order_is_one_of_two(self) -> None:
        with pytest.raises(ValueError, match="order must be one of ab, ba"):
            find("pair:close-kill:20:0:2:aa:0")


def a_pair(log: list[str], ways: tuple[int, int] = (1, 1)) -> Pair:
    first, second = an_event(log, "first", ways[0]), an_event(log, "second", ways[1])
    return Pair("toy", quiet, first, second)


def an_event(log: list[str], name: str, ways: int) -> Any:
    def happens(world: World) -> list[Callable[[], object]]:
        return [functools.partial(note, log, name, way, world) for way in range(ways)]

    return happens


def note(log: list[str], name: str, way: int, world: World) -> None:
    log.append(f"{name} {way} at {world.sim.steps}")


def in_hub(sim: Simulation, deed: Deed) -> None:
    """Do it where events happen."""
    sim.loop.run_callback(deed)
    sim.settle()


def quiet(sim: Simulation) -> World:
    world = World(sim, 1)
    for _ in range(3):
        world.user()
    return world


class TestEvents:
    def test_a_timer_rings_early_and_the_clock_jumps_there(self, sim: Simulation) -> None:
        world = World(sim, 1)
        woken: list[float] = []
        world.operate((0.5, lambda: woken.append(sim.now)))
        sim.settle()
        due = [timer.due for timer in sim.timers]

        in_hub(sim, falls_due(world)[due.index(0.5)])

        assert woken == [0.5]
        world.end()

    def test_every_living_greenlet_is_a_victim(self, sim: Simulation) -> None:
        world = World(sim, 1)
        users = [world.user(timeout=None) for _ in range(3)]
        sim.settle()

        for deed in kill(world)[: len(sim.alive())]:
            in_hub(sim, deed)

        assert all(user.ready() for user in users)
        world.end()

    def test_whom_the_other_event_starts_is_one_too(self, sim: Simulation) -> None:
        world = World(sim, 2)
        sim.advance(0.1)
        before = sim.alive()
        kill_newest = kill(world)[len(before)]
        victims = []

        def drain_and_kill() -> None:
            world.pool.drain()
            victims.extend(sim.alive())
            kill_newest()
            victims[:] = [victim.ready() for victim in victims]

        in_hub(sim, drain_and_kill)

        assert victims == [False] * (len(victims) - 1) + [True]
        assert len(victims) > len(before)
        world.end()

    def test_a_call_may_wait_in_a_greenlet_of_its_own(self, sim: Simulation) -> None:
        world = World(sim, 1)
        sim.advance(0.1)
        world.user(hold=0.5)
        sim.settle()

        in_hub(sim, start(lambda world: world.pool.close(timeout=1))(world)[0])

        assert world.pool.closed
        assert not world.users[-1].ready()
        world.end()

    def test_a_refused_call_is_no_failure(self, sim: Simulation) -> None:
        world = World(sim, 1)
        world.pool.close()
        in_hub(sim, call(lambda world: world.pool.drain())(world)[0])
        world.end()

    def test_a_connect_is_refused_while_others_are_not(self, sim: Simulation) -> None:
        world = World(sim, 2)
        first, _ = refused(world)

        in_hub(sim, first)

        assert world.pool.stats().connect_errors == 1
        world.end()

    def test_a_hurry_ends_wherever_it_is(self, sim: Simulation) -> None:
        world = one_line(sim)
        in_a_hurry(world, 0.01, timeout=None)
        sim.advance(0.02)
        assert world.users[-1].ready()
        world.end()


class TestChildhood:
    """A notice of a fork in a simulation reaches nobody outside, and is strict inside."""

    def test_it_ends(self) -> None:
        heirs, kept = forks._heirs, list(forks._kept)
        record = play(find("pair:fork-kill:25:0:1:ab:0"))
        assert record.failure is None
        assert forks._heirs is heirs
        assert forks._kept == kept
        assert forks.SAME_PROCESS

    @pytest.mark.parametrize("act", ["send", "close"])
    def test_a_byte_or_goodbye_on_the_parents_connection_is_seen(
        self, sim: Simulation, act: str
    ) -> None:
        with childhood():
            world = pinging(sim)
            connection = next(iter(world.peer.open))
            world.disown(connection)
            {"send": lambda: connection.send("a byte"), "close": connection.close}[act]()
            assert world.peer.complaints
            for link in world.links:
                link.hang_up()

    def test_the_child_has_connections_of_its_own(self, sim: Simulation) -> None:
        with childhood():
            world: ChildWorld = pinging(sim)
            parents = set(world.peer.open)
            world.fork()
            world.end(0.3)
        assert world.parents == parents
        assert world.peer.open < parents  # but for the one that the peer cut


class TestBrokenPool:
    """Plausible mistakes, each seen by the pair that is about it."""

    def test_a_connection_is_not_passed_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def leave(self: PoolState, waiter: Any, now: float) -> None:
            if waiter.waiting:
                self.line.leave(waiter)
            self.settle(now)

        monkeypatch.setattr(PoolState, "leave", leave)
        assert "taken and has arrived nowhere" in first_failure("handover-kill")

    def test_an_abandoned_connect_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        connected = PoolState.connected

        def forget(self: PoolState, slot: Any, connection: Any, now: float, at: Any) -> bool:
            if slot.state is CLOSING:
                self.closed(slot, now)
                return True
            return connected(self, slot, connection, now, at)

        monkeypatch.setattr(PoolState, "connected", forget)
        assert "the pool does not know of it" in first_failure("drain-connect")

    def test_a_killed_goodbye_is_not_said_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Engine, "_job_ended", lambda *_: None)
        assert "not quiet" in first_failure("close-kill")

    def test_a_shrink_is_forgotten_on_return(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(PoolState, "is_surplus", lambda self: False)
        assert first_failure("shrink-release")

    def test_a_child_goes_on_with_a_ping(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inheritance, "os", SimpleNamespace(dup2=lambda *_, **__: None))
        assert "on the parent's connection" in first_failure("fork-keepalive")


def first_failure(name: str) -> str:
    """Of the pair *name*; the rest of it is not played."""
    for meeting in PAIRS[name].meetings():
        failure = play(meeting).failure
        if failure is not None:
            return str(failure)
    return ""


def test_the_tasks_play_every_meeting_once(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = {pair: set(map(str, PAIRS[pair].meetings())) for pair in PAIRS}
    played: list[str] = []

    def judge(name: str, *_: Any) -> None:
        played.append(name)

    monkeypatch.setattr("pairs.judge", judge)
    whole = Tally()
    for task in tasks(nightly=False):
        whole.add(task.run(*task.args))
    assert sorted(played) == sorted(name for names in everything.values() for name in names)
