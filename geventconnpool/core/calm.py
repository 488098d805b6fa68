"""What a checkout on a calm day needs: a place to pick from, a place to put, and the time.

While somebody waits, while the pool is paused or closed, while an option asks for a second
look, there is nothing to pick here and the time is `None`; whoever comes takes the careful
path. One small object, so that the calm path has few steps (each is about 2 % of it).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from geventconnpool.core.slot import Slot

__all__ = ["Calm"]

_nothing: Callable[[], Slot] = deque[Slot]().pop
"""Raises IndexError, as the shelf does when it is empty."""


class Calm:
    """Open while an idle slot may be taken, and brought back, without a thought."""

    __slots__ = ("_pick", "now", "pick", "put", "thread")

    def __init__(self, shelf: deque[Slot], newest_first: bool) -> None:
        self._pick: Callable[[], Slot] = shelf.pop if newest_first else shelf.popleft
        self.pick = _nothing
        """Takes the entry to be handed out next; IndexError where there is none."""
        self.put: Callable[[Slot], None] = shelf.append
        self.now: float | None = None
        """The coarse clock. A clean return within its tick needs no arithmetic."""
        self.thread = 0
        """The native thread that the pool lives in."""

    def open(self, now: float) -> None:
        self.pick = self._pick
        self.now = now

    def shut(self) -> None:
        self.pick = _nothing
        self.now = None

    @property
    def is_open(self) -> bool:
        return self.now is not None
