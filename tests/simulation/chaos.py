"""Random orders with three random faults each, on lives with many users and operators.

What `enumeration` and `pairs` leave out: several faults in one run, in richer worlds, in orders
that nobody has thought of. A seed decides the life, its order and its faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gevent
from habits import Crowd, visit
from tally import Tally, Task, judge
from wires import Wire, WiredPingingPool
from world import ResettingPool, SimPool

from geventconnpool.testing import Plan, Simulation, random_plans

__all__ = ["CROWDS", "play_some", "tasks"]

PLANS_A_SEED = 9
"""So many different sets of faults are tried on one random order."""
PER_CHANGE = 3_000
NIGHTLY = 102_000
SHARE = 20
"""So many seeds make a task."""


class Bustle(Crowd):
    """Many users and an operator, for a second or two."""

    def __init__(self, sim: Simulation, size: int = 3, users: int = 6, **options: Any) -> None:
        # Outages are short here, and a drain in one begins some attempts anew.
        super().__init__(sim, size, connects_per_second=50, **options)
        for number in range(users):
            self.spawn(self.come, number)

    def come(self, number: int) -> None:
        """Visit twice."""
        for turn in range(2):
            gevent.sleep(self.sim.random.choice([0.0, 0.01, 0.05]))
            visit(self, f"question {number}.{turn}")

    def chance(self, acts: Iterable[Callable[[], object]], most: int = 3) -> Bustle:
        """An operator who does some of *acts*, at random moments."""
        rng = self.sim.random
        some = rng.choices(list(acts), k=most)
        self.operate(*[(rng.choice([0.01, 0.015, 0.03]), act) for act in some])
        return self

    def restart(self) -> None:
        self.peer.restart(self.sim.random.choice([0.0, 0.02, 0.3]))
        if isinstance(self.pool, WiredPingingPool):
            self.pool.notice(self.sim)

    def cut_one(self) -> None:
        some = sorted(self.peer.open, key=lambda connection: connection.number)
        if some:
            self.peer.cut(self.sim.random.choice(some))

    def be_rude(self) -> None:
        self.peer.hang_up_on_accept = not self.peer.hang_up_on_accept

    def be_silent(self) -> None:
        self.peer.black_hole = not self.peer.black_hole

    def drain(self) -> None:
        self.pool.drain(interrupt=self.sim.random.random() < 0.5)

    def pause(self) -> None:
        self.pool.pause(interrupt=self.sim.random.random() < 0.5)
        gevent.sleep(0.02)
        self.pool.resume()

    def resize(self) -> None:
        size = self.sim.random.randrange(1, 5)
        self.pool.resize(size, self.sim.random.randrange(0, size + 1))


def rush(sim: Simulation) -> None:
    """More users than connections, and nothing else goes wrong."""
    Bustle(sim, 2, users=10).end(0.5)


def bad_peer(sim: Simulation) -> None:
    """Restarts, cuts, silence and hanging up."""
    life = Bustle(sim, answer_gap=0.005)
    life.chance([life.restart, life.cut_one, life.be_rude, life.be_silent]).end(0.5)


def busy_operator(sim: Simulation) -> None:
    """Drained, paused and resized under load, with listeners."""
    life = Bustle(sim, listens=True, leak_threshold=0.5, close_latency=0.02)
    life.chance([life.drain, life.pause, life.resize, life.pool.check, life.pool.wait_ready])
    life.end(0.5)


def careful(sim: Simulation) -> None:
    """Checked before use, reset after it, and everything goes wrong."""
    life = Bustle(sim, kind=ResettingPool, check_after=0, max_lifetime=5, min_size=1)
    life.chance([life.restart, life.cut_one, life.drain, life.pause, life.resize]).end(0.5)


def watched(sim: Simulation) -> None:
    """The kernel tells of what is cut; lost ones are replaced on demand, up to a limit."""
    life = Bustle(
        sim, kind=WiredPingingPool, connection_class=Wire, min_size=0, idle_timeout=2,
        max_waiting=4, keepalive=1.0, order="fifo",
    )  # fmt: skip
    life.chance([life.restart, life.resize, life.pool.check, life.drain]).end(1.0)


def plain(sim: Simulation) -> None:
    """No pings, no checks; callers are refused while the peer is down; closed in the end."""
    life = Bustle(sim, kind=SimPool, is_broken=lambda c, e: bool(c.unread), fail_fast_after=0.1)
    life.chance([life.restart, life.cut_one, life.drain, life.resize])
    life.operate((0.12, lambda: life.pool.close(0.5)), (0.0, life.pool.close))
    life.end(1.0)


CROWDS: dict[str, Callable[[Simulation], None]] = {
    life.__name__: life for life in (rush, bad_peer, busy_operator, careful, watched, plain)
}
"""Every rich life, by its name."""


def play_some(name: str, first: int, seeds: int) -> Tally:
    """Play life *name* with so many seeds from *first* on, several times each."""
    tally, life = Tally(), CROWDS[name]
    for seed in range(first, first + seeds):
        survey = judge(name, life, Plan(seed, shuffle=True), tally)
        if survey.failure is not None:
            continue
        for plan in random_plans(survey, PLANS_A_SEED):
            record = judge(name, life, plan, tally)
            tally.counts["faults"] += len(record.struck)
    return tally


def tasks(nightly: bool) -> list[Task]:
    """So many runs, in shares that keep several processes busy."""
    seeds = (NIGHTLY if nightly else PER_CHANGE) // (1 + PLANS_A_SEED) // len(CROWDS)
    return [
        Task("random schedules", play_some, (name, first, min(SHARE, seeds - first)))
        for first in range(0, seeds, SHARE)
        for name in CROWDS
    ]
