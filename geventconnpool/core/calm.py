"""What a checkout on a calm day needs: a place to pick from, a place to put, and the time.

While somebody waits, while the pool is paused or closed, while an option asks for a second
look, there is nothing to pick here and the time is `None`; whoever comes takes the careful
path. One small object, so that the calm path has few steps (each is about 2 % of it).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from geventconnpool.core.slot import Slot

__all__ = ["NOBODY", "Calm"]


class _Nobody:
    """Stands for a thread that nobody runs in."""

    def _is_owned(self) -> bool:
        return False


NOBODY = _Nobody()


class Calm:
    """Open while an idle slot may be taken, and brought back, without a thought."""

    __slots__ = ("_nothing", "_shelf", "careful", "now", "owner", "put", "shelf")

    def __init__(self, shelf: deque[Slot], put: Callable[[Slot], None]) -> None:
        self._shelf = shelf
        self._nothing: deque[Slot] = deque()
        self.shelf = self._nothing
        """The idle slots, the next one on the right; empty while it is shut."""
        self.put = put
        """Puts one back."""
        self.now: float | None = None
        """The coarse clock. A clean return within its tick needs no arithmetic."""
        self.careful: Any = None
        """The careful path of a checkout; whoever performs has put it here."""
        self.owner: Any = NOBODY
        """``_is_owned()`` is true in the native thread that the pool lives in, while it lives."""

    def open(self, now: float) -> None:
        """Let idle slots be taken."""
        self.now = now  # first: nobody may take one while there is no time to stamp it with
        self.shelf = self._shelf

    def shut(self) -> None:
        """Have everybody take the careful path."""
        self.shelf = self._nothing
        self.now = None

    @property
    def is_open(self) -> bool:
        """Whether idle slots may be taken."""
        return self.now is not None
