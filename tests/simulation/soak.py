"""Days of chaos in one simulation, all from one seed, watched at every step.

Users with all kinds of habits come and go by the time of day; the peer is cut, restarted,
silent, slow and rude; operators operate; and at any step anything may be thrown into anybody,
the pool's own greenlets too. Afterwards all must be whole, and nothing left.

`SOAKS` are the sets of options; the seed picks one. What is thrown is thrown from the hub, as a
kill is. Every oracle looks before every step.
"""

from __future__ import annotations

import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent import Greenlet
from habits import REFUSALS, Crowd, visit
from tally import REPLAY, Tally, Task
from wires import Wire, WiredPingingPool
from world import PingingPool, ResettingPool, SimPool

from geventconnpool.testing import Fault, Simulation
from geventconnpool.testing.loop import SimulatedLoop
from geventconnpool.testing.plans import ERRORS

__all__ = ["SOAKS", "Soak", "Story", "replay", "run", "soak", "tasks"]

HOUR = 3600.0
REGULARS = 12
WEATHER = (
    "answer_gap", "black_hole", "close_latency", "fails_after", "hang_up_on_accept", "latency",
)  # fmt: skip
"""What may be unusual about the peer for a while."""
STEPS_A_DAY = 5_000_000
"""More than that, and something spins."""

SOAKS: list[dict[str, Any]] = [
    {"kind": PingingPool, "keepalive": 60},
    {
        "kind": PingingPool, "keepalive": 45, "listens": True, "leak_threshold": 20,
        "fail_fast_after": 5, "max_lifetime": 1800, "order": "fifo",
    },
    {"kind": ResettingPool, "keepalive": 120, "check_after": 10, "max_lifetime": 3600},
    {
        "kind": PingingPool, "keepalive": 60, "min_size": 2, "idle_timeout": 300,
        "max_waiting": 20, "max_lifetime": 7200, "close_latency": 0.02,
    },
    {
        "kind": WiredPingingPool, "connection_class": Wire, "keepalive": 90, "min_size": 0,
        "idle_timeout": 600, "check_after": 0, "listens": True,
    },
    {"kind": SimPool, "max_lifetime": 900, "is_broken": lambda c, error: bool(c.unread)},
]  # fmt: skip
"""Without ``is_broken`` a pool that can ask nobody must believe its users, who lie here."""


@dataclass
class Story:
    """What came of a soak."""

    seed: int
    hours: float
    counts: Counter[str] = field(default_factory=Counter)
    trace_hash: str = ""
    failure: str = ""
    """Everything about what went wrong; empty if nothing did."""

    @property
    def name(self) -> str:
        """What plays it again."""
        return f"soak seed={self.seed} hours={self.hours:g}"

    def __str__(self) -> str:
        counts = ", ".join(f"{count:,} {what}" for what, count in self.counts.items())
        return f"{self.name}: {counts}, trace {self.trace_hash}"


