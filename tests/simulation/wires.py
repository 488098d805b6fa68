"""Fake connections with a real descriptor each, so that the watching of idle ones takes part."""

from __future__ import annotations

import _socket
from typing import Any

from world import PingingPool, SimPool

from geventconnpool.testing import FakeConnection, FakePeer, Simulation

__all__ = ["Wire", "WiredPingingPool", "WiredPool"]


class Wire(FakeConnection):
    """A fake connection whose end can be seen by the kernel."""

    def __init__(self, peer: FakePeer, number: int) -> None:
        super().__init__(peer, number)
        self._end, self._far_end = _socket.socketpair()

    def fileno(self) -> int:
        """The descriptor, or -1."""
        return self._end.fileno()

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._end.close()

    def _lose(self, how: str) -> None:
        super()._lose(how)
        self._far_end.close()


class WiredPool(SimPool):
    """Of connections that can be watched, without a ping."""

    def notice(self, sim: Simulation) -> None:
        """Let the loop tell what the kernel knows, which a simulated one never does by itself."""
        epoll: Any = getattr(self._geventconnpool.watcher, "_epoll", None)
        if epoll is not None:
            sim.loop.fire_io(epoll.fileno())


class WiredPingingPool(WiredPool, PingingPool):
    """The same, with a ping."""
