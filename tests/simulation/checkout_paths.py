"""The paths of a checkout and of a return: short scenarios, in each of which somebody acts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent import Greenlet

from geventconnpool import ConnectionPool, PoolTimeout
from geventconnpool.testing import FakePeer, Simulation

__all__ = ["SCENARIOS", "Scenario", "World"]


class SweptPool(ConnectionPool[Any]):
    """A pool of connections to a fake peer."""

    def __init__(self, peer: FakePeer, size: int, **options: Any) -> None:
        self.peer = peer
        super().__init__(size, **options)

    def _new_connection(self) -> Any:
        return self.peer.connect()


class PingingPool(SweptPool):
    """The same, with a ping."""

    def _keepalive(self, c: Any) -> None:
        c.ping()


class ResettingPool(PingingPool):
    """The same, with a reset."""

    def _reset_connection(self, c: Any) -> None:
        c.request("reset")


class World:
    """One pool, somebody who acts, and others."""

    def __init__(self, sim: Simulation, scenario: Scenario) -> None:
        self.sim = sim
        self.peer = FakePeer(latency=0.001)
        self.pool: Any = scenario.pool(self.peer, scenario.size, **scenario.options)
        self.complaints: list[str] = []
        self.given_away: list[Any] = []
        """Connections that the actor keeps for himself."""
        self.others: list[Greenlet[..., Any]] = []
        self.served: list[str] = []

    def fill(self) -> None:
        """Every connection is open, and has proved itself by a use."""
        self.sim.advance(1.5)
        out = [self.pool.acquire() for _ in range(self.pool.size)]
        for c in out:
            self.pool.release(c)
        self.sim.advance(1.6)
        with self.pool.get():  # the first one after a tick takes the careful path
            pass
        self.sim.settle()

    def hold(self, seconds: float, name: str, **get: Any) -> None:
        """Somebody else takes a connection and uses it for a while."""

        def use() -> None:
            with suppress(PoolTimeout):
                with self.pool.get(**get) as c, c.taken_by(name):
                    self.served.append(name)
                    gevent.sleep(seconds)
                    if c.request(name) != name:
                        self.complaints.append(f"{name} got somebody else's answer")

        self.others.append(self.sim.spawn(use))
        self.sim.settle()


@dataclass(frozen=True)
class Scenario:
    """What is prepared undisturbed, and what is done then, and interrupted."""

    name: str
    act: Callable[[World], None]
    prepare: Callable[[World], None] = lambda world: None
    size: int = 2
    options: dict[str, Any] = field(default_factory=dict)
    pool: type[SweptPool] = SweptPool
    own: bool = False
    """Whether the positions in the code of *act* count, too: the caller's own with block."""


# --- what is done --------------------------------------------------------------------------


def use(c: Any) -> None:
    with c.taken_by("actor"):
        if c.request("mine") != "mine":
            raise AssertionError("somebody else's answer")


def with_block(world: World) -> None:
    with world.pool.get() as c:
        with c.taken_by("actor"):
            pass


def with_block_asking(world: World) -> None:
    with world.pool.get() as c:
        use(c)


def by_hand(world: World) -> None:
    c = world.pool.acquire()
    try:
        with c.taken_by("actor"):
            pass
    finally:
        world.pool.release(c)


def broken(world: World) -> None:
    with suppress(OSError), world.pool.get():
        raise OSError("broken")


def doubt(world: World) -> None:
    with suppress(LookupError), world.pool.get():
        raise LookupError("says nothing of the connection")


def discarded(world: World) -> None:
    with world.pool.get() as c:
        world.pool.discard(c)


def released_inside(world: World) -> None:
    with world.pool.get() as c:
        world.pool.release(c)


def discarded_by_hand(world: World) -> None:
    c = world.pool.acquire()
    try:
        pass
    finally:
        world.pool.release(c, discard=True)


def detached(world: World) -> None:
    with world.pool.get() as c:
        world.given_away.append(c)
        world.pool.detach(c)


def detached_by_hand(world: World) -> None:
    c = world.pool.acquire()
    world.given_away.append(c)
    world.pool.detach(c)


def timed_out(world: World) -> None:
    with suppress(PoolTimeout), world.pool.get(timeout=0.5):
        raise AssertionError("there was none to be had")


def refused(world: World) -> None:
    with suppress(PoolTimeout), world.pool.get(timeout=0):
        raise AssertionError("there was none to be had")


def hold_all(world: World, seconds: float = 0.3) -> None:
    for number in range(world.pool.size):
        world.hold(seconds, f"holder {number}")


def hold_all_long(world: World) -> None:
    hold_all(world, 1.0)


def others_wait(world: World) -> None:
    """One connection is left for the actor, who takes it; others queue up behind."""
    for number in range(world.pool.size - 1):
        world.hold(2.5, f"holder {number}")


def with_waiters(world: World) -> None:
    lease = world.pool.get()
    with lease as c:
        del lease  # the block alone has it now
        for number in range(2):
            world.hold(0.1, f"waiter {number}")
        c.requests += 1


def with_waiters_by_hand(world: World) -> None:
    c = world.pool.acquire()
    try:
        for number in range(2):
            world.hold(0.1, f"waiter {number}")
    finally:
        world.pool.release(c)


def waiters_and_an_error(world: World) -> None:
    with suppress(OSError), world.pool.get():
        for number in range(2):
            world.hold(0.1, f"waiter {number}")
        raise OSError("broken")


def waiters_with_timeouts(world: World) -> None:
    with world.pool.get():
        for number in range(2):
            world.hold(0.1, f"waiter {number}", timeout=20 - number)


CAREFUL: dict[str, Any] = {
    "listeners": [lambda event: None],
    "check_after": 100.0,
    "leak_threshold": 100.0,
}


def _scenarios() -> list[Scenario]:
    one = Scenario
    paths: dict[str, dict[str, Any]] = {"": {}, "careful": {"options": CAREFUL}}
    paths["reset"] = {"pool": ResettingPool}
    paths["checked"] = {"pool": PingingPool, "options": {"check_after": 0.0}}
    acts = [with_block, by_hand, broken, doubt, discarded, released_inside]
    acts += [discarded_by_hand, detached, detached_by_hand]
    found = [one("with_block_asking", with_block_asking, own=True)]
    for path, how in paths.items():
        for act in acts:
            name = f"{act.__name__} {path}".strip()
            found.append(one(name, act, own=act is with_block, **how))
        for act in (with_block_asking, by_hand, timed_out):
            prepare = hold_all_long if act is timed_out else hold_all
            found.append(one(f"blocked {act.__name__} {path}".strip(), act, prepare, **how))
        for act in (with_waiters, with_waiters_by_hand, waiters_and_an_error):
            found.append(one(f"{act.__name__} {path}".strip(), act, others_wait, **how))
    found.append(one("waiters_with_timeouts", waiters_with_timeouts, others_wait))
    found.append(one("refused", refused, hold_all_long))
    found.append(one("fifo", with_block, options={"order": "fifo"}))
    found.append(one("grows", with_block_asking, options={"min_size": 0}))
    return found


SCENARIOS = _scenarios()
