"""The one door to time. Monotonic seconds; tests put another source behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["now", "replaced", "source"]

_source: Callable[[], float] = time.monotonic


def now() -> float:
    """Seconds on a clock that never jumps; only differences mean anything."""
    return _source()


def source() -> Callable[[], float]:
    """What `now` asks at present: for those who ask so often that a call less counts."""
    return _source


@contextmanager
def replaced(source: Callable[[], float]) -> Iterator[None]:
    """Read the time from *source* inside the block (for simulated clocks)."""
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
