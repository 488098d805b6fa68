"""Ctrl-C between any two bytecodes: every position of every path of a checkout, one run each.

A signal handler may raise between two instructions, and no ``try`` covers them all. A sweep
plays a short scenario again and again and raises `CtrlC` before the first, the second, the
third, ... instruction that the acting greenlet executes in the package. Then virtual time
goes on, the supervisor of the pool gets its chance, and the oracles look whether anything
was lost.

It asks for more than CPython can do: signals are delivered at the beginning of functions,
after calls and at jumps backwards only, a sweep raises everywhere. What no pool can mend is
listed in `LIMITS`, and why.

    python tests/simulation/bytecodes.py [--full] [--pool] [names of scenarios]
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gevent
from checkout_paths import SCENARIOS, Scenario, World
from gevent import getcurrent
from interrupter import AVAILABLE, INSTRUCTIONS, CtrlC, Interrupter, Place, package_codes
from tally import REPLAY, Tally, Task

from geventconnpool import PoolError
from geventconnpool.testing import Simulation

__all__ = ["AVAILABLE", "FATES", "LIMITS", "SCENARIOS", "Result", "Violation", "sweep"]

MOST_TOLD = 100
"""So many violations are printed."""

REPAIR_SECONDS = 5.0
"""The supervisor has mended everything by then."""


@dataclass(frozen=True)
class Violation:
    """What was wrong after one run."""

    scenario: str
    position: int
    fate: str
    place: Place | None
    wrong: str

    def __str__(self) -> str:
        where = f"{self.scenario} #{self.position} ({self.fate}) before {self.place}"
        return f"{where}: {self.wrong}"


@dataclass
class Result:
    """What a sweep has found."""

    scenarios: int = 0
    positions: int = 0
    runs: int = 0
    repaired: int = 0
    """After how many runs the supervisor had something to mend."""
    waited: int = 0
    """How many places came back only when the traceback of the interruption was let go."""
    limits: int = 0
    """How many runs met one of the `LIMITS`."""
    violations: list[Violation] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.scenarios} scenarios, {self.positions} positions, {self.runs} runs, "
            f"{self.repaired} repaired, {self.waited} held by a traceback, "
            f"{self.limits} at the limits, "
            f"{len(self.violations)} violations, {self.seconds:.1f} s"
        )

    def note(self, run: Run, place: Place | None) -> None:
        """One more run, interrupted at *place*."""
        self.runs += 1
        self.repaired += run.repairs > 0
        self.waited += run.waits_for_traceback
        if place is None:
            run.wrong.append("never came to its position")
        if run.wrong and place is not None and (place.function, place.instruction) in LIMITS:
            self.limits += 1
        elif run.wrong:
            wrong = "; ".join(run.wrong)
            self.violations.append(
                Violation(run.scenario.name, run.position, run.fate, place, wrong)
            )

    def add(self, other: Result) -> None:
        self.scenarios += other.scenarios
        self.positions += other.positions
        self.runs += other.runs
        self.repaired += other.repaired
        self.waited += other.waited
        self.limits += other.limits
        self.violations += other.violations


BY_HAND = "the caller has no lease, and neither has nor has not brought the connection back"

LIMITS: dict[tuple[str, str], str] = {
    ("ConnectionPool.acquire", "RETURN_VALUE"): BY_HAND,
    ("ConnectionPool.release", "RESUME"): BY_HAND,
    ("ConnectionPool.release", "NOP"): BY_HAND,
    ("ConnectionPool.detach", "RESUME"): BY_HAND,
    ("ConnectionPool.detach", "NOP"): BY_HAND,
}
"""Function and instruction: where `acquire` is over, or `release` has not begun.

There the pool knows no more than if the caller had been interrupted a moment later, or a
moment earlier, in his own code. With ``get()`` and a block it does."""

PER_CHANGE = (
    "with_block", "with_block_asking", "by_hand", "broken", "doubt", "discarded", "detached",
    "with_waiters", "blocked with_block_asking", "blocked timed_out", "with_block careful",
)  # fmt: skip
"""The paths that differ most. Nightly it is all of them."""

POOLS_OWN = ("with_block", "broken", "blocked with_block_asking reset")
"""The scenarios in which the pool's own greenlets are interrupted, too."""

FATES = ("kept", "died")
"""What becomes of the interruption. It ends the greenlet; or it is caught, and its traceback
kept for a while, with all the frames that it holds."""