class Soak:
    """One pool, and everything that happens to it."""

    def __init__(self, sim: Simulation, seed: int, size: int = 8) -> None:
        self.sim = sim
        self.rng = sim.random
        # Pings that hang are as slow as by default: the others are then due one after the other.
        self.world = Crowd(sim, size, keepalive_timeout=5.0, **SOAKS[seed % len(SOAKS)])
        self.counts: Counter[str] = Counter()
        self.picture: list[str] = []
        """What it looked like when the first thing was wrong."""
        self.over = False
        self.crew: list[Any] = [None] * REGULARS
        self.helpers: list[Any] = []
        self.busy: set[Any] = set()
        """Those of them who are using the pool; never gone through in its own order."""
        self._fair = {name: getattr(self.world.peer, name) for name in WEATHER}
        self._visits = 0
        self._thrown: deque[BaseException] = deque(maxlen=256)
        self._struck: deque[str] = deque(maxlen=3)
        self._next_throw = 100
        self._next_hour = HOUR
        sim.inject = self._before_step

    def live(self, hours: float) -> None:
        """Let all this go on for so many virtual hours."""
        end = self.sim.now + hours * HOUR
        while self.sim.now < end and not self.picture:
            self._recruit()
            self.sim.sleep(self.rng.expovariate(1 / 90))
            self._meddle()
            self._hourly()

    def end(self) -> None:
        """Send everybody home; then everything must be in order."""
        self.over = True
        gevent.killall([*self.crew, *self.helpers], block=False)
        if not self.picture:
            self.world.end()

    # -- users

    def _recruit(self) -> None:
        """Somebody new for everybody who has died."""
        for number, user in enumerate(self.crew):
            if user is None or user.dead:
                self.crew[number] = self.sim.spawn(self._come_and_go)
        self.helpers = [helper for helper in self.helpers if not helper.dead]

    def _come_and_go(self) -> None:
        while not self.over:
            gevent.sleep(self.rng.expovariate(1 / self._pause()))
            self._visit()

    def _pause(self) -> float:
        """How long somebody who comes regularly stays away, at this hour of the day."""
        hour = self.sim.now / HOUR % 24
        return 1800.0 if hour < 6 else 30.0 if 8 <= hour < 18 else 180.0

    def _visit(self) -> None:
        self._visits += 1
        user = gevent.getcurrent()
        self.busy.add(user)
        try:
            self.counts[visit(self.world, f"question {self._visits}")] += 1
        finally:
            self.busy.discard(user)

    def _rush(self) -> None:
        """Many come at once."""
        for _ in range(self.rng.randrange(10, 60)):
            self._help(self._visit)

    # -- trouble

    def _meddle(self) -> None:
        """One act of chance."""
        acts = {
            self._rush: 1, self._cut: 5, self._restart: 2, self._operate: 5,
            self._silence: 1, self._rudeness: 1, self._slowness: 1, self._fragility: 1,
        }  # fmt: skip
        act = self.rng.choices(list(acts), list(acts.values()))[0]
        self.counts[act.__name__.strip("_")] += 1
        act()

    def _help(self, what: Callable[..., Any], *args: Any) -> None:
        self.helpers.append(self.sim.spawn(what, *args))

    def _cut(self) -> None:
        some = sorted(self.world.peer.open, key=lambda connection: connection.number)
        if some:
            self.world.peer.cut(self.rng.choice(some))
        self._notice()

    def _restart(self) -> None:
        downtime = self.rng.choice([0.0, 1.0, self.rng.uniform(5, 300)])
        self.world.peer.restart(downtime)
        self._notice()

    def _notice(self) -> None:
        """What the kernel knows at once, the simulated loop has to be told."""
        if isinstance(self.world.pool, WiredPingingPool):
            self.world.pool.notice(self.sim)

    def _silence(self) -> None:
        self._help(self._spell, {"black_hole": True}, 30.0)

    def _rudeness(self) -> None:
        """The peer hangs up on whoever connects."""
        self._help(self._spell, {"hang_up_on_accept": True}, 30.0)
        self.world.peer.cut_all()

    def _slowness(self) -> None:
        weather = {"latency": 0.4, "answer_gap": 0.2, "close_latency": 1.5}
        self._help(self._spell, weather, 120.0)

    def _fragility(self) -> None:
        """What is opened now does not live long."""
        self._help(self._spell, {"fails_after": 3}, 300.0)

    def _spell(self, weather: dict[str, Any], seconds: float) -> None:
        try:
            for name, value in weather.items():
                setattr(self.world.peer, name, value)
            gevent.sleep(self.rng.expovariate(1 / seconds))
        finally:
            for name in weather:
                setattr(self.world.peer, name, self._fair[name])

    def _operate(self) -> None:
        acts = [self._drain, self._fail_over, self._resize, self._check, self._look, self._await]
        self._help(self._by_operator, self.rng.choice(acts))

    def _by_operator(self, act: Callable[[], object]) -> None:
        with _refused():
            act()

    def _drain(self) -> None:
        self.world.pool.drain(interrupt=self.rng.random() < 0.5)

    def _fail_over(self) -> None:
        pool = self.world.pool
        try:
            pool.pause(interrupt=self.rng.random() < 0.5)
            gevent.sleep(self.rng.expovariate(1 / 20))
            pool.drain()
        finally:
            pool.resume()

    def _resize(self) -> None:
        size = self.rng.randrange(1, self.world.size + 3)
        self.world.pool.resize(size, self.rng.randrange(0, size + 1))

    def _check(self) -> None:
        self.world.pool.check()

    def _look(self) -> None:
        assert str(self.world.pool.stats()) in repr(self.world.pool)

    def _await(self) -> None:
        self.world.pool.wait_ready(self.rng.choice([0.0, 5.0, 60.0]))

    # -- exceptions

    def _before_step(self, loop: SimulatedLoop) -> None:
        if self.world.watch.violations and not self.picture:
            self._take_picture("")
        # Mostly where somebody uses the pool; a little where only the pool is at work.
        if loop.steps >= self._next_throw and (self.busy or self.rng.random() < 0.02):
            self._next_throw = loop.steps + 1 + int(self.rng.expovariate(1 / 60))
            victim = self._victim()
            if victim is not None:
                self._throw(victim)

    def _victim(self) -> Any:
        """A greenlet of the pool, somebody who uses it, or anybody."""
        alive = self.sim.alive()
        known = {*self.crew, *self.helpers}
        own = [one for one in alive if one not in known]
        busy = [one for one in alive if one in self.busy]
        victims = self.rng.choice([own, busy, alive]) or alive
        return self.rng.choice(victims) if victims else None

    def _throw(self, victim: Greenlet[..., Any]) -> None:
        name = self.rng.choice(list(ERRORS))
        fault = Fault("beside", self.sim.steps, self.sim.number(victim), name)
        error = fault.make_error()
        self._thrown.append(error)
        stack = "".join(traceback.format_stack(victim.gr_frame)) if victim.gr_frame else ""
        self._struck.append(f"{fault} met greenlet {self.sim.describe(victim)}\n{stack}".rstrip())
        self.counts["kills"] += 1
        victim.throw(error)

    # -- keeping an eye on it

    def _hourly(self) -> None:
        """Look for deaths that nobody meant, and let go of what has piled up in the harness."""
        for error in self.sim.errors:
            if all(error is not one for one in self._thrown):
                self._take_picture("".join(traceback.format_exception(error)))
        self.sim.errors.clear()
        if self.world.wrong and not self.picture:
            self._take_picture("")
        if self.sim.now < self._next_hour:
            return
        self._next_hour += HOUR
        for error in self._thrown:
            error.__traceback__ = None  # it holds the frames of the dead, and what they had
        self.world.peer.connect_times.clear()

    def _take_picture(self, what: str) -> None:
        self.picture = [
            f"step {self.sim.steps}, {self.world.pool!r}",
            *self.world.watch.violations, *self.world.wrong, what,
            *self._struck, *self.sim.loop.debug(),
        ]  # fmt: skip


