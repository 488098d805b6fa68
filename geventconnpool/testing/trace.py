"""What ran in a simulation and in which order, as one number and as the last lines."""

from __future__ import annotations

import itertools
import zlib
from collections import deque
from typing import Any
from weakref import ref

from greenlet import greenlet

from geventconnpool.testing.watchers import Callback, Function

__all__ = ["Trace"]

_NOBODY = -1


class Trace:
    """A running hash over every step: two runs that did the same have the same.

    Greenlets are told apart by a number in the order in which they came, functions by their
    name: neither ``id()`` nor Python's own ``hash()`` of an object gets in, so the hash is the
    same in another process.
    """

    __slots__ = ("_digest", "_labels", "_next", "_numbers", "_recent")

    def __init__(self, keep: int = 24) -> None:
        self._digest = 0
        self._labels: dict[str, int] = {}
        self._next = itertools.count()
        # Weak: a simulated day has millions of greenlets.
        self._numbers: dict[ref[greenlet], int] = {}
        self._recent: deque[tuple[float, str, int]] = deque(maxlen=keep)

    def number(self, someone: greenlet) -> int:
        """Which greenlet this is: 0, 1, 2, ... in the order in which they came."""
        known = self._numbers.get(ref(someone))
        if known is None:
            known = next(self._next)
            self._numbers[ref(someone, self._numbers.__delitem__)] = known
        return known

    def note(self, now: float, step: Callback, callback: Function, args: tuple[Any, ...]) -> None:
        """Take down that *step* calls *callback* now."""
        name = getattr(callback, "__qualname__", "")
        label = self._labels.get(name)
        if label is None:
            label = self._labels[name] = zlib.crc32(name.encode())
        who = _whom(callback, args)
        number = _NOBODY if who is None else self.number(who)
        # Numbers only: the hash of a tuple of numbers is the same in every process.
        self._digest = hash((self._digest, now, step.serial, label, number))
        self._recent.append((now, name, number))

    @property
    def hash(self) -> str:
        """All that happened so far, as 16 hexadecimal digits."""
        return f"{self._digest & 0xFFFF_FFFF_FFFF_FFFF:016x}"

    def recent(self) -> list[str]:
        """The last steps, the newest last: time, function, and whose wake-up it was."""
        return [
            f"{now:.6f} {name or 'callback'}" + (f" (greenlet {who})" if who != _NOBODY else "")
            for now, name, who in self._recent
        ]


def _whom(callback: Function, args: tuple[Any, ...]) -> greenlet | None:
    """The greenlet that a callback wakes, as far as one can see from outside."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, greenlet):
        return owner
    if args and isinstance(args[0], greenlet):
        return args[0]
    # A gevent Waiter knows who waits.
    waiting = getattr(owner, "greenlet", None)
    return waiting if isinstance(waiting, greenlet) else None
