"""What the tests of the pool's own behaviour share: a pool that keeps notes of what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geventconnpool import CloseReason, ConnectionPool, Event
from geventconnpool.testing import FakeConnection, FakePeer, RecordingListener, Simulation

EVERY_GAUGE = ("idle", "active", "connecting", "checking", "closing", "waiting")


class NotingPool(ConnectionPool[FakeConnection]):
    """A pool of connections to *peer* that notes its goodbyes and its events."""

    def __init__(self, peer: FakePeer, size: int, **options: Any) -> None:
        self.peer = peer
        self.goodbyes: list[tuple[int, str]] = []
        """The number of the connection and the reason, for each call of the hook."""
        self.events = RecordingListener()
        listeners = [self.events, *options.pop("listeners", ())]
        super().__init__(size, listeners=listeners, **options)

    def _new_connection(self) -> FakeConnection:
        return self.peer.connect()

    def _close_connection(self, c: FakeConnection, reason: CloseReason) -> None:
        self.goodbyes.append((c.number, str(reason)))
        c.close()


class PingingPool(NotingPool):
    """The same, with a ping."""

    def __init__(self, peer: FakePeer, size: int, **options: Any) -> None:
        self.pinged: list[int] = []
        """The numbers of the connections, as their pings began."""
        super().__init__(peer, size, **options)

    def _keepalive(self, c: FakeConnection) -> None:
        self.pinged.append(c.number)
        c.ping()


def gauges(pool: ConnectionPool[Any]) -> dict[str, int]:
    """The gauges that are not 0."""
    stats = pool.stats()
    return {name: count for name in EVERY_GAUGE if (count := getattr(stats, name))}


def line(event: Event) -> str:
    """*event* in short: ``connection_closed 2 drained``."""
    reason = event.reason if event.reason is None else str(event.reason)
    parts = (event.kind, event.connection_id, reason)
    return " ".join(str(part) for part in parts if part is not None)


def story(events: list[Event]) -> list[str]:
    """All of *events* in short."""
    return [line(event) for event in events]


def at(sim: Simulation, when: float, what: Callable[..., Any], *args: Any) -> Any:
    """Do *what* in a greenlet of its own when the clock shows *when*."""

    def later() -> Any:
        sim.sleep(when - sim.now)
        return what(*args)

    return sim.spawn(later)


def outcome_of(what: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What *what* returns, or the class of what it raises."""
    try:
        return what(*args, **kwargs)
    except BaseException as error:
        return type(error)
