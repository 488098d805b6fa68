"""A small world in a simulation: a peer, a pool, its users, and oracles that look on.

A scenario builds one, lets it live, and ends with `World.end`, which waits until all is quiet and
then asks for everything that the pool promises.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import gevent

from geventconnpool import Backoff, ConnectionPool, PoolError
from geventconnpool.testing import FakeConnection, FakePeer, PoolWatch, Simulation

QUIET = 12.0
"""Virtual seconds after which everything must have come to rest: the longest timeouts and then
some."""


class SimPool(ConnectionPool[FakeConnection]):
    """Of connections to *peer*."""

    def __init__(self, peer: FakePeer, size: int, **options: Any) -> None:
        self.peer = peer
        self.checked: WeakSet[FakeConnection] = WeakSet()
        """Those that have answered a ping and were not used after it."""
        self.sessions: WeakKeyDictionary[FakeConnection, str] = WeakKeyDictionary()
        """Whose traces are on which connection."""
        super().__init__(size, **options)

    def _new_connection(self) -> FakeConnection:
        return self.peer.connect()


class PingingPool(SimPool):
    """The same, with a ping."""

    def _keepalive(self, c: FakeConnection) -> None:
        c.ping()
        self.checked.add(c)


class ResettingPool(PingingPool):
    """The same, with a reset that any late answer betrays."""

    def _reset_connection(self, c: FakeConnection) -> None:
        if c.request("reset") != "reset":
            raise OSError("a late answer")
        self.sessions.pop(c, None)


class World:
    """One pool and everything around it."""

    def __init__(
        self, sim: Simulation, size: int = 2, *, kind: type[SimPool] = PingingPool, **options: Any
    ) -> None:
        self.sim = sim
        self.peer = FakePeer(
            latency=options.pop("latency", 0.01),
            answer_gap=options.pop("answer_gap", 0.0),
            close_latency=options.pop("close_latency", 0.0),
            connection_class=options.pop("connection_class", FakeConnection),
        )
        most_connects = options.pop("connects_per_second", 10.0)
        given = {
            "name": "sim",
            "timeout": 3.0,
            "connect_timeout": 2.0,
            "keepalive_timeout": 1.0,
            "close_timeout": 2.0,
            "backoff": Backoff(base=0.05, cap=0.5),
            **options,
        }
        if given.pop("listens", False):
            given["listeners"] = [lambda event: self.watch.events(event)]
        self.pool = kind(self.peer, size, **given)
        self.watch = PoolWatch(sim, self.pool, self.peer, connects_per_second=most_connects)
        self.size = size
        self.users: list[Any] = []
        self.wrong: list[str] = []
        self.right = 0
        sim.settle()

    # -- who lives here

    def spawn(self, what: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A greenlet that must have ended when all is quiet."""
        user = self.sim.spawn(what, *args, **kwargs)
        self.users.append(user)
        return user

    def user(self, **habits: Any) -> Any:
        """Somebody who asks questions; see `ask`."""
        return self.spawn(self.ask, len(self.users), **habits)

    def ask(
        self,
        who: int,
        *,
        turns: int = 1,
        timeout: float | None = 1.0,
        hold: float = 0.0,
        pause: float = 0.0,
        by_hand: bool = False,
        error: BaseException | None = None,
    ) -> None:
        """Ask *turns* questions, each over a connection of its own choice."""
        door = self.watch.acquire if by_hand else self.watch.get
        for turn in range(turns):
            with contextlib.suppress(PoolError, OSError, ValueError, LookupError):
                with door(timeout=timeout) as connection:
                    self.inspect(connection)
                    self.question(connection, f"{who}.{turn}")
                    gevent.sleep(hold)
                    if error is not None:
                        raise error
            gevent.sleep(pause)

    def inspect(self, connection: FakeConnection) -> None:
        """What is taken must be as the pool promises: checked, and without a trace of others."""
        pool = self.pool
        if isinstance(pool, ResettingPool) and connection in pool.sessions:
            left = pool.sessions[connection]
            self.wrong.append(f"{connection!r} still has the session of {left}")
        if pool._geventconnpool.options.check_after == 0:
            if connection not in pool.checked:
                self.wrong.append(f"{connection!r} was not checked")
            pool.checked.discard(connection)

    def question(self, connection: FakeConnection, token: str) -> None:
        """Ask, and compare the answer."""
        self.pool.sessions[connection] = token
        self.compare(connection, token, connection.request(token))

    def compare(self, connection: FakeConnection, token: str, answer: object) -> None:
        """Count *answer*; it is wrong unless it is *token*."""
        if answer == token:
            self.right += 1
        else:
            self.wrong.append(f"asked {token}, was told {answer!r} over {connection!r}")

    def operate(self, *acts: tuple[float, Callable[..., Any]]) -> Any:
        """Somebody who does each act after so many seconds more."""

        def operate() -> None:
            for seconds, act in acts:
                with contextlib.suppress(PoolError, OSError, ValueError):
                    gevent.sleep(seconds)
                    act()

        return self.spawn(operate)

    # -- the end

    def end(self, life: float = 0.2) -> None:
        """Let everybody live for *life* seconds; then all must come to rest and be in order."""
        self.sim.advance(life)
        self.sim.calm_down()
        self._heal()
        self.sim.advance(QUIET)
        self._check_users()
        self.watch.quiet()
        if not self.pool.closed:
            self.watch.whole()
            self._close()
        self.watch.nothing_left()
        self.watch.verify()

    def _heal(self) -> None:
        self.peer.up = True
        self.peer.black_hole = self.peer.hang_up_on_accept = False
        if not self.pool.closed:
            self.pool.resume()
            self.watch.look()  # how many there may be after a shrink depends on how many are
            self.pool.resize(self.size, self.size)

    def _check_users(self) -> None:
        """All have ended, with right answers, and were counted."""
        for user in self.users:
            if not user.ready():
                self.watch.note(f"still waiting: {self.sim.describe(user)}")
        for wrong in self.wrong:
            self.watch.note(wrong)
        stats = self.pool.stats()
        served = stats.acquires - stats.acquire_timeouts - stats.acquire_errors
        if served < self.right:
            self.watch.note(f"{self.right} served, and counted {served}")
        if self.pool._geventconnpool.state.line.sent_away:
            self.watch.note("some were sent away and do not know it")

    def _close(self) -> None:
        self.sim.advance(0.1)
        if not self.pool.close(timeout=3.0):
            self.watch.note(f"not closed in time: {self.pool!r}")
        # A moment only: a timer that nobody has stopped is not to go off before it is seen.
        self.sim.advance(0.01)
