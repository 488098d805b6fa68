"""What the tests of checkouts share: pools that can be looked into, odd connections, faults."""

from __future__ import annotations

import _socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent import Greenlet

from geventconnpool import ConnectionPool, PoolStats
from geventconnpool.testing import FakePeer, Simulation

INTERRUPTIONS = (
    gevent.Timeout,
    gevent.GreenletExit,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    BaseException,
)
"""What is no ``Exception``."""


class PeerPool(ConnectionPool[Any]):
    """A pool of connections to a fake peer, that remembers what it closed and why."""

    def __init__(self, size: int = 1, *args: Any, peer: FakePeer | None = None, **options: Any):
        self.peer = FakePeer() if peer is None else peer
        self.goodbyes: list[tuple[Any, str]] = []
        super().__init__(size, *args, **options)

    def _new_connection(self) -> Any:
        return self.peer.connect()

    def _close_connection(self, c: Any, reason: Any) -> None:
        self.goodbyes.append((c, str(reason)))
        super()._close_connection(c, reason)

    @property
    def reasons(self) -> list[str]:
        """Why it closed what it closed, in order."""
        return [reason for _, reason in self.goodbyes]


class Wire:
    """A connection with a real descriptor, and the peer's end of it."""

    def __init__(self) -> None:
        self._end, self.peer_end = _socket.socketpair()
        self.peer_end.setblocking(False)  # a test that waits for real waits for ever
        self.closes = 0

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        self.closes += 1
        self._end.close()

    def hang_up(self) -> None:
        """As the peer: close."""
        self.peer_end.close()

    def speak(self) -> None:
        """As the peer: say something."""
        self.peer_end.send(b"late answer")


class WirePool(PeerPool):
    """A pool of connections with real descriptors."""

    wire_class: Callable[[], Any] = Wire

    def __init__(self, size: int = 1, *args: Any, **options: Any) -> None:
        self.wires: list[Any] = []
        super().__init__(size, *args, **options)

    def _new_connection(self) -> Any:
        wire = type(self).wire_class()
        self.wires.append(wire)
        return wire

    def bury(self) -> None:
        """Close both ends of everything."""
        self.close(0)
        gevent.idle()
        for wire in self.wires:
            wire._end.close()
            wire.peer_end.close()


def filled(sim: Simulation, pool: Any) -> Any:
    """*pool*, once it is full and its connections have proved themselves."""
    sim.advance(2.5)
    stats = pool.stats()
    assert stats.idle == stats.min_size, stats
    return pool


def whole(sim: Simulation, pool: Any) -> PoolStats:
    """See that every place of *pool* can be used at once, by nobody else, and return its stats."""
    sim.advance(60)
    taken = [pool.acquire(timeout=20) for _ in range(pool.size)]
    assert len(set(map(id, taken))) == pool.size
    assert pool.stats().active == pool.size
    for each in taken:
        pool.release(each)
    sim.advance(10)
    stats = pool.stats()
    assert (stats.active, stats.waiting, stats.checking, stats.closing) == (0, 0, 0, 0), stats
    assert stats.idle >= stats.min_size, stats
    assert stats.repairs == 0
    peer = getattr(pool, "peer", None)
    if peer is not None:
        assert peer.complaints == []
        assert peer.most_open <= pool.size
    return stats


@contextmanager
def nothing_else_runs(sim: Simulation) -> Iterator[None]:
    """See that nobody is switched to inside the block."""
    ran: list[int] = []
    callback = gevent.get_hub().loop.run_callback(ran.append, 1)
    steps = sim.steps
    yield
    assert (ran, sim.steps) == ([], steps), "something else ran"
    callback.stop()


def take_and_hold(pool: Any, seconds: float, **get: Any) -> Any:
    """Use a connection of *pool* for so long; returns it."""
    with pool.get(**get) as c:
        gevent.sleep(seconds)
    return c


def outcome(action: Callable[[], Any]) -> Any:
    """What *action* returns, or the type of what it raises."""
    try:
        return action()
    except BaseException as error:
        return type(error)


def throw_soon(victim: Any, error: BaseException) -> None:
    """Throw *error* into *victim* in the next turn of the loop, before what is ordered later."""
    gevent.get_hub().loop.run_callback(victim.throw, error)


class Faults:
    """Throws an error at one step into somebody, once: the whole of a sweep, run by run."""

    def __init__(
        self, sim: Simulation, step: int, victims: Callable[[], list[Any]], error: type
    ) -> None:
        self._first = sim.steps
        self._step = step
        self._victims = victims
        self._error = error
        self.hits = 0
        self.steps = 0
        sim.inject = self._inject

    def _inject(self, loop: Any) -> None:
        self.steps = loop.steps - self._first
        if self.steps != self._step or self.hits:
            return
        for victim in self._victims():
            if not victim.ready():
                self.hits += 1
                victim.throw(self._error())


def sweep(
    scenario: Callable[[Simulation], tuple[Callable[[], list[Any]], Callable[[], None]]],
    error: type,
    stop_after: int = 400,
    **simulation: Any,
) -> int:
    """Run *scenario* once for each of its steps, with *error* thrown into its victims there.

    *scenario* builds its world and returns who are the victims, and what runs the rest and
    checks it. Returns how many throws hit somebody.
    """
    hits = 0
    for step in range(1, stop_after):
        with Simulation(**simulation) as sim:
            gevent.get_hub().SYSTEM_ERROR = ()  # who dies of Ctrl-C does not take us with him
            victims, rest = scenario(sim)
            faults = Faults(sim, step, victims, error)
            rest()
            sim.inject = None
            assert [e for e in sim.errors if type(e) is not error] == []
            hits += faults.hits
            if faults.steps < step:
                return hits
    return hits


def pools_own(sim: Simulation, ours: list[Any]) -> Callable[[], list[Greenlet]]:
    """Finds the living greenlets of the simulation that are not *ours*: those of the pool."""
    return lambda: [g for g in sim.alive() if g not in ours]
