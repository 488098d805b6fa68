"""The floor of a correct pool: the least that keeps the promises of a checkout, and nothing else.

One native thread and one process, a lease for one block, a stamp, a count; where somebody
waits, a deadline for all, an order, and nothing lost if they are killed. Neither hooks nor
stats nor limits; it fills itself with objects and never replaces one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from gevent import get_hub, getcurrent

from geventconnpool.forks import SAME_PROCESS
from geventconnpool.threads import owned_here

__all__ = ["CarefulPool"]

IDLE, TAKEN, ACTIVE = "idle", "taken", "active"


class _Waiter:
    __slots__ = ("callback", "deadline", "record", "wake")

    def __init__(self, deadline: float, wake: Callable[[], None]) -> None:
        self.deadline = deadline
        self.wake = wake
        self.record: CarefulRecord | None = None
        self.callback: object = None


class CarefulRecord:
    """A connection, lent for one block at a time."""

    __slots__ = ("connection", "pool", "since", "state", "uses")

    def __init__(self, pool: CarefulPool) -> None:
        self.connection = object()
        self.pool = pool
        self.state = IDLE
        self.since = pool.now
        self.uses = 0

    def __enter__(self) -> object:
        if self.state is not TAKEN:
            raise RuntimeError("a lease is for one block")
        self.state = ACTIVE
        return self.connection

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pool = self.pool
        if not pool.owner._is_owned():
            raise RuntimeError("another thread")
        if kind is None and self.since is pool.now and self.state is ACTIVE and not pool.waiting:
            self.state = IDLE
            pool.idle.append(self)
        elif self.state is ACTIVE:
            pool.put(self)


class CarefulPool:
    """A deque of records, and a deque of those who wait."""

    def __init__(self, size: int, timeout: float = 30.0) -> None:
        self.owner = owned_here()
        self.hub = get_hub()
        self.now = time.monotonic()
        self.timeout = timeout
        self.seconds_waited = self.seconds_used = 0.0
        self.idle: deque[CarefulRecord] = deque()
        self.idle.extend(CarefulRecord(self) for _ in range(size))
        self.waiting: deque[_Waiter] = deque()
        self._timer = self.hub.loop.timer(timeout, ref=False)
        self._timer_at = 0.0

    def get(self, timeout: float | None = None) -> CarefulRecord:
        if not (SAME_PROCESS and self.owner._is_owned()):
            raise RuntimeError("another thread, or a child")
        if self.idle and not self.waiting:
            record = self.idle.pop()
            record.state = TAKEN
            record.since = self.now
            record.uses += 1
            return record
        return self._wait(time.monotonic())

    def _wait(self, began: float) -> CarefulRecord:
        waiter = _Waiter(began + self.timeout, getcurrent().switch)
        self.waiting.append(waiter)
        if not self._timer_at:
            self._timer_at = waiter.deadline
            self._timer.start(self._expire, update=True)
        try:
            while waiter.record is None:
                self.hub.switch()
        except BaseException:
            self._give_up(waiter)
            raise
        self.seconds_waited += waiter.record.since - began
        return waiter.record

    def put(self, record: CarefulRecord) -> None:
        """Hand *record* to whoever has waited longest, or keep it."""
        now = time.monotonic()
        self.seconds_used += now - record.since
        record.since = now
        if not self.waiting:
            record.state = IDLE
            self.idle.append(record)
            return
        waiter = self.waiting.popleft()
        record.uses += 1
        record.state = TAKEN
        waiter.record = record
        waiter.callback = self.hub.loop.run_callback(waiter.wake)

    def _give_up(self, waiter: _Waiter) -> None:
        if waiter.record is None:
            self.waiting.remove(waiter)
        else:
            waiter.callback.stop()  # type: ignore[attr-defined]
            self.put(waiter.record)

    def _expire(self) -> None:
        self._timer_at = 0.0
        now = time.monotonic()
        for waiter in [one for one in self.waiting if one.deadline <= now]:
            waiter.wake.__self__.throw(TimeoutError())  # type: ignore[attr-defined]
