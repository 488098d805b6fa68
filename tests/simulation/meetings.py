"""Two events in one turn of the loop: which, at which step, and in which order.

An event is a call (a close, a drain), a kill, or something that falls due: a timer rings now, and
the clock jumps there. Timers bring about whatever happens by itself: a connect is answered, a
holder has had enough, a deadline is over. So every coincidence can be arranged at every step.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import gevent
from gevent import Greenlet, GreenletExit
from world import World

from geventconnpool import PoolError
from geventconnpool.testing import Simulation, play

__all__ = ["ORDERS", "Deed", "Event", "Meeting", "Pair", "call", "falls_due", "kill", "start"]

Deed = Callable[[], object]
"""One way in which an event happens, in the hub."""

Event = Callable[[World], list[Deed]]
"""All ways in which it can happen at the present moment; asking changes nothing."""

ORDERS = ("ab", "ba")

_NEWCOMERS = 2
"""So many of the greenlets that the other event starts are killed, too, each in its turn."""


# -- events


def call(act: Callable[[World], object]) -> Event:
    """Somebody calls the pool from the hub; it may refuse."""

    def happens(world: World) -> list[Deed]:
        return [lambda: _leniently(act, world)]

    return happens


def start(act: Callable[[World], object]) -> Event:
    """The same in a greenlet of its own, which may wait."""

    def happens(world: World) -> list[Deed]:
        # To switch to it at once spares it the wait for its turn.
        return [lambda: world.spawn(_leniently, act, world).switch()]

    return happens


def _leniently(act: Callable[[World], object], world: World) -> None:
    with contextlib.suppress(PoolError):
        act(world)


def kill(world: World) -> list[Deed]:
    """Every living greenlet is killed, and whom the other event has just started."""
    sim = world.sim
    alive: list[Deed] = [functools.partial(_kill, victim) for victim in sim.alive()]
    newest = [functools.partial(_kill_newest, sim, each) for each in range(1, 1 + _NEWCOMERS)]
    return alive + newest


def _kill(victim: Greenlet[..., Any]) -> None:
    if not victim.ready():
        victim.throw(GreenletExit())


def _kill_newest(sim: Simulation, which: int) -> None:
    alive = sim.alive()
    if which <= len(alive):
        _kill(alive[-which])


def falls_due(world: World) -> list[Deed]:
    """Every timer rings, but for the one that the scenario itself waits for."""
    main = gevent.get_hub().parent
    timers = [t for t in world.sim.timers if sleeper(t) is not main]
    return [functools.partial(ring, world.sim, timer) for timer in timers]


def sleeper(timer: Any) -> object:
    """Who sleeps until *timer* rings, if it is that kind of timer."""
    return getattr(getattr(timer.callback, "__self__", None), "greenlet", None)


def ring(sim: Simulation, timer: Any) -> None:
    """Let *timer* ring now: the clock jumps, and whatever was due earlier is late."""
    if not timer.active:
        return
    sim.loop._now = max(sim.now, timer.due)
    callback, args = timer.callback, timer.args
    if timer.repeat:
        timer.again(callback, *args)
    else:
        timer.stop()
    callback(*args)


# -- meetings


@dataclass(frozen=True)
class Pair:
    """Two events, and the scenario in which they meet."""

    name: str
    cast: Callable[[Simulation], World]
    first: Event
    second: Event
    life: float = 0.06
    """How many virtual seconds the scenario is watched."""
    gaps: tuple[int, ...] = (0,)
    """How many steps there may be between the two; 0: the one follows the other at once."""
    around: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
    """What each run happens in."""

    def meetings(self, gaps: Iterable[int] = ()) -> Iterator[Meeting]:
        """Every step, every way of both, both orders, every gap (these, or the usual ones)."""
        chosen = tuple(gaps) or self.gaps
        alike = self.first is self.second
        for step, first, second in self._survey():
            for i in range(first):
                for j in range(second):
                    if alike and i == j:
                        continue
                    for order in ORDERS[:1] if alike else ORDERS:
                        for gap in chosen:
                            yield Meeting(self, step, i, j, order, gap)

    def _survey(self) -> list[tuple[int, int, int]]:
        """Play it without either event: at each step, in how many ways each could happen."""
        steps = []

        def life(sim: Simulation) -> None:
            with self.around():
                world = self.cast(sim)
                _before_each_step(sim, lambda: steps.append(self._ways(world)))
                world.end(self.life)

        record = play(life)
        if record.failure is not None:
            raise record.failure
        return steps

    def _ways(self, world: World) -> tuple[int, int, int]:
        return world.sim.steps, len(self.first(world)), len(self.second(world))


@dataclass(frozen=True)
class Meeting:
    """The scenario of a pair, in which both events happen at one step. Its ``str`` is its name."""

    pair: Pair
    step: int
    first: int
    second: int
    order: str = "ab"
    gap: int = 0
    """After so many more steps the later event follows; 0: at once."""

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)} ({self.order!r})")

    def __str__(self) -> str:
        parts = (self.pair.name, self.step, self.first, self.second, self.order, self.gap)
        return ":".join(["pair", *map(str, parts)])

    @classmethod
    def parse(cls, name: str, pairs: dict[str, Pair]) -> Meeting:
        """The meeting that ``str`` made *name* of."""
        _, pair, step, first, second, order, gap = name.split(":")
        return cls(pairs[pair], int(step), int(first), int(second), order, int(gap))

    def __call__(self, sim: Simulation) -> None:
        with self.pair.around():
            world = self.pair.cast(sim)
            deeds: list[Deed] = []
            _before_each_step(sim, lambda: self._interfere(world, deeds))
            world.end(self.pair.life)
        assert deeds, f"{self}: the scenario has no such step"
        if world.pool.closed:
            assert world.pool.close(timeout=0), f"closed, and not at an end: {world.pool!r}"

    def _interfere(self, world: World, deeds: list[Deed]) -> None:
        """Do what is to be done before this step; *deeds* are found when the first is due."""
        if world.sim.steps == self.step:
            deeds.extend(self._deeds(world))
            deeds[0]()
            world.watch.look()
        if deeds and world.sim.steps == self.step + self.gap:
            deeds[1]()
            world.watch.look()

    def _deeds(self, world: World) -> list[Deed]:
        deeds = [self.pair.first(world)[self.first], self.pair.second(world)[self.second]]
        return deeds if self.order == "ab" else deeds[::-1]


def _before_each_step(sim: Simulation, do: Callable[[], object]) -> None:
    """Call *do* in the hub before each step, after whatever the plan throws there."""
    earlier = sim.inject

    def inject(loop: Any) -> None:
        if earlier is not None:
            earlier(loop)
        do()

    sim.inject = inject
