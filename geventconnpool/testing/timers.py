"""Timers of the simulated loop, and which of them is next. The clock itself is the loop's."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from geventconnpool.testing.watchers import Function, Watcher

if TYPE_CHECKING:
    from geventconnpool.testing.schedule import Schedule

__all__ = ["Timer", "TimerQueue"]


class Timer(Watcher):
    """Fires *after* seconds of virtual time, and then every *repeat* seconds if that is given."""

    __slots__ = ("after", "due", "repeat", "serial")

    def __init__(
        self,
        loop: Schedule,
        after: float = 0.0,
        repeat: float = 0.0,
        ref: bool = True,
        priority: int | None = None,
    ) -> None:
        if repeat < 0.0:
            raise ValueError(f"repeat must be positive or zero: {repeat!r}")
        super().__init__(loop, "timer", ref, priority)
        self.after = after
        self.repeat = repeat
        self.due = 0.0
        """When it fires, on the clock of the loop."""
        self.serial = 0
        """Which start this is: the queue tells a live entry from a forgotten one by it."""

    def start(self, callback: Function, *args: Any, update: bool = False) -> None:
        """Call *callback* when the time has come. A virtual clock needs no *update*."""
        super().start(callback, *args)

    def again(self, callback: Function, *args: Any, update: bool = False) -> None:
        """Begin anew with *repeat*; without one, stop. As libev has it."""
        self.stop()
        if self.repeat:
            self._engage(callback, args)
            self.due = self.loop.now() + self.repeat
            self._wait()

    def expire(self) -> None:
        """Called by the loop when the time has come: fire, and wait again or be done."""
        self.fire()
        if self.repeat:
            # Drop it first, so that it counts once.
            self._deactivate()
            self.due += self.repeat
            self._wait()
        else:
            self._deactivate()

    @property
    def ref(self) -> bool:
        """Whether the loop, and so the program, waits for this timer."""
        return self._ref

    @ref.setter
    def ref(self, value: bool) -> None:
        before, self._ref = self._ref, bool(value)
        if self._active:
            self.loop.timers.referenced += self._ref - before

    def _activate(self) -> None:
        self.due = self.loop.now() + max(0.0, self.after)
        self._wait()

    def _wait(self) -> None:
        self._active = True
        self.loop.timers.add(self)

    def _deactivate(self) -> None:
        self._active = False
        self.loop.timers.remove(self)

    def _details(self) -> str:
        return f" due {self.due:.6f}" if self._active else ""


class TimerQueue:
    """Active timers in the order in which they fire.

    Due together: the higher priority first, then in the order in which they were started.
    gevent gives its timeouts a low one, so that what is done in time is not too late.
    """

    __slots__ = ("_heap", "_live", "_serial", "referenced")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Timer]] = []
        self._live = 0
        self._serial = 0
        self.referenced = 0
        """How many of them keep the loop alive."""

    def add(self, timer: Timer) -> None:
        """Wait for *timer*, which says when it is due."""
        self._serial += 1
        timer.serial = self._serial
        heapq.heappush(self._heap, (timer.due, -timer.priority, self._serial, timer))
        self._live += 1
        self.referenced += timer.ref

    def remove(self, timer: Timer) -> None:
        """Wait for it no longer. Its entry stays in the heap until it comes up, or too many do."""
        timer.serial = 0
        self._live -= 1
        self.referenced -= timer.ref
        if len(self._heap) > 2 * self._live + 64:
            self._heap = [entry for entry in self._heap if entry[3].serial == entry[2]]
            heapq.heapify(self._heap)

    def next_due(self) -> float | None:
        """When the next timer fires."""
        heap = self._heap
        while heap and heap[0][3].serial != heap[0][2]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> list[Timer]:
        """The timers whose time has come, in order. They count as active until they expire."""
        due: list[Timer] = []
        heap = self._heap
        while heap and heap[0][0] <= now:
            _, _, serial, timer = heapq.heappop(heap)
            if timer.serial == serial:
                due.append(timer)
        return due

    def __iter__(self) -> Iterator[Timer]:
        """The active ones, in order."""
        return (timer for _, _, serial, timer in sorted(self._heap) if timer.serial == serial)

    def __len__(self) -> int:
        return self._live
