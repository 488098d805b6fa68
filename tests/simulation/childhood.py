"""The world of a forked child: everything goes on as a copy, and the old connections are taboo.

The peer keeps what the parent has open, and that is right. A real fork is not made: the notice
of one is given, and whatever lives on is the child.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from wires import Wire, WiredPingingPool
from world import World

from geventconnpool import forks
from geventconnpool.testing import FakeConnection, Simulation

__all__ = ["ChildWorld", "Link", "childhood", "fork", "pinging"]


@contextmanager
def childhood() -> Iterator[None]:
    """A notice of a fork inside reaches only what was made inside; nothing is kept for ever."""
    heirs, kept = forks._heirs, forks._kept
    forks._heirs, forks._kept = WeakSet(), []
    try:
        yield
    finally:
        forks._heirs, forks._kept = heirs, kept


class Link(Wire):
    """Ends for good where something else is laid over its descriptor, as a real one does."""

    world: ChildWorld

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.world.links.append(self)
        self._inode = os.fstat(self.fileno()).st_ino

    @property
    def is_buried(self) -> bool:
        """Whether its descriptor leads to its peer no more."""
        return os.fstat(self.fileno()).st_ino != self._inode

    def send(self, token: object) -> None:
        self._check_owner("a byte was sent")
        super().send(token)

    def recv(self) -> object:
        answer = super().recv()
        self._check_owner("an answer was read")
        return answer

    def hang_up(self) -> None:
        """Give the descriptors back, whosever they are."""
        self._end.close()
        self._far_end.close()

    def close(self) -> None:
        if self in self.world.parents:
            self.peer.complain(f"{self!r}: the child says goodbye on its parent's connection")
        super().close()

    def _check_owner(self, what: str) -> None:
        if self.closed or self not in self.world.parents:
            return
        if self.is_buried:
            raise BrokenPipeError(f"{self!r} is not the child's")
        self.peer.complain(f"{self!r}: {what} on the parent's connection")


class ChildWorld(World):
    """A world in which `fork` may be called once; from then on it is the child's."""

    def __init__(self, sim: Simulation, size: int, **options: Any) -> None:
        self.parents: set[Link] = set()
        """What was open, or being opened, before the fork."""
        self.links: list[Link] = []
        """Whatever was ever opened."""
        self.is_child = False
        mine = {"world": self}
        link, kind = type("Link", (Link,), mine), type("ChildPool", (ChildPool,), mine)
        super().__init__(sim, size, kind=kind, connection_class=link, **options)

    def fork(self) -> None:
        """This is the child, from now on."""
        if self.is_child:
            return
        self.is_child = True
        self.disown(*self.peer.open)
        self.right = 0  # the child counts anew
        forks.SAME_PROCESS.value = False
        forks.notice()

    def disown(self, *connections: Link) -> None:
        """These are the parent's."""
        self.parents.update(connections)
        self.watch.escaped.update(connections)

    def end(self, life: float = 0.2) -> None:
        try:
            super().end(life)
        finally:
            for link in self.links:
                link.hang_up()

    def _heal(self) -> None:
        super()._heal()
        own = [self.pool.acquire(timeout=2) for _ in range(self.size)]
        for connection in own:
            assert connection not in self.parents, f"{connection!r} was handed out to the child"
            self.question(connection, "own")
            self.pool.release(connection)


class ChildPool(WiredPingingPool):
    """Knows which of its connects began in the parent."""

    world: ChildWorld

    def _new_connection(self) -> FakeConnection:
        begun_by_child = self.world.is_child
        connection = super()._new_connection()
        assert isinstance(connection, Link)
        if self.world.is_child and not begun_by_child:
            self.world.disown(connection)
        return connection

    def _keepalive(self, c: FakeConnection) -> None:
        for _ in range(2):  # a copy of it that wakes between the two must not send the second
            c.ping()


def fork(world: World) -> None:
    """The notice of a fork."""
    assert isinstance(world, ChildWorld)
    world.fork()


def pinging(sim: Simulation) -> ChildWorld:
    """Idle connections are pinged, one is in use, one is asked for, and one being opened."""
    world = ChildWorld(sim, 3, latency=0.02, keepalive=1.0, timeout=0.5, connect_timeout=0.5)
    sim.advance(0.97)
    world.user(hold=0.05)
    world.operate((0.08, lambda: world.peer.cut(min(world.peer.open, key=number))))
    world.operate((0.1, world.user), (0.0, world.user), (0.0, world.user))
    return world


def number(connection: FakeConnection) -> int:
    """Which of the peer's it is."""
    return connection.number
