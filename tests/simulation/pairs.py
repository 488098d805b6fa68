"""The pairs that matter: at every step of a short scenario, in every way, in both orders.

close x kill, hand-over x timeout, drain x connect, resize x release, pause x hand-over,
fork x keepalive. Nothing is sampled. See `meetings` for how two events are made to meet.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import gevent
from childhood import childhood, fork, pinging
from meetings import Deed, Event, Meeting, Pair, call, falls_due, kill, ring, sleeper, start
from tally import Tally, Task, judge
from world import ResettingPool, World

from geventconnpool.core.orders import Order
from geventconnpool.options import NOT_GIVEN
from geventconnpool.testing import Plan, Simulation

__all__ = ["PAIRS", "find", "meet", "tasks"]

SHORT: dict[str, Any] = {
    "latency": 0.004,
    "timeout": 0.06,
    "connect_timeout": 0.05,
    "keepalive_timeout": 0.05,
}
"""Deadlines that are near, so that they matter within a short life."""


# -- scenarios


def in_a_hurry(world: World, seconds: float, **habits: Any) -> None:
    """Somebody who gives up by a timeout of their own, wherever it hits them."""

    def hurry() -> None:
        with gevent.Timeout(seconds, False):
            world.ask(len(world.users), **habits)

    world.spawn(hurry)


def one_line(sim: Simulation, **options: Any) -> World:
    """One connection: who holds it, and who waits with each kind of deadline."""
    world = World(sim, 1, **{**SHORT, **options})
    world.user(hold=0.01)
    world.user(timeout=None)  # for ever
    world.user(timeout=NOT_GIVEN)  # as long as the pool says
    world.user(timeout=0.02, by_hand=True)
    in_a_hurry(world, 0.03)
    return world


def everything(sim: Simulation, **options: Any) -> World:
    """Two connections in use, waiters, a slow goodbye, a check, and connects under way."""
    world = World(sim, 2, close_latency=0.006, **{**SHORT, **options})
    world.user(turns=2, hold=0.004, pause=0.006, timeout=NOT_GIVEN)  # may take the calm path
    world.user(hold=0.002, error=OSError("broken"))
    world.user(timeout=0.03, by_hand=True)
    world.operate((0.022, world.pool.check))
    return world


def connecting(sim: Simulation, **options: Any) -> World:
    """One connection is in use, others are being opened, and callers wait for those."""
    world = World(sim, 3, close_latency=0.003, **{**SHORT, **options})
    world.user(hold=0.02)
    world.user(timeout=0.03)
    world.user()
    world.operate((0.007, lambda: world.peer.cut_all()), (0.001, world.user))
    return world


def returning(sim: Simulation, **options: Any) -> World:
    """Every kind of return: calm, by hand, with an error of each sort, beside a waiter."""
    world = World(sim, 2, close_latency=0.003, **{**SHORT, **options})
    world.user(turns=2, hold=0.003, pause=0.004, timeout=NOT_GIVEN)
    world.user(turns=2, hold=0.002, by_hand=True)
    world.user(hold=0.002, error=OSError("broken"))
    world.user(hold=0.002, error=ValueError("says nothing of the connection"))
    return world


# -- what an operator does, and what befalls


CALLS: dict[str, Event] = {
    "close": call(lambda world: world.pool.close()),
    "shut": start(lambda world: world.pool.close(timeout=0.05)),
    "drain": call(lambda world: world.watch.drain()),
    "seize": call(lambda world: world.watch.drain(interrupt=True)),
    "grow": call(lambda world: world.pool.resize(world.size + 1)),
    "shrink": call(lambda world: world.pool.resize(1, 0)),
    "pause": call(lambda world: world.pool.pause()),
    "stop": call(lambda world: world.pool.pause(interrupt=True)),
}
"""``shut`` closes in a greenlet that waits; ``seize`` and ``stop`` interrupt."""


def refused(world: World) -> list[Deed]:
    """Every connect under way fails now."""
    jobs = [slot.job for slot in world.pool._geventconnpool.state.books.slots.values()]
    connecting = [job.greenlet for job in jobs if job and job.how is Order.CONNECT]
    timers = [timer for timer in world.sim.timers if sleeper(timer) in connecting]
    return [functools.partial(_refuse, world, timer) for timer in timers]


def _refuse(world: World, timer: Any) -> None:
    world.peer.up = False
    ring(world.sim, timer)
    world.peer.up = True


# -- the catalogue


def _catalogue() -> list[Pair]:
    listening = functools.partial(everything, listens=True)
    resetting = functools.partial(returning, kind=ResettingPool)
    single = functools.partial(one_line, kind=ResettingPool)
    operations = {
        "connect": (connecting, ("drain", "seize")),
        "release": (returning, ("grow", "shrink")),
        "reset": (resetting, ("grow", "shrink")),
        "handover": (one_line, ("pause", "stop")),
        "reset-handover": (single, ("pause", "stop")),
    }
    child = functools.partial(Pair, cast=pinging, first=call(fork), life=0.3, around=childhood)
    return [
        Pair("close-kill", everything, CALLS["close"], kill, gaps=(0, 1)),
        Pair("shut-kill", everything, CALLS["shut"], kill),
        Pair("close-kill-heard", listening, CALLS["close"], kill),
        Pair("handover-timeout", one_line, falls_due, falls_due, gaps=(0, 1, 2)),
        Pair("handover-kill", one_line, falls_due, kill),
        *(
            Pair(f"{operation}-{what}", cast, CALLS[operation], falls_due)
            for what, (cast, names) in operations.items()
            for operation in names
        ),
        Pair("drain-refused", connecting, CALLS["drain"], refused),
        Pair("seize-refused", connecting, CALLS["seize"], refused),
        child("fork-keepalive", second=falls_due),
        child("fork-kill", second=kill),
    ]


PAIRS = {pair.name: pair for pair in _catalogue()}
"""All of them, by name."""


# -- the proof


NIGHTLY_GAPS = tuple(range(5))

RUNS_AT_ONCE = 400
"""About so many make one task: a few seconds."""


def find(name: str) -> Meeting:
    """The scenario that a report calls *name*."""
    return Meeting.parse(name, PAIRS)


def meet(name: str, gaps: tuple[int, ...] = (), share: int = 0, shares: int = 1) -> Tally:
    """Play every meeting of a pair once, or only a share of them."""
    tally = Tally()
    meetings = list(PAIRS[name].meetings(gaps))
    for meeting in itertools.islice(meetings, share, None, shares):
        judge(str(meeting), meeting, Plan(), tally)
    if share == 0:  # else each of them would count the same ones
        tally.counts["positions"] += len({meeting.step for meeting in meetings})
    return tally


def tasks(nightly: bool) -> list[Task]:
    """All of it, in shares that keep several processes busy."""
    gaps = NIGHTLY_GAPS if nightly else ()
    shares = {
        name: 1 + len(list(pair.meetings(gaps))) // RUNS_AT_ONCE for name, pair in PAIRS.items()
    }
    return [
        Task("pairs", meet, (name, gaps, share, shares[name]))
        for name in PAIRS
        for share in range(shares[name])
    ]