class Run:
    """One run of a scenario, with one interruption."""

    def __init__(self, scenario: Scenario, position: int, fate: str, who: str) -> None:
        self.scenario = scenario
        self.position = position
        self.fate = fate
        self.who = who
        self.may_drop = who == "pool"
        """Whether one connection may be dropped unclosed, or closed twice: it was in the hands
        of the greenlet that was interrupted, between the hook and the books."""
        self.wrong: list[str] = []
        self.repairs = 0
        self.kept: list[BaseException] = []
        self.waits_for_traceback = False
        self.ended = False

    def play(self, interrupter: Interrupter) -> None:
        """Play it, and look what is left."""
        with Simulation() as sim:
            gevent.get_hub().SYSTEM_ERROR = ()  # who dies of Ctrl-C does not take us with him
            world = World(sim, self.scenario)
            world.fill()
            self.scenario.prepare(world)
            self._arm(interrupter, world, sim.spawn(self._live, world))
            self._let_time_pass(sim, world, interrupter)
            self._check(sim, world)
            errors = [repr(e) for e in sim.errors if not isinstance(e, CtrlC)]
            self._expect(not errors, f"died of {errors}")
            sim.errors.clear()

    def _arm(self, interrupter: Interrupter, world: World, actor: Any) -> None:
        acts = weakref.ref(actor)
        users = weakref.WeakSet([getcurrent(), *world.others])

        def is_actor(current: Any) -> bool:
            return current is acts()

        def is_pool(current: Any) -> bool:
            return current not in users and current not in world.others and not is_actor(current)

        interrupter.arm(self.position, is_actor if self.who == "actor" else is_pool)

    def _live(self, world: World) -> None:
        try:
            self.scenario.act(world)
        except CtrlC as error:
            if self.fate == "died":
                raise
            self.kept.append(error)
        finally:
            self.ended = True
        gevent.sleep(8)  # a wake-up that comes too late would disturb this

    def _let_time_pass(self, sim: Simulation, world: World, interrupter: Interrupter) -> None:
        with warnings.catch_warnings(record=True) as self.warned:
            warnings.simplefilter("always", ResourceWarning)
            sim.advance(0.2)
            _forgive(sim)
            self._look(world)
            sim.advance(1.0)  # one more tick: the pool's own greenlets are swept up to here
            interrupter.disarm()
            sim.advance(REPAIR_SECONDS)
            _forgive(sim)
            if self.kept:
                self.waits_for_traceback = world.pool.stats().active > 0
                self.kept.clear()
                sim.advance(REPAIR_SECONDS)

    def _look(self, world: World) -> None:
        """Is anything out that nobody has? Then it must be mended, and counted."""
        stats = world.pool.stats()
        held = sum(not other.ready() for other in world.others)
        self.out = self.ended and stats.active > 0 and held == 0

    def _expect(self, condition: object, wrong: str) -> None:
        if not condition:
            self.wrong.append(wrong)

    def _check(self, sim: Simulation, world: World) -> None:
        pool, peer = world.pool, world.peer
        stats = pool.stats()
        self.repairs = stats.repairs
        self.out = self.out or self.waits_for_traceback
        told = stats.repairs or self.warned  # "get() without a with block" is what it looks like
        self._expect(told or not self.out, "something was out, and no repair is counted")
        self._expect(stats.waiting == 0, f"{stats.waiting} wait still")
        self._expect(self.ended, "the actor waits for ever")
        waits = [other for other in world.others if not other.ready()]
        self._expect(not waits, f"{len(waits)} others wait for ever")
        self._check_places(world)
        most = pool.size + len(world.given_away) + self.may_drop
        self._expect(peer.most_open <= most, "too many were open")
        sim.advance(5)  # whoever caught it is up again
        self._check_stats(world)
        self._check_end(sim, world)
        twice = bool(world.given_away) or self.may_drop
        wrong = [c for c in peer.complaints if "closed 2 times" not in c or not twice]
        self._expect(not wrong and not world.complaints, f"{wrong or world.complaints}")

    def _check_places(self, world: World) -> None:
        pool, out = world.pool, []
        try:
            for _ in range(pool.size):
                out.append(pool.acquire(timeout=5))
        except PoolError as error:
            self.wrong.append(f"a place is lost: {error}")
        self._expect(len(set(map(id, out))) == len(out), "a connection went out twice")
        self._expect(all(c.holder is None for c in out), "a connection is in two hands")
        for c in out:
            if c not in world.given_away:
                self._expect(not c.closed, "a closed connection was handed out")
            pool.release(c)

    def _check_stats(self, world: World) -> None:
        stats = world.pool.stats()
        gauges = {name: getattr(stats, name) for name in ("active", "waiting", "checking")}
        gauges |= {name: getattr(stats, name) for name in ("connecting", "closing")}
        self._expect(not any(gauges.values()), f"not at rest: {gauges}")
        self._expect(stats.min_size <= stats.idle <= stats.size, f"{stats.idle} idle")

    def _check_end(self, sim: Simulation, world: World) -> None:
        pool, peer = world.pool, world.peer
        self._expect(pool.close(timeout=10) is True, "close() left something")
        sim.advance(3)
        left = [c for c in peer.open if c not in world.given_away]
        self._expect(len(left) <= self.may_drop, f"{len(left)} connections are open after close()")
        self._expect(not sim.timers, f"timers are left: {sim.timers}")
        self._expect(not sim.alive(), f"greenlets are left: {sim.blocked()}")


