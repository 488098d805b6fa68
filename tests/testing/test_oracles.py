"""The oracles: each fires on a pool that is broken in its way, and none on a right one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from geventconnpool import Backoff, ConnectionPool, PoolError
from geventconnpool.core.condition import Phase
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import IDLE
from geventconnpool.core.state import PoolState
from geventconnpool.testing import FakeConnection, FakePeer, PoolWatch, Simulation


class WatchedPool(ConnectionPool[FakeConnection]):
    """A pool of two, its peer, and who looks on."""

    def __init__(self, sim: Simulation, size: int = 2, **options: Any) -> None:
        self.sim = sim
        self.peer = FakePeer(latency=0.01)
        given = {"backoff": Backoff(0.05, 0.5), "timeout": 3.0, "keepalive_timeout": 0.5}
        super().__init__(
            size, listeners=[lambda event: self.watch.events(event)], **{**given, **options}
        )
        self.watch = PoolWatch(sim, self, self.peer)
        sim.advance(0.1)

    @property
    def state(self) -> PoolState:
        return self._geventconnpool.state

    @property
    def seen(self) -> str:
        """The violations, after one more look."""
        self.watch.look()
        return "\n".join(self.watch.violations)

    def ask(self, hold: float = 0.0, **options: Any) -> None:
        """Use a connection for a while, under the eyes of the watch."""
        try:
            with self.watch.get(**options) as connection:
                assert connection.request("question") == "question"
                gevent.sleep(hold)
        except (PoolError, OSError):
            pass

    def _new_connection(self) -> FakeConnection:
        return self.peer.connect()

    def _keepalive(self, c: FakeConnection) -> None:
        c.ping()


@pytest.fixture
def pool(sim: Simulation) -> WatchedPool:
    return WatchedPool(sim)


def slot_of(pool: WatchedPool) -> Any:
    return next(iter(pool.state.books.slots.values()))


class TestRightPool:
    def test_nothing_is_seen_in_a_life_full_of_trouble(self, sim: Simulation) -> None:
        pool = WatchedPool(sim, keepalive=1.0)
        users = [sim.spawn(pool.ask, 0.02 * n, timeout=0.05 * n) for n in range(6)]
        sim.advance(0.03)
        users[-1].kill(block=False)
        pool.peer.restart(downtime=0.2)
        sim.advance(1)
        pool.watch.drain()
        pool.pause(interrupt=True)
        sim.advance(0.1)
        pool.resume()
        pool.resize(1)
        pool.resize(3)
        users += [sim.spawn(pool.ask, 0.01) for _ in range(5)]
        sim.advance(5)

        assert all(user.ready() for user in users)
        pool.watch.quiet()
        pool.watch.whole()
        sim.advance(0.1)
        assert pool.close()
        sim.advance(1)
        pool.watch.nothing_left()
        pool.watch.verify()
        assert pool.watch.looks > 100

    def test_a_detached_connection_is_its_users_business(self, pool: WatchedPool) -> None:
        with pool.watch.get() as connection:
            pool.watch.detach(connection)
        pool.sim.advance(1)
        pool.close()
        assert pool.peer.open == {connection}
        pool.watch.nothing_left()
        pool.watch.verify()

    def test_a_goodbye_that_overran_is_not_held_against_the_pool(self, sim: Simulation) -> None:
        pool = WatchedPool(sim, close_timeout=0.2)
        pool.peer.close_latency = 1.0
        pool.drain()
        sim.advance(3)
        pool.watch.verify()
        pool.close()


def connect_after_close(pool: WatchedPool) -> None:
    slot = slot_of(pool)
    pool.close()
    pool.state.orders.append((Order.CONNECT, slot))


BREAKAGES: dict[str, tuple[Callable[[WatchedPool], object], str]] = {
    "the counts": (
        lambda pool: setattr(slot_of(pool), "ghost", pool.state.books._haunt(slot_of(pool))),
        "the books are wrong: idle: 2 in the records, 1 counted",
    ),
    "one place too many": (
        lambda pool: pool.state.books.add(pool.sim.now),
        "3 places taken of 2",
    ),
    "idle in somebody's hands": (
        lambda pool: setattr(slot_of(pool).connection, "holder", "somebody"),
        "connection 1 is idle, and somebody holds it",
    ),
    "a ping of nothing": (
        lambda pool: pool.state.pinging.add(slot_of(pool)),
        "not pinged at all",
    ),
    "a repair": (
        lambda pool: setattr(pool.state.counters, "repairs", 1),
        "something had to be repaired",
    ),
    "a connection outside the books": (
        lambda pool: pool.peer._accept(),
        "the pool does not know of it",
    ),
    "more than the peer may count": (
        lambda pool: pool.peer._accept(),
        "3 connections are open of 2",
    ),
    "use after close": (
        lambda pool: (pool.peer._accept().close(), pool.peer.complain("a complaint")),
        "a complaint",
    ),
    "idle after close": (
        lambda pool: setattr(pool.state, "phase", Phase.CLOSED),
        "closed, and still <WatchedPool",
    ),
    "a connect after close": (
        connect_after_close,
        "closed, and about to connect",
    ),
    "an event without a beginning": (
        lambda pool: (pool.state.tell("acquire_failed", reason="timeout"), pool.ask()),
        "acquire_failed, and nobody had asked",
    ),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_state_is_seen(pool: WatchedPool, name: str) -> None:
    assert pool.seen == ""
    breakage, message = BREAKAGES[name]
    breakage(pool)
    assert message in pool.seen
    with pytest.raises(AssertionError) as failure:
        pool.watch.verify()
    assert message in str(failure.value)
    pool.state.orders.clear()


class TestWaiting:
    """One connection, in use; somebody waits."""

    @pytest.fixture
    def pool(self, sim: Simulation) -> WatchedPool:
        pool = WatchedPool(sim, 1)
        for hold in (0.1, 0.1, 0.0):
            sim.spawn(pool.ask, hold, timeout=None)
        sim.advance(0.05)
        assert pool.state.line.count == 2
        assert pool.seen == ""
        return pool

    def test_nobody_waits_beside_an_idle_connection(self, pool: WatchedPool) -> None:
        pool.state.books.move(slot_of(pool), IDLE)
        assert "2 wait beside idle connections [1]" in pool.seen

    def test_nobody_waits_for_a_paused_pool(self, pool: WatchedPool) -> None:
        pool.state.phase = Phase.PAUSED
        assert "2 wait for a pool that is paused" in pool.seen

    def test_nobody_is_overtaken_in_the_line(self, pool: WatchedPool) -> None:
        order = pool.state.line.order
        order.rotate(1)
        pool.sim.advance(0.1)
        assert "caller 3 was served before caller 2" in pool.seen

    def test_nobody_is_overtaken_by_a_newcomer(
        self, pool: WatchedPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        slot = slot_of(pool)
        monkeypatch.setattr(pool.state, "take", lambda now: slot)
        with pytest.raises(AssertionError, match="held by"):
            pool.ask()
        assert "caller 4 has overtaken caller 2" in pool.seen
        assert "in two hands" in pool.seen

    def test_a_wait_that_nobody_ends_is_seen(self, pool: WatchedPool) -> None:
        pool.sim.spawn(pool.ask, timeout=1.0)
        pool.sim.settle()
        pool._geventconnpool.deadline.stop()
        assert "nobody ends the wait that is over at" in pool.seen


class TestUpkeep:
    def test_an_idle_connection_that_is_not_pinged_is_seen(
        self, sim: Simulation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pool = WatchedPool(sim, keepalive=1.0)
        sim.advance(10)
        assert pool.seen == ""
        monkeypatch.setattr(PoolState, "start_ping", lambda self, slot, now: None)
        sim.advance(10)
        assert "idle connection 1 was not pinged for 2." in pool.seen

    def test_connects_without_a_pause_are_seen(self, sim: Simulation) -> None:
        pool = WatchedPool(sim, backoff=Backoff(0.001, 0.001))
        pool.peer.down()
        pool.drain()
        sim.advance(2)
        assert "too many connects while it fails" in pool.seen

    def test_a_generation_that_outlives_its_drain_is_seen(
        self, pool: WatchedPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pool, "drain", lambda interrupt: None)
        pool.watch.drain()
        pool.ask()
        assert pool.seen != ""


class TestQuietMoments:
    def test_who_is_served_by_a_paused_pool_is_seen(
        self, pool: WatchedPool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pool.pause()
        monkeypatch.setattr(PoolState, "refusal", lambda self, now: None)
        pool.ask()
        assert "served, though the pool was paused already" in pool.seen

    def test_a_place_that_is_lost_is_seen(self, pool: WatchedPool) -> None:
        pool.acquire()
        pool.watch.whole(timeout=0.1)
        assert "only 1 of 2 can be used" in pool.seen

    def test_a_pool_that_is_busy_is_not_quiet(self, pool: WatchedPool) -> None:
        connection = pool.acquire()
        pool.watch.quiet()
        assert "not quiet" in pool.seen
        pool.release(connection)

    def test_a_pool_that_is_not_full_is_seen(self, pool: WatchedPool) -> None:
        pool.pause()
        pool.drain()
        pool.sim.advance(1)
        pool.watch.quiet()
        assert "not full" in pool.seen

    @pytest.mark.parametrize(
        "what", ["connections", "timers", "watchers", "greenlets", "records", "orders"]
    )
    def test_what_a_closed_pool_has_left_is_seen(self, pool: WatchedPool, what: str) -> None:
        slot, loop = slot_of(pool), pool.sim.loop
        pool.close()
        pool.watch.nothing_left()
        assert pool.seen == ""
        leave: dict[str, Callable[[], object]] = {
            "connections": pool.peer._accept,
            "timers": lambda: loop.timer(100, ref=False).start(print),
            "watchers": lambda: loop.io(0, 1).start(print),
            "greenlets": lambda: pool.sim.spawn(gevent.sleep, 1),
            "records": lambda: pool.state.books.slots.update({1: slot}),
            "orders": lambda: pool.state.orders.append((Order.CLOSE, slot)),
        }
        leave[what]()

        pool.watch.nothing_left()

        assert f"{what} left: " in "\n".join(pool.watch.violations)
        pool.state.orders.clear()
        pool.state.books.slots.clear()

    def test_an_acquire_without_an_end_is_seen(self, pool: WatchedPool) -> None:
        pool.watch.events.acquires = 1
        pool.close()
        pool.watch.nothing_left()
        assert "1 acquires had no end" in "\n".join(pool.watch.violations)


def test_only_the_first_violations_are_kept(pool: WatchedPool) -> None:
    pool.state.books.add(pool.sim.now)
    pool.state.phase = Phase.CLOSED
    pool.sim.settle()
    for _ in range(50):
        pool.watch.look()
    assert 10 <= len(pool.watch.violations) < 20
