"""How connections are taken and brought back: what all pools have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Door", "Peer"]


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Door:
    """A pool, full, as its users see it.

    Two shapes, for a wrapper around either would cost more than some of the pools do.
    """

    take: Callable[[], Any]
    """Gives a connection, or a context manager for one block."""
    bring: Callable[[Any], object] | None = None
    """Takes a connection back; ``None`` where leaving the block does it."""
    close: Callable[[], object] = _nothing


@dataclass(frozen=True)
class Peer:
    """Another pool: its name, and how to make one of a size."""

    name: str
    make: Callable[[int], Door]
    most_waiting: int = 10_000
    """Its hand-offs take longer the more wait: with more than so many, too long to measure."""
