"""Looks at a pool before every step of a simulation, and notes what must never be.

.. code-block:: python

    with Simulation(seed=7) as sim:
        peer = FakePeer()
        pool = MyPool(2, peer)
        watch = PoolWatch(sim, pool, peer)
        ...                              # a life full of trouble
        watch.whole()                    # every place can be used at once
        pool.close()
        watch.nothing_left()
        watch.verify()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from gevent import getcurrent

from geventconnpool.core.condition import Phase, tick_seconds
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import CHECKING, IDLE, TAKEN, Slot
from geventconnpool.core.state import PoolState
from geventconnpool.maintenance.retirement import UNHEALTHY_CLOSE_SECONDS
from geventconnpool.maintenance.supervision import UNUSED_LEASE_SECONDS
from geventconnpool.pool import ConnectionPool
from geventconnpool.testing.arrivals import Arrivals, Ticket
from geventconnpool.testing.fakes import FakeConnection, FakePeer
from geventconnpool.testing.generations import Generations
from geventconnpool.testing.lives import EventOrder
from geventconnpool.testing.simulation import Simulation

__all__ = ["PoolWatch"]

_ARRIVES_WITHIN = UNUSED_LEASE_SECONDS
"""Seconds. On the calm path it is stamped with a clock that lags behind by a tick."""

_LOOP_CATCHES_UP = 0.5
"""Seconds after which a loop that was held up has seen to all that was due."""

_MOST_KEPT = 10
"""So many violations are kept; what follows the first ones tells little."""


class PoolWatch:
    """Oracles about one pool, asked before every step.

    Places add up; no connection is in two hands; callers are served in the order of their
    arrival; nobody waits beside an idle connection, or without a timer that ends the wait; idle
    ones are pinged in time; what is to be closed is not handed out again; the peer never sees
    more connections than there are places; connects during an outage are bounded; nothing had
    to be repaired.

    :param peer: where all of the pool's connections lead, and nobody else's.
    :param connects_per_second: so many, after a first burst, are allowed while the peer is down.

    .. versionadded:: 1.0
    """

    def __init__(
        self,
        sim: Simulation,
        pool: ConnectionPool[Any],
        peer: FakePeer,
        *,
        connects_per_second: float = 10.0,
    ) -> None:
        self.sim = sim
        self.pool = pool
        self.peer = peer
        self.violations: list[str] = []
        """What was seen that must not be: step, time, and what."""
        self.looks = 0
        """How often the pool was looked at."""
        self.escaped: set[FakeConnection] = set()
        """Detached ones, which are their users' business."""
        self.forgotten: set[FakeConnection] = set()
        """Those that somebody got and will not enter, on purpose."""
        self.events = EventOrder()
        """A listener that knows in which order events may come; to be given to the pool."""
        self._arrivals = Arrivals()
        self._generations = Generations()
        self._returned_at: WeakKeyDictionary[FakeConnection, float] = WeakKeyDictionary()
        self._late_since: dict[int, float] = {}
        self._most = 0
        self._connects = _Outage(peer, connects_per_second)
        self._repairs = 0
        checks: list[Callable[[PoolState], Iterator[str]]] = [
            self._places, self._peers_count, self._arriving, self._waiting, self._deadlines,
            self._pings, self._closed,
        ]  # fmt: skip
        self._checks = checks
        sim.observe(self.look)

    # -- for the users in the scenario

    @contextmanager
    def get(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """``pool.get()``, with a look at who is served when, and at who holds what."""
        with self._arrivals.ticket(getcurrent()) as ticket:
            lease = self._take(ticket, self.pool.get, *args, **kwargs)
            with lease as connection:
                try:
                    with connection.taken_by(getcurrent()):
                        yield connection
                finally:
                    self._returned_at[connection] = self.sim.now

    @contextmanager
    def acquire(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """The same with ``acquire`` and ``release``; with an error it is discarded."""
        with self._arrivals.ticket(getcurrent()) as ticket:
            connection = self._take(ticket, self.pool.acquire, *args, **kwargs)
        try:
            with connection.taken_by(getcurrent()):
                yield connection
        except BaseException:
            self.pool.release(connection, discard=True)
            raise
        else:
            self._returned_at[connection] = self.sim.now
            self.pool.release(connection)

    def detach(self, connection: FakeConnection) -> None:
        """``pool.detach()``."""
        self.pool.detach(connection)
        self.escaped.add(connection)

    def drain(self, interrupt: bool = False) -> None:
        """``pool.drain()``: what is in the pool now must not be handed out after it."""
        slots = list(self._state.books.slots.values())
        self.pool.drain(interrupt)
        self._generations.end(slots)

    def _take(self, ticket: Ticket, door: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        phase = self._state.phase
        taken = door(*args, **kwargs)
        if phase in (Phase.PAUSED, Phase.CLOSED):
            self.note(f"served, though the pool was {phase.value} already")
        for text in self._arrivals.served(self._state.line, ticket):
            self.note(text)
        return taken

    # -- looking

    def look(self) -> None:
        """Ask every oracle."""
        self.looks += 1
        if len(self.violations) >= _MOST_KEPT:
            return
        if self.pool._geventconnpool.is_inherited:
            return  # a child that has not begun yet: what these books say never counts again
        state = self._state
        for check in self._checks:
            for text in check(state):
                self.note(text)
        generations = self._generations.look(state.books)
        for text in (*self._arrivals.look(state.line), *generations, *self.events.mistakes):
            self.note(text)
        self.events.mistakes.clear()

    @property
    def _state(self) -> PoolState:
        return self.pool._geventconnpool.state

    def note(self, what: str) -> None:
        """Take down a violation, at this step."""
        self.violations.append(f"step {self.sim.steps}, at {self.sim.now:.6f}: {what}")

    def _places(self, state: PoolState) -> Iterator[str]:
        """The places add up, and nothing had to be repaired."""
        books = state.books
        for mistake in books.mistakes():
            yield f"the books are wrong: {mistake}"
        occupied = len(books.slots)
        if occupied > max(state.size, self._most):
            yield f"{occupied} places taken of {state.size}"
        self._most = occupied  # after a shrink it may only fall
        if books.idle and books.live > state.size:
            yield f"{books.live} are alive of {state.size}, and {books.idle} of them idle"
        for slot in books.slots.values():
            if self._goes_on(slot):
                yield f"connection {slot.id}: {slot.job.how.value} goes on after its deadline"
            if slot.state in (IDLE, CHECKING) and slot.connection.holder is not None:
                yield f"connection {slot.id} is {slot.state.value}, and somebody holds it"
        if not all(slot.state is CHECKING for slot in state.pinging):
            yield f"not pinged at all: {state.pinging}"
        if state.counters.repairs > self._repairs:
            self._repairs = state.counters.repairs
            yield "something had to be repaired"

    def _goes_on(self, slot: Slot) -> bool:
        """Whether its hook is late, and not just the loop, whose timers then come soon."""
        if slot.job is None or not slot.job.reported:
            self._late_since.pop(slot.id, None)
            return False
        return self.sim.now - self._late_since.setdefault(slot.id, self.sim.now) > _LOOP_CATCHES_UP

    def _peers_count(self, state: PoolState) -> Iterator[str]:
        """Whatever is open at the peer has a place; no client has misbehaved."""
        if self.peer.complaints:
            yield from self.peer.complaints
            self.peer.complaints.clear()
        opened = {c for c in self.peer.open - self.escaped if not self._has_overrun(c)}
        if len(opened) > max(state.size, self._most):
            yield f"{len(opened)} connections are open of {state.size}"
        # One that is new may be in the hands of the greenlet that opens it.
        unknown = {c for c in opened if not c.closed and not self._is_known(c)}
        if len(unknown) > sum(slot.connection is None for slot in state.books.slots.values()):
            yield f"open, and the pool does not know of it: {unknown}"
        if self._connects.is_excessive(self.sim.now):
            yield f"too many connects while it fails: {self._connects}"

    def _has_overrun(self, connection: FakeConnection) -> bool:
        """Whether its goodbye has had its time: its place is free, whatever the peer counts."""
        limit = min(UNHEALTHY_CLOSE_SECONDS, self.pool._geventconnpool.options.close_timeout)
        return connection.closed and self.sim.now - connection.closed_at >= limit

    def _is_known(self, connection: FakeConnection) -> bool:
        engine = self.pool._geventconnpool
        is_revoked = id(connection) in engine.revoked
        return is_revoked or engine.state.books.find(connection) is not None

    def _arriving(self, state: PoolState) -> Iterator[str]:
        """What was taken arrives in the hands of the one who asked, in the same moment."""
        for slot in state.books.slots.values():
            on_its_way = self.sim.now - slot.since if slot.state is TAKEN else 0.0
            if on_its_way > _ARRIVES_WITHIN and slot.connection not in self.forgotten:
                yield f"connection {slot.id} was taken and has arrived nowhere"

    def _waiting(self, state: PoolState) -> Iterator[str]:
        """Nobody waits beside a connection that is idle, unless that is to be checked first."""
        if state.line.count and state.phase is Phase.PAUSED:
            yield f"{state.line.count} wait for a pool that is paused"
        if not state.line.count or state.phase is not Phase.OPEN:
            return
        idle = list(state.books.idle_slots())
        usable = [slot.id for slot in idle if not state.needs_check(slot, self.sim.now)]
        if usable:
            yield f"{state.line.count} wait beside idle connections {usable}"
        elif idle and state.line.count > state.books.checking:
            yield f"{state.line.count} wait, and {len(idle)} idle connections are not checked"

    def _deadlines(self, state: PoolState) -> Iterator[str]:
        """Whoever waits for a limited time is woken when it is over."""
        deadlines = [w.deadline for w in state.line.order if w.waiting and w.deadline is not None]
        alarm = self.pool._geventconnpool.deadline
        if deadlines and (alarm._timer is None or alarm.at > min(deadlines)):
            yield f"nobody ends the wait that is over at {min(deadlines):.6f}"

    def _pings(self, state: PoolState) -> Iterator[str]:
        """Whatever is idle has been heard of within the interval, but for a tick or two."""
        options = state.options
        if options.keepalive is None or state.phase is Phase.CLOSED:
            return
        # Half of the idle ones are pinged at once; while these hang, one more on each tick.
        ticks = (2 + state.size) * tick_seconds(options)
        patience = options.keepalive + ticks + options.keepalive_timeout
        for slot in list(state.books.slots.values()):
            if slot.state is IDLE and (silent := self._silent_for(slot)) > patience:
                yield f"idle connection {slot.id} was not pinged for {silent:.1f} s"

    def _silent_for(self, slot: Slot) -> float:
        connection: FakeConnection = slot.connection
        returned = self._returned_at.get(connection, 0.0)
        return self.sim.now - max(connection.heard_at, returned)

    def _closed(self, state: PoolState) -> Iterator[str]:
        """A closed pool neither waits nor connects nor keeps anything idle."""
        if state.phase is Phase.CLOSED:
            if state.line.count or state.books.idle or state.books.connecting:
                yield f"closed, and still {self.pool!r}"
            if any(what is Order.CONNECT for what, _ in state.orders):
                yield "closed, and about to connect"

    # -- at quiet moments

    def whole(self, timeout: float = 5.0) -> None:
        """Note it unless every place can be used at once, by the current greenlet."""
        taken = []
        try:
            for _ in range(self.pool.size):
                taken.append(self.pool.acquire(timeout=timeout))
        except Exception as error:
            self.note(f"only {len(taken)} of {self.pool.size} can be used: {error}")
        if len(set(map(id, taken))) != len(taken):
            self.note("one connection was handed out twice")
        for connection in taken:
            self._returned_at[connection] = self.sim.now
            self.pool.release(connection)

    def quiet(self) -> None:
        """Note it unless nobody uses, checks, closes or waits for a connection."""
        stats = self.pool.stats()
        pings = len(self._state.pinging)
        if stats.active or stats.checking > pings or stats.closing or stats.waiting:
            self.note(f"not quiet: {self.pool!r}, {stats.checking} checking")
        if stats.idle + pings + stats.connecting < stats.min_size and not self.pool.closed:
            self.note(f"not full: {self.pool!r}")

    def nothing_left(self) -> None:
        """Note what a closed pool has left: connections, timers, greenlets, records."""
        engine = self.pool._geventconnpool
        left = {
            "connections": self.peer.open - self.escaped,
            "timers": self.sim.timers,
            "watchers": list(self.sim.loop.watchers),
            "greenlets": self.sim.blocked(),
            "records": engine.state.books.slots,
            "connections remembered": list(engine.state.books._by_connection.values()),
            "orders": engine.state.orders,
            "callers of wait_ready": engine.state.ready_wanted,
            "connections taken back": list(engine.revoked.values()),
            "events not told": [] if engine.herald.is_silent else [engine.herald],
        }
        for what, some in left.items():
            if some:
                self.note(f"{what} left: {some}")
        for text in self.events.unfinished():
            self.note(text)

    def verify(self) -> None:
        """Raise what was seen.

        :raises AssertionError: if anything was.
        """
        assert not self.violations, "\n".join(self.violations)


class _Outage:
    """How often the pool tries to connect while that fails."""

    def __init__(self, peer: FakePeer, per_second: float) -> None:
        self._peer = peer
        self._per_second = per_second
        self._began: float | None = None
        self._before = 0

    def is_excessive(self, now: float) -> bool:
        if self._peer.up and not self._peer.hang_up_on_accept:
            self._began = None
            return False
        if self._began is None:
            self._began, self._before = now, self._peer.connects
        return self._attempts > self._burst + self._per_second * (now - self._began)

    @property
    def _attempts(self) -> int:
        return self._peer.connects - self._before

    @property
    def _burst(self) -> int:
        return self._peer.most_open + 8

    def __str__(self) -> str:
        return f"{self._attempts} since {self._began}"