@contextmanager
def _refused() -> Iterator[None]:
    """What is refused, or fails in the ordinary way, does no harm."""
    try:
        yield
    except (*REFUSALS, OSError, ValueError):
        pass


def soak(seed: int, hours: float = 24.0) -> Story:
    """Let a pool live through so many virtual hours of chaos."""
    story = Story(seed, hours)
    most = int(STEPS_A_DAY * max(1.0, hours / 24))
    with Simulation(seed, shuffle=True, max_steps=most) as sim:
        life = Soak(sim, seed)
        try:
            life.live(hours)
            life.end()
        except BaseException as error:
            if not life.picture:
                life._take_picture("".join(traceback.format_exception(error)))
        story.failure = "\n".join(life.picture)
        story.counts = _counts(life)
        story.trace_hash = sim.trace_hash
    return story


def _counts(life: Soak) -> Counter[str]:
    world, stats = life.world, life.world.pool.stats()
    counts = {
        "virtual hours": round(life.sim.now / HOUR), "steps": life.sim.steps,
        "requests": world.answers, "wrong answers": len(world.wrong),
        "violations": len(world.watch.violations), "repairs": stats.repairs,
        "looks": world.watch.looks, "connects": stats.connects,
        **dict(sorted(life.counts.items())),
    }  # fmt: skip
    return Counter(counts)


def run(seed: int, hours: float = 24.0) -> Tally:
    """A soak, as a share of the proof."""
    story = soak(seed, hours)
    print(story, flush=True)
    tally = Tally(Counter({"runs": 1, **story.counts}))
    if story.failure:
        tally.failures.append(f"{story}\n{story.failure}\nreplay: {REPLAY} '{story.name}'")
    return tally


def replay(text: str) -> Tally:
    """Play again what a failure named, as in ``soak seed=1 hours=24``."""
    given = dict(part.split("=") for part in text.split()[1:])
    return run(int(given["seed"]), float(given["hours"]))


def tasks(nightly: bool, days: float = 30.0) -> list[Task]:
    """A day with each of three seeds; in the night a month, and a day with each set of options."""
    shares = [Task("soak", run, (seed, 24.0)) for seed in (1, 2, 3)]
    if nightly:
        shares = [Task("soak", run, (7, 24 * days))]
        shares += [Task("soak", run, (seed, 24.0)) for seed in range(1, len(SOAKS) + 1)]
    return shares
