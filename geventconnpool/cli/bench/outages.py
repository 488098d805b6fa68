"""A peer that goes away and comes back, and callers that find out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import gevent

from geventconnpool import clock

__all__ = ["Callers", "Connection", "Peer", "Take"]

Take = Callable[[], AbstractContextManager[Any]]
"""Takes a connection for one block."""


class Connection:
    """To a `Peer`, in one of its lives."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._life = peer.life

    @property
    def is_alive(self) -> bool:
        return self.peer.is_up and self._life == self.peer.life

    def cut(self) -> None:
        """Break this one."""
        self._life = 0

    def use(self) -> None:
        """Raise unless it still works."""
        if not self.is_alive:
            raise ConnectionResetError


class Peer:
    """Accepts connections after *latency*; when it goes down all of them break."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.is_up = True
        self.life = 1
        self.attempts = 0

    def arrive(self) -> None:
        """What a connect takes, in time or trouble. One that is down refuses at once."""
        self.attempts += 1
        if self.is_up:
            gevent.sleep(self.latency)
        if not self.is_up:
            raise ConnectionRefusedError

    def connect(self) -> Connection:
        self.arrive()
        return Connection(self)

    def go(self) -> None:
        self.is_up = False

    def come_back(self) -> None:
        self.life += 1
        self.is_up = True


class Callers:
    """So many greenlets use a pool all the time; tells when all of them could at once."""

    PAUSE = 0.01
    """Seconds for which each holds a connection, and pauses after a failure."""

    def __init__(self, count: int, take: Take) -> None:
        self.served = 0
        self.first_at: float | None = None
        self.all_at: float | None = None
        """When one was served, and when all were at once, since the last `forget`."""
        self._count, self._take = count, take
        self._is_over = False
        self._greenlets = [gevent.spawn(self._call) for _ in range(count)]

    def forget(self) -> None:
        self.first_at = self.all_at = None

    def wait_for_all(self, seconds: float) -> bool:
        """Wait until all were served at once; whether that came true in time."""
        until = clock.now() + seconds
        while self.all_at is None and clock.now() < until:
            gevent.sleep(0.001)
        return self.all_at is not None

    def stop(self) -> None:
        """Have all bring back what they hold; those who still wait are killed."""
        self._is_over = True
        gevent.joinall(self._greenlets, timeout=10 * self.PAUSE)
        gevent.killall(self._greenlets, timeout=5)

    def _call(self) -> None:
        while not self._is_over:
            with suppress(Exception):  # whatever a pool raises when there is nothing to be had
                with self._take() as connection:
                    self._use(connection)
                continue
            gevent.sleep(self.PAUSE)

    def _use(self, connection: Connection) -> None:
        connection.use()
        self.served += 1
        try:
            self._note(clock.now())
            gevent.sleep(self.PAUSE)
        finally:
            self.served -= 1

    def _note(self, now: float) -> None:
        if self.first_at is None:
            self.first_at = now
        if self.served == self._count and self.all_at is None:
            self.all_at = now
