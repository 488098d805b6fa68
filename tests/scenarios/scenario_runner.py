"""Operations in, expected events out: a small language for the life of a pool.

Each line of ``steps`` says when, who and what; each line of ``told`` when, what happened, to
which connection, and why. ``and`` instead of a time means: in the same breath, before anybody
else gets to run. Who is the pool, the peer, or a user, by any other name::

    1.0  ann takes 5          wait up to 5 s for a connection, for a block
    1.0  ann leaves           leave the block; "leaves OSError" with that error
    1.0  ann discards         also: detaches, gives (back, at once), is killed
    1.0  ann has 3            she holds connection 3 of the peer; "waits": she still waits
    1.0  ann gets PoolTimeout
    1.0  pool drains          also: pauses, resumes, resizes 3 1, checks, closes, opens;
                              "drains interrupt", "pauses interrupt", "closes 0"
    1.0  pool shows idle=1    its gauges; those not named are 0
    1.0  peer down            also: up, silent, speaking, cuts 1, cuts all, latency 2,
                              open 3 (it has so many connections)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.event import AsyncResult

from geventconnpool import Backoff, ConnectionPool
from geventconnpool.testing import FakeConnection, FakePeer, RecordingListener, Simulation

GAUGES = ("idle", "active", "connecting", "checking", "closing", "waiting")

ERRORS: dict[str, type[BaseException]] = {
    "OSError": OSError,
    "ValueError": ValueError,
    "Timeout": gevent.Timeout,
    "KeyboardInterrupt": KeyboardInterrupt,
}


@dataclass
class Scenario:
    """One rule, shown by what a pool tells."""

    rule: str
    steps: str
    told: str
    pool: dict[str, Any] = field(default_factory=dict)
    """Options of the pool; ``size`` is 1 if it is not given."""
    peer: dict[str, Any] = field(default_factory=dict)
    pings: bool = False
    """Whether the pool has a ping."""
    ignore: tuple[str, ...] = ()
    """Kinds of events that are beside the point."""


class _Pool(ConnectionPool[FakeConnection]):
    pass


class _PingingPool(_Pool):
    def _keepalive(self, c: FakeConnection) -> None:
        c.ping()


class _User:
    """Takes a connection, and holds it until told otherwise."""

    def __init__(self, name: str, pool: _Pool, timeout: str | None) -> None:
        self.name = name
        self.pool = pool
        self.connection: FakeConnection | None = None
        self.outcome: type[BaseException] | None = None
        self._exit: AsyncResult[None] = AsyncResult()
        options = {} if timeout is None else {"timeout": float(timeout)}
        self.greenlet = gevent.spawn(self._live, options)

    def _live(self, options: dict[str, Any]) -> None:
        try:
            with self.pool.get(**options) as c:
                self.connection = c
                self._exit.get()
        except BaseException as error:
            self.outcome = type(error)
        self.connection = None

    def do(self, verb: str, *what: str) -> None:
        if verb == "leaves":
            error = ERRORS[what[0]]() if what else None
            self._exit.set() if error is None else self._exit.set_exception(error)
        elif verb == "discards":
            self.pool.discard(self._held())
        elif verb == "detaches":
            self.pool.detach(self._held())
        elif verb == "gives":
            self.pool.release(self._held())
        elif verb == "is" and what == ("killed",):
            self.greenlet.kill(block=False)
        elif verb == "has":
            assert self._held().number == int(what[0])
        elif verb == "waits":
            served = (self.connection, self.outcome) != (None, None)
            assert not served, f"{self.name} waits no more"
        elif verb == "gets":
            assert self.outcome is not None, f"{self.name} got nothing yet"
            assert self.outcome.__name__ == what[0]
        else:
            raise ValueError(f"users do not know how to: {verb}")

    def _held(self) -> FakeConnection:
        assert self.connection is not None, f"{self.name} has nothing ({self.outcome})"
        return self.connection


class _World:
    """One scenario, as it is played."""

    def __init__(self, scenario: Scenario, sim: Simulation) -> None:
        self.sim = sim
        self.peer = FakePeer(**{"latency": 0.1, **scenario.peer})
        self.events: list[str] = []
        self.users: dict[str, _User] = {}
        kind = _PingingPool if scenario.pings else _Pool
        options = {"size": 1, "backoff": Backoff(1, 4, jitter="none"), **scenario.pool}
        ignored = ("acquire_started", *scenario.ignore)
        self._recorded = RecordingListener()

        def listen(event: Any) -> None:
            self._recorded(event)
            if event.kind not in ignored:
                reason = None if event.reason is None else str(event.reason)
                parts = (f"{sim.now:.3f}", event.kind, event.connection_id, reason)
                self.events.append(" ".join(str(part) for part in parts if part is not None))

        self.pool = kind(connect=self.peer.connect, listeners=[listen], **options)

    def play(self, steps: str) -> None:
        for line in steps.strip().splitlines():
            when, who, verb, *what = line.split()
            if when != "and":
                self.sim.settle()
                assert float(when) >= self.sim.now, f"late for: {line}"
                self.sim.advance(float(when) - self.sim.now)
            try:
                self._do(who, verb, *what)
            except AssertionError as error:
                raise AssertionError(f"at {line.strip()!r}: {error}") from error
        self.sim.settle()

    def _do(self, who: str, verb: str, *what: str) -> None:
        if who == "pool":
            self._do_pool(verb, *what)
        elif who == "peer":
            self._do_peer(verb, *what)
        elif verb == "takes":
            self.users[who] = _User(who, self.pool, *what or [None])
        else:
            self.users[who].do(verb, *what)

    def _do_pool(self, verb: str, *what: str) -> None:
        pool = self.pool
        verbs: dict[str, Callable[..., Any]] = {
            "drains": lambda *flag: pool.drain(interrupt=bool(flag)),
            "pauses": lambda *flag: pool.pause(interrupt=bool(flag)),
            "resumes": pool.resume,
            "resizes": lambda *sizes: pool.resize(*map(int, sizes)),
            "checks": lambda: gevent.spawn(pool.check),
            "closes": lambda *timeout: gevent.spawn(pool.close, *map(float, timeout)),
            "opens": pool.open,
            "shows": self._check_gauges,
        }
        verbs[verb](*what)

    def _check_gauges(self, *pairs: str) -> None:
        expected = {name: int(number) for name, number in (pair.split("=") for pair in pairs)}
        stats = self.pool.stats()
        assert {name: n for name in GAUGES if (n := getattr(stats, name))} == expected

    def _do_peer(self, verb: str, *what: str) -> None:
        peer = self.peer
        if verb in ("down", "up"):
            peer.down() if verb == "down" else setattr(peer, "up", True)
        elif verb in ("silent", "speaking"):
            peer.black_hole = verb == "silent"
        elif verb == "latency":
            peer.latency = float(what[0])
        elif verb == "open":
            assert len(peer.open) == int(what[0])
        elif what == ("all",):
            peer.cut_all()
        else:
            (connection,) = (c for c in peer.open if c.number == int(what[0]))
            peer.cut(connection)

    def check_what_always_holds(self) -> None:
        """Rules that no scenario may break, whatever it is about."""
        stats, told = self.pool.stats(), self._recorded.kinds()
        assert stats.repairs == 0
        assert self.peer.complaints == []
        assert told.count("acquire_started") == stats.acquires
        ended = told.count("connection_acquired") + told.count("acquire_failed")
        assert ended + stats.waiting == stats.acquires
        ends = [event.connection_id for event in self._recorded.of("connection_closed")]
        assert len(ends) == len(set(ends))
        alive = stats.idle + stats.active + stats.connecting + stats.checking
        assert stats.connects == len(ends) + alive


def play(scenario: Scenario, sim: Simulation) -> list[str]:
    """What the pool of *scenario* tells."""
    world = _World(scenario, sim)
    world.play(scenario.steps)
    world.check_what_always_holds()
    return list(world.events)  # as it is now: the end of the simulation tells more
