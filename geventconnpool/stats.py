"""What a pool looks like at one moment: a frozen record and its one-line text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["PoolStats"]


def _no_closes() -> Mapping[str, int]:
    return MappingProxyType({})


@dataclass(frozen=True)
class PoolStats:
    """A picture of a pool: gauges say how it is now, counters what happened so far.

    Durations are seconds. At every moment ``idle + active + connecting + checking +
    closing <= size`` (after a shrink: once enough connections have come back).

    .. versionadded:: 1.0
    """

    size: int = 0
    min_size: int = 0
    idle: int = 0
    active: int = 0
    connecting: int = 0
    checking: int = 0
    closing: int = 0
    waiting: int = 0

    acquires: int = 0
    """Attempts to take a connection, the failed ones too."""
    acquires_waited: int = 0
    """Attempts that could not be served at once."""
    acquire_timeouts: int = 0
    acquire_errors: int = 0
    """Attempts that failed for another reason than time."""
    wait_seconds: float = 0.0
    use_seconds: float = 0.0
    """How long connections were held, all together. The first checkout after each tick
    (a second) is timed exactly, the others by the tick."""
    connects: int = 0
    """Attempts to connect, the failed ones too."""
    connect_errors: int = 0
    connect_seconds: float = 0.0
    closes: Mapping[str, int] = field(default_factory=_no_closes)
    """How many connections were given up, by :class:`~geventconnpool.CloseReason` value."""
    pings: int = 0
    """Pings and checks."""
    ping_errors: int = 0
    leaks: int = 0
    repairs: int = 0
    """What the supervisor had to mend; 0 in a healthy life."""

    def __str__(self) -> str:
        return (
            f"{self.active} active, {self.idle} idle, {self.connecting} connecting, "
            f"{self.waiting} waiting, size {self.size}"
        )
