"""What a checkout on a calm day needs: a place to pick from, a place to put, and the time.

While somebody waits, while the pool is paused or closed, while an option asks for a second
look, there is nothing to pick here and the time is `None`; whoever comes takes the careful
path. One small object, so that the calm path has few steps (each is about 2 % of it).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sized

from geventconnpool.core.slot import Slot

__all__ = ["Calm"]


class Calm:
    """Open while an idle slot may be taken, and brought back, without a thought."""

    __slots__ = ("_shelf", "now", "pick", "put", "shelf", "thread")

    def __init__(self, shelf: deque[Slot], newest_first: bool) -> None:
        self._shelf = shelf
        self.shelf: Sized = ()
        """The idle slots; empty while it is shut."""
        self.pick: Callable[[], Slot] = shelf.pop if newest_first else shelf.popleft
        """Takes the entry to be handed out next."""
        self.put: Callable[[Slot], None] = shelf.append
        self.now: float | None = None
        """The coarse clock. A clean return within its tick needs no arithmetic."""
        self.thread = 0
        """The native thread that the pool lives in; 0 while it does not live."""

    def open(self, now: float) -> None:
        """Let idle slots be taken."""
        self.now = now  # first: nobody may take one while there is no time to stamp it with
        self.shelf = self._shelf

    def shut(self) -> None:
        """Have everybody take the careful path."""
        self.shelf = ()
        self.now = None

    @property
    def is_open(self) -> bool:
        """Whether idle slots may be taken."""
        return self.now is not None
