"""What the loop calls: a timer that can be set again and again, a method of a weak object."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

from geventconnpool import clock

__all__ = ["Alarm", "weakly"]


class Alarm:
    """Calls back in the loop at a time of `clock`."""

    def __init__(self, loop: Any, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._timer: Any = None
        self._ref = False
        self.at = math.inf
        """When it goes off; inf while it is not set."""

    def set(self, at: float, ref: bool) -> None:
        """Go off at *at*; *ref* keeps the loop going until then."""
        if at == self.at and ref == self._ref:
            return
        self.stop()
        if at == math.inf:
            return
        self._timer = self._loop.timer(max(0.0, at - clock.now()), ref=ref)
        self._timer.start(self._fire, update=True)
        self.at, self._ref = at, ref  # last: what is said to be set is set

    def repeat(self, period: float) -> None:
        """Go off every *period* seconds, without keeping the loop going."""
        self.stop()
        self._timer = self._loop.timer(period, repeat=period, ref=False)
        self._timer.start(self._callback, update=True)

    def stop(self) -> None:
        """Do not go off."""
        self.at = math.inf
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _fire(self) -> None:
        # The loop's idea of the time may lag behind: if it is too early, whoever is called finds
        # nothing due, and sets it again.
        self.stop()
        self._callback()


def weakly(method: weakref.WeakMethod[Callable[[], None]]) -> Callable[[], None]:
    """A callback for the loop, which must not keep a pool alive."""

    def call() -> None:
        target = method()
        if target is not None:
            target()

    return call
