"""Short lives of a pool which together touch every switch point of the package."""

from __future__ import annotations

from geventconnpool.testing import Simulation
from world import World

__all__ = ["LIVES"]


def line(sim: Simulation) -> None:
    """Callers wait, are handed connections, give up, and come again."""
    world = World(sim, 1)
    for _ in range(3):
        world.user(turns=2, hold=0.005)
    world.user(timeout=0.015)
    world.end()
