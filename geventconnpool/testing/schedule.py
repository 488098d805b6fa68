"""What is to happen on the simulated loop: callbacks in line, timers and watchers that wait.

This is where gevent asks for them. The loop itself, which makes things happen, builds on it.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from geventconnpool.testing.timers import Timer, TimerQueue
from geventconnpool.testing.watchers import (
    AsyncWatcher,
    Callback,
    ChildWatcher,
    Function,
    IdleWatcher,
    IoWatcher,
    Shot,
    Watcher,
)

__all__ = ["Schedule"]


class Schedule:
    """The half of a loop that takes orders."""

    def __init__(self, start: float) -> None:
        self.timers = TimerQueue()
        self.idlers: dict[IdleWatcher, None] = {}
        self.watchers: dict[Watcher, None] = {}
        """The active watchers that never fire by themselves, in the order of their start."""
        self._queue: deque[Callback] = deque()
        self._serials = itertools.count(1)
        self._now = start

    # -- time ---------------------------------------------------------------------------------

    def now(self) -> float:
        """Virtual seconds."""
        return self._now

    def update_now(self) -> None:
        """A virtual clock is never late."""

    update = update_now

    # -- callbacks ----------------------------------------------------------------------------

    def run_callback(self, func: Function, *args: Any) -> Callback:
        """Call *func* soon, after what is waiting already."""
        if not callable(func):
            raise TypeError(f"Expected callable, not {func!r}")
        callback = Callback(func, args, next(self._serials))
        self._queue.append(callback)
        return callback

    run_callback_threadsafe = run_callback

    def shoot(self, watcher: Watcher, args: tuple[Any, ...]) -> Shot:
        """Run the callback of *watcher* soon; for watchers."""
        shot = Shot(watcher, args, next(self._serials))
        self._queue.append(shot)
        return shot

    # -- watchers -----------------------------------------------------------------------------

    def timer(
        self, after: float, repeat: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> Timer:
        return Timer(self, after, repeat, ref, priority)

    def io(self, fd: int, events: int, ref: bool = True, priority: int | None = None) -> IoWatcher:
        return IoWatcher(self, fd, events, ref, priority)

    def fire_io(self, fd: int, events: int = 1) -> int:
        """Say that *fd* is ready for *events* (1 to read, 2 to write, 3 both).

        Return how many watchers were waiting for it.
        """
        waiting = [w for w in self.watchers if isinstance(w, IoWatcher) and w.fd == fd]
        return sum(watcher.ready(events) for watcher in waiting)

    def idle(self, ref: bool = True, priority: int | None = None) -> IdleWatcher:
        return IdleWatcher(self, "idle", ref, priority)

    def async_(self, ref: bool = True, priority: int | None = None) -> AsyncWatcher:
        return AsyncWatcher(self, "async", ref, priority)

    def prepare(self, ref: bool = True, priority: int | None = None) -> Watcher:
        return Watcher(self, "prepare", ref, priority)

    def check(self, ref: bool = True, priority: int | None = None) -> Watcher:
        return Watcher(self, "check", ref, priority)

    def fork(self, ref: bool = True, priority: int | None = None) -> Watcher:
        return Watcher(self, "fork", ref, priority)

    def signal(self, signum: int, ref: bool = True, priority: int | None = None) -> Watcher:
        return Watcher(self, f"signal {signum}", ref, priority)

    def child(self, pid: int, trace: int = 0, ref: bool = True) -> ChildWatcher:
        return ChildWatcher(self, pid, ref)

    def stat(
        self, path: str, interval: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> Watcher:
        return Watcher(self, f"stat {path}", ref, priority)

    # -- all together -------------------------------------------------------------------------

    @property
    def activecnt(self) -> int:
        return len(self.timers) + len(self.watchers) + len(self.idlers)

    @property
    def pendingcnt(self) -> int:
        return len(self._queue)

    def destroy(self) -> None:
        """Close every watcher and forget what was to run."""
        for watcher in (*self.timers, *self.idlers, *self.watchers):
            watcher.close()
        self._queue.clear()
