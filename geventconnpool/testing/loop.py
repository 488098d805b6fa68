"""A simulated event loop for gevent: virtual time, chosen order, deadlocks and livelocks told.

It knows nothing of pools or greenlets; :mod:`geventconnpool.testing.simulation` puts a hub on it.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from geventconnpool.testing.schedule import Schedule
from geventconnpool.testing.trace import Trace
from geventconnpool.testing.watchers import Callback

__all__ = ["LivelockError", "SimulatedLoop"]


class LivelockError(RuntimeError):
    """A simulation that does not come to an end: too many steps. The text shows its state.

    .. versionadded:: 1.0
    """


class SimulatedLoop(Schedule):
    """What gevent takes for an event loop, with a clock that jumps from one event to the next.

    What is runnable runs first in, first out; or ``choose(n)`` picks one of ``n`` by its index.
    When nothing is, the clock jumps to the next timer. When no timer is left that anybody waits
    for, the loop returns, and gevent raises :exc:`gevent.exceptions.LoopExit` in the main
    greenlet: a deadlock. Descriptors, signals, child processes and threads are not simulated.

    :param choose: gets the number of runnable callbacks, returns an index.
    :param start: what the clock shows in the beginning.
    :param max_steps: so many callbacks in all, and a :exc:`LivelockError` is raised in the main
        greenlet.
    :param max_steps_at_once: the same for callbacks between which no time passes.

    .. versionadded:: 1.0
    """

    MAXPRI = 2
    MINPRI = -2
    approx_timer_resolution = 0.00001
    starting_timer_may_update_loop_time = False
    default = False
    backend = "simulated"
    ptr = 1

    def __init__(
        self,
        *,
        choose: Callable[[int], int] | None = None,
        start: float = 0.0,
        max_steps: int = 5_000_000,
        max_steps_at_once: int = 100_000,
    ) -> None:
        super().__init__(start)
        self.steps = 0
        """How many callbacks ran, the one that is running included."""
        self.choose = choose
        self.inject: Callable[[SimulatedLoop], object] | None = None
        """Called in the hub before each callback: the place to throw faults from. ``steps`` is
        the number of the callback that comes next; it has left the queue already."""
        self.observers: list[Callable[[], object]] = []
        """Called in the hub before each callback and before ``inject``: they only look."""
        self.witness: Callable[[], list[str]] | None = None
        """Adds lines to the picture of a deadlock or livelock."""
        self.trace = Trace()
        self.error_handler: Any = None
        self._max_steps = max_steps
        self._max_steps_at_once = max_steps_at_once
        self._limit = min(max_steps, max_steps_at_once)

    # -- running ------------------------------------------------------------------------------

    def run(self, nowait: bool = False, once: bool = False) -> None:
        """Run until nothing can ever happen again; for the hub."""
        while self._something_runnable() or (not nowait and self._jump()):
            self._turn()
            if nowait or once:
                return

    def _something_runnable(self) -> bool:
        for timer in self.timers.pop_due(self._now):
            timer.expire()
        if not self._queue:
            for watcher in list(self.idlers):
                watcher.fire()
        return bool(self._queue)

    def _jump(self) -> bool:
        """Move the clock to the next timer; false where nobody waits for one."""
        due = self.timers.next_due()
        if due is None or not self.timers.referenced:
            return False
        self._now = due
        self._limit = min(self._max_steps, self.steps + self._max_steps_at_once)
        return self._something_runnable()

    def _turn(self) -> None:
        """Run as many as are queued now. What they queue is for the next turn, after timers."""
        for _ in range(len(self._queue)):
            step = self._take()
            if step.callback is None:
                continue
            self.steps += 1
            if self.steps > self._limit:
                self._complain()
            if self.observers or self.inject is not None:
                self._interfere(step)
            callback, args = step.callback, step.args
            if callback is None or args is None:
                continue
            step.callback = None
            self.trace.note(self._now, step, callback, args)
            try:
                callback(*args)
            except BaseException:
                self.handle_error(step, *sys.exc_info())
            step.finish()

    def _take(self) -> Callback:
        queue = self._queue
        if self.choose is None or len(queue) == 1:
            return queue.popleft()
        index = self.choose(len(queue))
        step = queue[index]
        del queue[index]
        return step

    def _interfere(self, step: Callback) -> None:
        try:
            for observe in self.observers:
                observe()
            if self.inject is not None:
                self.inject(self)
        except BaseException:
            self.handle_error(step, *sys.exc_info())

    def _complain(self) -> None:
        """Raise in the main greenlet; should that go on, let it, for a while."""
        error = LivelockError(
            f"no end in sight after {self.steps - 1} steps, at {self._now:.6f}\n"
            + "\n".join(self.debug())
        )
        self._limit = self.steps + self._max_steps_at_once
        self._max_steps = max(self._max_steps, self._limit)
        if self.error_handler is None:
            raise error
        self.error_handler.handle_system_error(LivelockError, error)

    def handle_error(
        self,
        context: object,
        type: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Give an error to the hub."""
        if self.error_handler is not None:
            self.error_handler.handle_error(context, type, value, tb)
        elif value is not None:
            raise value

    # -- what it looks like -------------------------------------------------------------------

    def debug(self) -> list[str]:
        """A picture for humans: what waits, and the last steps. Part of every ``LoopExit``."""
        return [
            *(f"waits: {line}" for line in (self.witness() if self.witness else ())),
            *(f"timer: {timer!r}" for timer in itertools.islice(self.timers, 20)),
            *(f"watcher: {watcher!r}" for watcher in itertools.islice(self.watchers, 20)),
            *(f"last: {line}" for line in self.trace.recent()),
        ]

    def _format(self) -> str:
        return f"simulated now={self._now:.6f} steps={self.steps} timers={len(self.timers)}"

    # -- what gevent may also call ------------------------------------------------------------

    def fileno(self) -> int | None:
        return None

    def closing_fd(self, fd: int) -> bool:
        """No watcher has to hear of it."""
        return False

    def ref(self) -> None: ...

    def unref(self) -> None: ...

    def reinit(self) -> None: ...

    def install_sigchld(self) -> None: ...

    def reset_sigchld(self) -> None: ...

    def break_(self, how: int = 1) -> None: ...

    def destroy(self) -> None:
        """Close every watcher and forget what was to run."""
        super().destroy()
        self.observers.clear()
        self.inject = self.witness = None
