"""Watching idle connections where the system has no epoll: one loop watcher for each.

Loop watchers are level-triggered: one that stayed on while bytes wait to be read would keep
the loop spinning. So each stops at its first event, and starts again when the connection
comes back, and once in a while. One is never started on a number that may have been closed:
libev would abort the process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geventconnpool import forks
from geventconnpool.core.slot import IDLE, Slot
from geventconnpool.events import CloseReason
from geventconnpool.maintenance import watching
from geventconnpool.maintenance.watching import Descriptor, Watcher

__all__ = ["LoopWatcher", "watcher_for"]


class LoopWatcher(Watcher):
    """Looks after descriptors with nothing but the event loop."""

    def __init__(self, mode: bool | str, on_event: Callable[[], None]) -> None:
        super().__init__(mode, on_event)
        self._watchers: dict[int, Any] = {}
        self._fired: list[int] = []
        """Descriptors with an event that was not looked at yet."""
        self._resting: set[int] = set()
        """Descriptors whose watcher is stopped."""

    def fault(self, slot: Slot) -> CloseReason | None:
        found = super().fault(slot)
        descriptor = slot.descriptor
        if found is None and descriptor is not None and descriptor.fd in self._resting:
            self._restart(descriptor.fd)
            slot.refresh_plain()
        return found

    def refresh(self) -> None:
        if not self._resting:
            return
        self._fired.extend(self._resting)
        self._on_event()
        for slot in [self._slots[fd] for fd in self._resting]:
            if slot.state is IDLE:
                self.fault(slot)

    def close(self) -> None:
        for fd in list(self._watchers):
            self._drop(fd)
        super().close()

    def bury(self) -> None:
        for watcher in self._watchers.values():
            watcher.stop()
        forks.keep(dict(self._watchers))
        self._watchers.clear()
        self._resting.clear()
        super().bury()

    def _register(self, descriptor: Descriptor, loop: Any) -> None:
        self._drop(descriptor.fd)
        watcher = loop.io(descriptor.fd, 1, ref=False, priority=loop.MAXPRI)
        self._watchers[descriptor.fd] = watcher
        self._restart(descriptor.fd)

    def _unregister(self, descriptor: Descriptor) -> None:
        self._drop(descriptor.fd)

    def _noticed(self) -> list[int]:
        fired, self._fired = self._fired, []
        return fired

    def _restart(self, fd: int) -> None:
        self._resting.discard(fd)
        self._watchers[fd].start(self._on_io, fd)

    def _drop(self, fd: int) -> None:
        watcher = self._watchers.pop(fd, None)
        self._resting.discard(fd)
        if watcher is not None:
            watcher.stop()
            watcher.close()

    def _on_io(self, fd: int) -> None:
        self._watchers[fd].stop()
        self._slots[fd].plain = False  # to be asked, and watched again, when it comes back
        self._resting.add(fd)
        self._fired.append(fd)
        self._on_event()


def watcher_for(mode: bool | str, on_event: Callable[[], None]) -> Watcher:
    """The best watcher that this system allows."""
    return (Watcher if watching.HAS_EPOLL else LoopWatcher)(mode, on_event)