def _forgive(sim: Simulation) -> None:
    """Forget the interruption, and with it the frames that it holds."""
    sim.errors[:] = [error for error in sim.errors if not isinstance(error, CtrlC)]


def _play(run: Run, interrupter: Interrupter) -> None:
    """Play it to its end, whatever that is."""
    try:
        run.play(interrupter)
    except Exception as error:
        run.wrong.append(f"the run came to {error!r}")
    except CtrlC:
        run.wrong.append("the interruption met the test itself")
    finally:
        interrupter.disarm()


def _sweep_one(
    scenario: Scenario, fates: tuple[str, ...], who: str, interrupter: Interrupter, full: bool
) -> Result:
    undisturbed = Run(scenario, 0, "kept", who)
    _play(undisturbed, interrupter)
    if undisturbed.wrong or undisturbed.repairs:
        raise AssertionError(f"{scenario.name}, not interrupted: {undisturbed.wrong}")
    trace = interrupter.trace
    positions = range(1, len(trace) + 1) if full else INSTRUCTIONS.telling(trace)
    result = Result(scenarios=1, positions=len(trace))
    for position in positions:
        for fate in fates:
            run = Run(scenario, position, fate, who)
            _play(run, interrupter)
            result.note(run, interrupter.place)
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """No collection of garbage from one run in the middle of another."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def sweep(
    names: list[str] | None = None,
    *,
    fates: tuple[str, ...] = FATES,
    who: str = "actor",
    full: bool = False,
    tell: Callable[[str], object] | None = None,
) -> Result:
    """Interrupt the scenarios (all, or those of *names*) at every position that may matter.

    :param full: at every position, also after instructions that change nothing.
    :param who: ``"actor"``: who takes and brings back; ``"pool"``: the pool's own greenlets
        and what the loop calls. The connection that one of these opens or closes at that very
        moment has no other owner: it may be dropped, or closed twice; its place is not lost.
    """
    total, began = Result(), time.monotonic()
    chosen = [s for s in SCENARIOS if names is None or s.name in names]
    codes = package_codes()
    with _quiet():
        for scenario in chosen:
            extra = {scenario.act.__code__} if scenario.own else set()
            with Interrupter(codes | extra) as interrupter:
                one = _sweep_one(scenario, fates, who, interrupter, full)
            gc.collect()
            one.seconds = time.monotonic() - began - total.seconds
            total.add(one)
            total.seconds = time.monotonic() - began
            if tell is not None:
                tell(f"{scenario.name}: {one}")
    return total


def run(name: str, full: bool, who: str = "actor", fates: tuple[str, ...] = FATES) -> Tally:
    """The sweep over one scenario, as a share of the proof."""
    found = sweep([name], full=full, who=who, fates=fates)
    tally = Tally()
    tally.counts.update(
        {
            "scenarios": found.scenarios,
            "positions": found.positions,
            "runs": found.runs,
            "repaired": found.repaired,
            "at the limits": found.limits,
        }
    )
    tally.failures += [f"{each}\nreplay: {REPLAY} 'bytecode {name}'" for each in found.violations]
    return tally


def replay(line: str) -> Tally:
    """Sweep over a scenario again, as in ``bytecode NAME``."""
    return run(line.removeprefix("bytecode "), full=False)


def tasks(nightly: bool) -> list[Task]:
    """Per change the paths that differ most; nightly all of them, at every single position."""
    if not AVAILABLE:
        print("bytecodes: left out, sys.monitoring came with Python 3.12", file=sys.stderr)
        return []
    if not nightly:
        return [Task("bytecodes", run, (name, False, "actor", FATES[:1])) for name in PER_CHANGE]
    everybody = [Task("bytecodes", run, (each.name, True)) for each in SCENARIOS]
    pools = [Task("bytecodes", run, (name, False, "pool", FATES[:1])) for name in POOLS_OWN]
    return everybody + pools


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="scenarios; all by default")
    parser.add_argument("--pool", action="store_true", help="interrupt the pool's own greenlets")
    parser.add_argument("--full", action="store_true", help="every single position")
    options = parser.parse_args()
    who, fates = ("pool", FATES[:1]) if options.pool else ("actor", FATES)
    found = sweep(options.names or None, fates=fates, who=who, full=options.full, tell=print)
    for violation in found.violations[:MOST_TOLD]:
        print(violation)
    print(found)
    return bool(found.violations)


if __name__ == "__main__":
    sys.exit(main())
