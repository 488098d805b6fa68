"""Short lives of a pool which together touch every switch point of the package."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import gevent
from wires import Wire, WiredPingingPool, WiredPool
from world import ResettingPool, SimPool, World

from geventconnpool import retry
from geventconnpool.options import NOT_GIVEN
from geventconnpool.testing import Simulation

__all__ = ["LIVES"]


class HesitantPool(WiredPingingPool):
    """Takes its time to say what is to be watched."""

    def _fileno(self, c: Wire) -> int:
        gevent.sleep(0.01)
        return super()._fileno(c)


def line(sim: Simulation) -> None:
    """Callers wait, are handed connections, give up, and come again."""
    world = World(sim, 1)
    for _ in range(3):
        world.user(turns=2, hold=0.005)
    world.user(timeout=0.015)
    world.end()


def connecting(sim: Simulation) -> None:
    """Callers wait for connects, and some not long enough."""
    world = World(
        sim, 3, kind=HesitantPool, connection_class=Wire, min_size=1, latency=0.05, timeout=None
    )
    world.user(timeout=None)
    world.user(timeout=0.02)
    world.user()
    world.operate((0.01, lambda: world.pool.wait_ready(1)))
    world.end()


def refused(sim: Simulation) -> None:
    """The peer refuses at first; the pool goes on trying, and so do its callers."""
    world = World(sim, 2)
    world.peer.restart(downtime=0.3)
    world.user(timeout=2.0)
    world.user(timeout=0.1)
    world.operate((0, lambda: world.pool.wait_ready(2)))
    world.end(0.6)


def hanging_up(sim: Simulation) -> None:
    """The peer accepts and hangs up; connects are given up where it says nothing."""
    world = World(sim, 2, connect_timeout=0.2)
    world.user(turns=2)
    world.peer.hang_up_on_accept = True
    world.peer.cut_all()
    sim.advance(0.05)
    world.peer.black_hole = True
    world.user()
    world.end(2.5)


def pinging(sim: Simulation) -> None:
    """Idle connections are pinged, while callers come; one ping is answered by nobody."""
    world = World(sim, 2, keepalive=1.0, keepalive_timeout=0.1)
    world.operate((1.0, world.user), (0.6, lambda: silence(world)), (0.01, world.user))
    world.end(2.2)


def silence(world: World) -> None:
    """The peer says nothing for a while."""
    world.peer.black_hole = True
    gevent.sleep(0.5)
    world.peer.black_hole = False


def checking(sim: Simulation) -> None:
    """Every connection is checked before use and reset after it; one is cut while idle."""
    world = World(sim, 2, kind=ResettingPool, check_after=0, answer_gap=0.002)
    for _ in range(3):
        world.user()
    world.operate((0.05, lambda: world.peer.cut_all()), (0.03, world.user))
    world.end()


def breaking(sim: Simulation) -> None:
    """Blocks are left with errors: broken connections, doubtful ones, swallowed timeouts."""
    world = World(sim, 2, answer_gap=0.002)
    for error in (OSError("broken"), LookupError("doubt"), ValueError("doubt")):
        world.user(error=error, turns=2)
    world.user(turns=3, pause=0.02, timeout=NOT_GIVEN)
    world.operate((0.2, lambda: leave_early(world)))
    world.end()


def leave_early(world: World) -> None:
    """Leave the block between question and answer: once on a fresh pool, once on a calm one."""
    for _ in range(2):
        with contextlib.suppress(LookupError), world.watch.get() as connection:
            connection.send("left alone")
            raise LookupError("what was asked for is not there")
        world.ask(0, timeout=NOT_GIVEN)


def goodbyes(sim: Simulation) -> None:
    """Goodbyes take their time; some too long."""
    world = World(sim, 2, close_latency=0.05, close_timeout=0.2, min_size=0)
    world.user(turns=2, error=OSError("broken"))
    world.user(turns=2)
    world.operate((0.05, world.watch.drain), (0.1, lambda: dawdle(world)), (0, world.watch.drain))
    world.end(0.8)


def dawdle(world: World) -> None:
    """From now on no goodbye ends in time."""
    world.peer.close_latency = 60.0


def draining(sim: Simulation) -> None:
    """Everything is replaced under way, politely and then under its users."""
    world = World(sim, 2)
    for timeout in (1.0, NOT_GIVEN, NOT_GIVEN):
        world.user(turns=3, hold=0.01, timeout=timeout)
    world.operate((0.025, world.watch.drain), (0.02, lambda: world.watch.drain(interrupt=True)))
    world.end()


def pausing(sim: Simulation) -> None:
    """A failover: pause, drain, resume."""
    world = World(sim, 2, latency=0.02)
    for timeout in (1.0, NOT_GIVEN, NOT_GIVEN):
        world.user(turns=3, pause=0.01, timeout=timeout)
    world.operate(
        (0.05, world.pool.pause),
        (0.01, world.watch.drain),
        (0.02, world.pool.resume),
        (0.01, lambda: world.pool.pause(interrupt=True)),
        (0.02, world.pool.resume),
    )
    world.end()


def resizing(sim: Simulation) -> None:
    """The pool grows and shrinks under load."""
    world = World(sim, 2, order="fifo")
    for timeout in (1.0, NOT_GIVEN, NOT_GIVEN):
        world.user(turns=3, hold=0.01, timeout=timeout)
    world.operate(
        (0.015, lambda: world.pool.resize(1)),
        (0.02, lambda: world.pool.resize(3, 2)),
        (0.005, lambda: world.pool.resize(2, 2)),
    )
    later = {"turns": 2, "hold": 0.01, "timeout": NOT_GIVEN}
    world.operate(
        (0.13, lambda: world.user(**later)),
        (0, lambda: world.user(**later)),
        (0.03, lambda: world.pool.resize(1)),
    )
    world.end()


def closing(sim: Simulation) -> None:
    """The pool is closed while some use it, some wait, and something is being opened."""
    world = World(sim, 3, close_latency=0.01, min_size=2)
    world.user(turns=3, hold=0.02, timeout=NOT_GIVEN)
    world.user(turns=3, timeout=NOT_GIVEN)
    world.user(turns=2, hold=0.03)
    world.user()
    world.operate((0.005, lambda: world.pool.wait_ready(1)))
    world.operate((0.03, lambda: world.pool.close(0.5)))
    world.operate((0.035, lambda: world.pool.close(0.01)))
    world.end(0.3)


def by_hand(sim: Simulation) -> None:
    """Connections are taken and brought back by hand, discarded and detached."""
    world = World(sim, 2, kind=ResettingPool)
    world.user(by_hand=True, turns=2)
    world.user(by_hand=True, error=LookupError("discard"))
    world.spawn(detach, world)
    world.operate((0.025, world.peer.cut_all))
    world.end()
    for connection in world.watch.escaped:
        connection.close()


def detach(world: World) -> None:
    """Take a connection away for good."""
    with contextlib.suppress(OSError), world.watch.get(timeout=1) as connection:
        world.question(connection, "mine")
        gevent.sleep(0.01)
        world.watch.detach(connection)


def retrying(sim: Simulation) -> None:
    """Functions that try again, through an outage."""
    world = World(sim, 1)

    @retry(exc_classes=(OSError,), max_failures=4, interval=0.05)
    def work(token: str) -> None:
        with world.watch.get(timeout=1.0) as connection:
            world.question(connection, token)

    world.spawn(work, "one")
    world.spawn(work, "two")
    world.operate((0.015, lambda: world.peer.restart(0.02)), (0.01, lambda: work("three")))
    world.end(0.4)


def cutting(sim: Simulation) -> None:
    """The peer cuts connections in use and idle; the loop tells of the idle ones."""
    world = World(sim, 2, kind=WiredPool, connection_class=Wire, is_broken=lambda c, e: c.unread)
    world.user(turns=2, hold=0.01, timeout=NOT_GIVEN)
    world.operate(
        (0.02, lambda: cut(world)), (0.05, lambda: cut(world)), (0.01, world.user)
    )  # fmt: skip
    world.end()


def cut(world: World) -> None:
    """Every connection is cut, and the loop tells of it."""
    world.peer.cut_all()
    if isinstance(world.pool, WiredPool):
        world.pool.notice(world.sim)


def listening(sim: Simulation) -> None:
    """Everything is told to a listener, leaks too."""
    world = World(sim, 2, listens=True, leak_threshold=0.5)
    world.user(turns=2, hold=0.6)
    world.user(turns=2, error=LookupError("doubt"))
    world.user(timeout=0.01)
    world.operate((0.04, world.watch.drain))
    world.end(1.5)


def ageing(sim: Simulation) -> None:
    """Connections are retired for their age and for being idle."""
    world = World(
        sim, 2, kind=WiredPingingPool, connection_class=Wire,
        max_lifetime=3, idle_timeout=2, min_size=1,
    )  # fmt: skip
    for _ in range(2):
        world.user(turns=2, pause=0.5, timeout=NOT_GIVEN)
    world.end(6)


def looking_over(sim: Simulation) -> None:
    """An operator has every idle connection checked; one fails."""
    world = World(sim, 3)
    world.operate((0.02, lambda: world.peer.cut(oldest(world))), (0, world.pool.check))
    world.operate((0.025, world.pool.check))
    world.operate((0.026, lambda: world.user(hold=0.02)), (0, lambda: world.user(hold=0.02)))
    world.user(pause=0.01)
    world.end()


def oldest(world: World) -> object:
    """The oldest connection that is open."""
    return min(world.peer.open, key=lambda connection: connection.number)


def plainly(sim: Simulation) -> None:
    """Nothing is asked for but connections: the calm path. A drain comes in between."""
    world = World(sim, 2, kind=SimPool, is_broken=lambda c, e: c.unread)
    for _ in range(2):
        world.user(turns=4, pause=0.002, timeout=NOT_GIVEN)
    world.operate((0.025, world.watch.drain))
    world.end()


def crowded(sim: Simulation) -> None:
    """On a calm day: what was taken without a thought comes back while somebody waits."""
    world = World(sim, 1)
    world.user(turns=4, hold=0.01, pause=0.005, timeout=NOT_GIVEN)
    world.operate(
        (0.045, lambda: world.user(timeout=NOT_GIVEN)),
        (0.025, lambda: world.user(timeout=0.005)),
        (0.005, lambda: world.user(timeout=NOT_GIVEN)),
    )
    world.operate((0.1, lambda: world.spawn(discard, world)), (0.005, world.user))
    world.end()


def discard(world: World) -> None:
    """Have a connection closed that somebody else waits for already."""
    with world.watch.get() as connection:
        world.question(connection, "the last one")
        world.pool.discard(connection)
        gevent.sleep(0)


def impatience(sim: Simulation) -> None:
    """Nothing can be had, and everybody waits as long as they please."""
    world = World(sim, 1, timeout=0.25)
    world.peer.restart(downtime=0.4)
    for timeout in (NOT_GIVEN, 0.1, NOT_GIVEN, None, 0.3):
        world.user(timeout=timeout)
    world.end(0.5)


def storming(sim: Simulation) -> None:
    """For a while the peer accepts and hangs up, and callers come all the same."""
    world = World(sim, 2)
    world.peer.hang_up_on_accept = True
    for _ in range(2):
        world.user(turns=3, timeout=0.4)
    world.end(1.0)


def doubting(sim: Simulation) -> None:
    """What was idle for a while is checked before use, what was not is taken instead."""
    world = World(sim, 3, check_after=0.02, order="fifo")
    world.user(turns=3, pause=0.005)
    world.operate((0.045, world.user), (0, world.user), (0.04, lambda: world.user(turns=2)))
    world.operate((0.095, world.watch.drain))
    world.end()


def pinged_when_wanted(sim: Simulation) -> None:
    """Everybody comes while the only connection is pinged."""
    world = World(sim, 1, keepalive=1.0, latency=0.1)
    world.operate(*[(seconds, lambda: world.user(turns=2)) for seconds in (1.12, 0.03, 0.03)])
    world.operate((3.5, lambda: world.user(turns=3)))
    world.end(4)


LIVES: dict[str, Callable[[Simulation], None]] = {
    life.__name__: life
    for life in (
        line, connecting, refused, hanging_up, pinging, checking, breaking, goodbyes, draining,
        pausing, resizing, closing, by_hand, retrying, cutting, listening, ageing, looking_over,
        plainly, crowded, impatience, storming, doubting, pinged_when_wanted,
    )
}  # fmt: skip
"""Every life, by its name."""
