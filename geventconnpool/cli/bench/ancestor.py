"""How geventconnpool 0.2.1 worked, written anew from its description, to compare with.

Its faults are its own: a connect that raises costs a place for ever, a newcomer overtakes
those who wait, a connection that breaks is never closed. Nothing else uses it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore

__all__ = ["AncestorPool"]

BETWEEN_CONNECTS = 0.1
"""Seconds from one connect of the prefill to the next, whatever the size."""
BEFORE_REPLACING = 1.0
"""Seconds until a broken connection is replaced."""
FIRST_PAUSE, LAST_PAUSE = 0.1, 400.0
"""Each place backs off alone, doubling its pause."""


class AncestorPool:
    """A queue of idle connections, and a semaphore that counts them."""

    def __init__(
        self,
        size: int,
        exc_classes: tuple[type[BaseException], ...] = (OSError,),
        keepalive: float | None = None,
        between_connects: float = BETWEEN_CONNECTS,
    ) -> None:
        self.size = size
        self.exc_classes = exc_classes
        self.keepalive = keepalive
        self.idle: deque[Any] = deque()
        self.free = BoundedSemaphore(size)
        for number in range(size):
            self.free.acquire()
            gevent.spawn_later(between_connects * number, self._add_one)
        if keepalive:
            gevent.spawn(self._ping_for_ever, keepalive / size)

    def _new_connection(self) -> Any:
        return object()

    def _keepalive(self, c: Any) -> None:
        pass

    @contextlib.contextmanager
    def get(self) -> Generator[Any, None, None]:
        self.free.acquire()
        connection = self.idle.popleft()
        try:
            yield connection
        except self.exc_classes:
            gevent.spawn_later(BEFORE_REPLACING, self._add_one)
            raise
        except BaseException:
            self._put_back(connection)
            raise
        self._put_back(connection)

    def _put_back(self, connection: Any) -> None:
        self.idle.append(connection)
        self.free.release()

    def _add_one(self) -> None:
        pause = FIRST_PAUSE
        while not (connection := self._new_connection()):
            gevent.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE)
        self._put_back(connection)

    def _ping_for_ever(self, pause: float) -> None:
        while True:
            with contextlib.suppress(*self.exc_classes), self.get() as connection:
                self._keepalive(connection)
            gevent.sleep(pause)
