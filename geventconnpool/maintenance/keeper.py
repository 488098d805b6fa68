"""What maintenance needs to know of the pool that it serves, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gevent.hub import Hub

from geventconnpool.core.state import PoolState
from geventconnpool.core.upkeep import Upkeep
from geventconnpool.maintenance.watching import Watcher
from geventconnpool.options import PoolOptions

__all__ = ["Keeper"]


class Keeper(Protocol):
    """The performing side of a pool, as its helpers see it."""

    hub: Hub
    ping_hook: str
    """The hook that pings: `_keepalive` where it is overridden, else `_check_connection`."""
    options: PoolOptions
    state: PoolState
    upkeep: Upkeep
    watcher: Watcher

    def hook(self, name: str) -> Callable[..., Any]:
        """The pool's hook of that name."""

    def settle(self) -> None:
        """Perform what was decided, then tell what has happened."""

    def say(self, level: int, message: str, *args: object) -> None:
        """Log, at the next moment at which the pool is consistent."""
