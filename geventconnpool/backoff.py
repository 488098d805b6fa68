"""How long to pause after failures, and the one door to randomness.

Whatever in the package is left to chance draws from :func:`uniform`; tests put a seeded
source behind it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

from geventconnpool.options import check_count, check_number, refuse

__all__ = ["Backoff", "Jitter", "Source", "replaced", "uniform"]

Named = Literal["full", "none", "decorrelated"]
Jitter = Named | Callable[[float], float]


class Source(Protocol):
    """Where chance comes from: ``random.Random(seed)`` is one, the module ``random`` another."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number between *a* and *b*, each as likely as the others."""


# The functions of the module, not a Random of our own: they are seeded anew after a fork,
# so that a parent and its children do not pause in step.
_source: Source = random


def uniform(low: float, high: float) -> float:
    """A number between *low* and *high*, each as likely as the others."""
    return _source.uniform(low, high)


@contextmanager
def replaced(source: Source) -> Iterator[None]:
    """Draw from *source* inside the block, for instance ``random.Random(seed)``."""
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter: longer pauses after more failures, spread by chance.

    After the first failure the pause is *base*, after each further one *factor* times as
    long, and never longer than *cap*. So that clients which failed together do not come
    back together, *jitter* spreads this pause ``x``:

    ``"full"``
        anywhere between 0 and ``x``
    ``"none"``
        exactly ``x``
    ``"decorrelated"``
        anywhere between *base* and three times the pause before, at most *cap*. The pause
        before is taken as it is without jitter, so that nothing needs to be remembered and
        one object can serve everybody; the first pause is drawn like the second
    a callable
        ``jitter(x)``, used as it is, also above *cap*: a finite number, 0 or more

    The method and the names are those of Marc Brooker, "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015. The object never changes and can be shared.

    :param base: seconds, 0 or more
    :param cap: seconds, 0 or more; may be less than *base*
    :param factor: 1 or more

    .. versionadded:: 1.0
    """

    base: float = 0.1
    cap: float = 5.0
    factor: float = 2.0
    jitter: Jitter = "full"

    def __post_init__(self) -> None:
        set_once = object.__setattr__
        set_once(self, "base", check_number("base", self.base))
        set_once(self, "cap", check_number("cap", self.cap))
        set_once(self, "factor", check_number("factor", self.factor, 1.0))
        wanted = "'full', 'none', 'decorrelated' or a callable"
        if not (callable(self.jitter) or isinstance(self.jitter, str)):
            refuse(TypeError, "jitter", wanted, self.jitter)
        if isinstance(self.jitter, str) and self.jitter not in get_args(Named):
            refuse(ValueError, "jitter", wanted, self.jitter)

    def __repr__(self) -> str:
        # A callable may be a partial with anything in it.
        jitter = repr(self.jitter) if isinstance(self.jitter, str) else "<callable>"
        times = f"base={self.base!r}, cap={self.cap!r}, factor={self.factor!r}"
        return f"Backoff({times}, jitter={jitter})"

    def delay(self, failures: int) -> float:
        """Seconds to pause after so many failures in a row.

        :param failures: 1, 2, 3, ...; anything less is a ``ValueError``, since without a
            failure there is nothing to wait for
        """
        number = check_count("failures", failures, 1)
        if self.jitter == "decorrelated":
            return self._decorrelated(number)
        pause = self._exponential(number)
        if self.jitter == "full":
            return uniform(0.0, pause)
        if self.jitter == "none":
            return pause
        return check_number("what jitter returns", self.jitter(pause))

    def _exponential(self, failures: int) -> float:
        """The pause without jitter."""
        # No float holds an int beyond 2**1024, not even as the power of 1.0.
        steps = min(failures - 1, sys.maxsize)
        try:
            return min(self.cap, self.base * self.factor**steps)
        except OverflowError:
            return self.cap if self.base else 0.0

    def _decorrelated(self, failures: int) -> float:
        before = self._exponential(max(failures - 1, 1))
        highest = min(3 * before, sys.float_info.max)
        return min(self.cap, uniform(self.base, highest))
