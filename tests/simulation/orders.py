"""Every order in which a small scenario can run, within a bound: nothing sampled.

The loop has a choice whenever more than one callback is runnable; straight means to take the one
that has waited longest. The depth of an exploration is the number of departures from that: a run
of depth 2 takes another than the first at two of its choices, whichever these are, and the first
at all the others. All runs up to the depth are played, each once. One departure lets any callback
overtake all that stand before it, or, seen from those, come too late; most races need one or two.

What a schedule does not change is time: callbacks of different moments of the virtual clock stay
in their order. So these scenarios crowd as much as they can into the same moments.
"""

from __future__ import annotations

from collections.abc import Callable

from tally import Tally, Task
from world import World

from geventconnpool.testing import Simulation, schedules

__all__ = ["DEPTHS", "ORDERS", "explore", "find", "tasks"]

TICK = 0.01
"""Whatever takes time in these scenarios takes this long, or a multiple of it."""

LIFE = 8 * TICK


def three_users(sim: Simulation) -> None:
    """Three use one connection, and one of them is killed at the moment of its turn."""
    world = World(sim, 1, latency=TICK)
    users = [world.user(timeout=None) for _ in range(3)]
    world.operate((2 * TICK, lambda: users[1].kill(block=False)))
    world.end(LIFE)


def drained(sim: Simulation) -> None:
    """A drain that interrupts, as connects succeed that callers wait for."""
    world = World(sim, 2, latency=TICK)
    for _ in range(3):
        world.user()
    world.operate((TICK, lambda: world.watch.drain(interrupt=True)))
    world.end(LIFE)


def cut(sim: Simulation) -> None:
    """The peer cuts a connection as its holder returns it, and as who waits for it gives up."""
    world = World(sim, 1, latency=TICK)
    world.user()
    world.user(timeout=2 * TICK)
    world.user()
    world.operate((2 * TICK, world.peer.cut_all))
    world.end(LIFE)


ORDERS: dict[str, Callable[[Simulation], None]] = {
    f"orders:{life.__name__}": life for life in (three_users, drained, cut)
}
"""The scenarios, by the names under which they are reported."""

DEPTHS = {"orders:three_users": 4, "orders:drained": 2, "orders:cut": 3}
"""How deep per change: 808, 1,589 and 2,587 schedules. Nightly it is one more for each."""

SHARES = {False: 4, True: 16}
"""Into so many tasks each is divided per change, and nightly."""


def find(name: str) -> Callable[[Simulation], None]:
    """The scenario that a report calls *name*."""
    return ORDERS[name]


def explore(name: str, depth: int, share: int = 0, shares: int = 1) -> Tally:
    """Play every schedule of a scenario up to *depth*, or only a share of them."""
    tally = Tally()
    for record in schedules(ORDERS[name], depth, share=share, shares=shares):
        tally.take(name, record)
        tally.counts["schedules"] += 1
    return tally


def tasks(nightly: bool) -> list[Task]:
    """All of it, in shares that keep several processes busy."""
    shares = SHARES[nightly]
    return [
        Task("orders", explore, (name, depth + nightly, share, shares))
        for name, depth in DEPTHS.items()
        for share in range(shares)
    ]
