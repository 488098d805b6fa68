"""Every public method of a pool in any order: rules for hypothesis, a model, and the oracles.

The rules command users, each in a greenlet of a simulation, an operator, the peer and the clock.
The model knows what is held and which refusals are due. Everything is chosen by numbers that
mean the same in every run.
"""

from __future__ import annotations

import math
import traceback
from contextlib import ExitStack
from typing import Any

from gevent.queue import Queue
from habits import REFUSALS, Crowd
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tally import REPLAY, Tally, Task
from wires import Wire, WiredPingingPool
from world import PingingPool, ResettingPool, SimPool

from geventconnpool import (
    PoolClosed,
    PoolError,
    PoolPaused,
    PoolTimeout,
    PoolUnavailable,
    TooManyWaiters,
    retry,
)
from geventconnpool.testing import Simulation
from geventconnpool.testing.plans import ERRORS

__all__ = ["PoolMachine", "how", "replay", "run", "tasks"]

NUMBER = st.integers(0, 11)
TIMEOUTS = st.sampled_from([None, 0, 0.005, 0.1, 2.0])
WAYS_OUT = st.sampled_from(["nothing", "OSError", "ValueError", "Timeout", "BaseException"])
FLAGS = st.booleans()


@st.composite
def options(draw: Any) -> dict[str, Any]:
    """What a pool is made with."""
    kind = draw(st.sampled_from([SimPool, PingingPool, ResettingPool, WiredPingingPool]))
    size = draw(st.integers(1, 4))
    min_size = draw(st.integers(0, size))
    given = {
        "kind": kind, "size": size, "min_size": min_size,
        "check_after": draw(st.sampled_from([None, 0, 1.0])),
        "order": draw(st.sampled_from(["lifo", "fifo"])),
        "max_waiting": draw(st.sampled_from([None, 1, 3])),
        "fail_fast_after": draw(st.sampled_from([None, 0, 0.5])),
        "max_lifetime": draw(st.sampled_from([None, 5.0])),
        "leak_threshold": draw(st.sampled_from([None, 1.0])),
        "listens": draw(FLAGS), "start": draw(st.sampled_from([True, True, False])),
    }  # fmt: skip
    if min_size < size:
        given["idle_timeout"] = draw(st.sampled_from([None, 2.0]))
    if kind is SimPool:
        given["is_broken"] = lambda c, error: bool(c.unread)
    else:
        given["keepalive"] = draw(st.sampled_from([None, 2.0]))
    if kind is WiredPingingPool:
        given["connection_class"] = Wire
    return given


class Hold:
    """A connection in somebody's hands, as the model has it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.counts = True
        """Whether the pool counts it as active: it was neither detached nor taken away."""
        self.is_lost = False
        """Whether it was taken away and not brought back yet."""
        self.is_detached = False


class User:
    """A greenlet that takes a connection, does as it is told, and leaves as it is told."""

    def __init__(self, machine: PoolMachine, door: str, timeout: float | None) -> None:
        self.machine = machine
        self.door = door
        self.timeout = timeout
        self.hold: Hold | None = None
        self.last: Hold | None = None
        self.orders: Queue[Any] = Queue()
        self.greenlet = machine.world.spawn(self.live)

    def live(self) -> None:
        machine = self.machine
        due, began, steps = machine.refusal(), machine.sim.now, machine.sim.steps
        waiting = machine.world.pool.stats().waiting
        try:
            self.use() if self.door != "retry" else self.use_again()
        except REFUSALS as error:
            if due is not None:
                machine.expect(type(error) is due, f"{error!r} in place of {due}")
                machine.expect(machine.sim.steps == steps, f"{error!r}, and not at once")
            else:
                machine.expect_refusal(error, self, began, waiting)
        except (OSError, ValueError):
            pass  # as told
        except PoolError:
            if self.door != "acquire" or self.last is None or not self.last.is_detached:
                raise  # else it was not out any more, and could not be released

    def use(self) -> None:
        watch = self.machine.world.watch
        due = self.machine.refusal()
        with (watch.acquire if self.door == "acquire" else watch.get)(timeout=self.timeout) as c:
            self.machine.expect(due is None, f"served, and {due} was due")
            self.hold = self.last = Hold(c)
            try:
                while (order := self.orders.get()) == "ask":
                    self.machine.ask(self.hold)
                if isinstance(order, BaseException):
                    raise order
            finally:
                self.hold = None

    def use_again(self) -> None:
        retry(max_failures=1, interval=0.01)(self.use)()

    @property
    def is_alive(self) -> bool:
        return not self.greenlet.ready()


class PoolMachine(RuleBasedStateMachine):
    """A pool, its users, its operator and its peer."""

    def __init__(self) -> None:
        super().__init__()
        self.world: Any = None
        self._stack = ExitStack()

    @initialize(given=options(), number=st.integers(0, 3))
    def begin(self, given: dict[str, Any], number: int) -> None:
        self.sim = self._stack.enter_context(Simulation(number, shuffle=number > 0))
        self.phase = "open" if given["start"] else "new"
        self.phases = 0
        """How often it has changed."""
        self.limited, self.fails_fast = given["max_waiting"], given["fail_fast_after"] is not None
        self.users: list[User] = []
        self.own: list[Hold] = []
        """What was taken here by hand."""
        self.thrown: list[BaseException] = []
        self.mistakes: list[str] = []
        self.commands = self.questions = 0
        self.is_settled = False
        self.world = Crowd(self.sim, given.pop("size"), connects_per_second=math.inf, **given)

    # -- the model

    def refusal(self) -> type[PoolError] | None:
        """What whoever asks now gets at once."""
        return {"new": PoolClosed, "closed": PoolClosed, "paused": PoolPaused}.get(self.phase)

    def expect(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            self.mistakes.append(f"step {self.sim.steps}, at {self.sim.now:.6f}: {otherwise}")

    def expect_refusal(self, error: PoolError, user: User, began: float, waiting: int) -> None:
        """*user* was refused where nothing but time, trouble and operators are a reason."""
        timeout = user.timeout
        reasons = {
            PoolTimeout: timeout is not None and self.sim.now >= began + timeout - 1e-9,
            PoolPaused: self.phases > 0, PoolClosed: self.phase == "closed",
            PoolUnavailable: self.fails_fast,
            TooManyWaiters: self.limited is not None and (
                waiting >= self.limited or user.door == "retry"
            ),
        }  # fmt: skip
        self.expect(reasons[type(error)], f"{error!r} without a reason")

    def become(self, phase: str) -> None:
        if self.phase not in (phase, "closed"):
            self.phase = phase
            self.phases += 1

    def attempt(self, *phases: str) -> Any:
        """Suppresses the error that is due in other phases, and misses it if it does not come."""
        return Attempt(self, phases)

    def ask(self, hold: Hold) -> None:
        if hold.connection.closed and not hold.counts:
            raise OSError(f"{hold.connection!r} was taken away")
        self.questions += 1
        self.world.question(hold.connection, f"question {self.questions}")

    @property
    def holding(self) -> list[User]:
        return [user for user in self.users if user.hold is not None]

    @property
    def waiting(self) -> list[User]:
        return [user for user in self.users if user.hold is None and user.is_alive]

    @property
    def holds(self) -> list[Hold]:
        return [user.hold for user in self.users if user.hold is not None] + self.own

    @property
    def pool(self) -> Any:
        self.is_settled = False
        self.commands += 1
        return self.world.pool

    # -- users

    @rule(
        door=st.sampled_from(["get", "get", "acquire", "retry"]),
        timeout=TIMEOUTS, count=st.integers(1, 3),
    )  # fmt: skip
    def come(self, door: str, timeout: float | None, count: int) -> None:
        self.users = [user for user in self.users if user.is_alive]
        if len(self.users) < 12:
            self.users += [User(self, door, timeout) for _ in range(count)]
        self.is_settled = False

    @precondition(lambda self: self.holding)
    @rule(number=NUMBER)
    def ask_something(self, number: int) -> None:
        self._order(number, "ask")

    @precondition(lambda self: self.holding)
    @rule(number=NUMBER, way=WAYS_OUT)
    def leave(self, number: int, way: str) -> None:
        self._order(number, way if way == "nothing" else self._error(way))

    def _order(self, number: int, order: Any) -> None:
        self.holding[number % len(self.holding)].orders.put(order)
        self.is_settled = False

    @rule(number=NUMBER, name=st.sampled_from(list(ERRORS)), own=FLAGS)
    def kill(self, number: int, name: str, own: bool) -> None:
        """Whoever lives: a user, waiting or not, or (*own*) a greenlet of the pool."""
        known = [user.greenlet for user in self.users if user.is_alive]
        some = [g for g in self.sim.alive() if g not in self.world.users] if own else known
        if some:
            some[number % len(some)].kill(self._error(name), block=False)
        self.is_settled = False

    @precondition(lambda self: self.holding and self.waiting)
    @rule(number=NUMBER, name=st.sampled_from(list(ERRORS)))
    def leave_and_kill(self, number: int, name: str) -> None:
        """One leaves, and in the same turn somebody who waits is killed."""
        self._order(number, "nothing")
        waiting = self.waiting
        waiting[number % len(waiting)].greenlet.kill(self._error(name), block=False)

    def _error(self, name: str) -> BaseException:
        self.thrown.append(ERRORS[name](f"error {len(self.thrown)}"))
        return self.thrown[-1]

    @rule(number=NUMBER, verb=st.sampled_from(["discard", "detach"]))
    def give_up(self, number: int, verb: str) -> None:
        """A connection that somebody holds is discarded or detached."""
        if self.holds:
            self._say(self.holds[number % len(self.holds)], verb)

    @rule(blocking=FLAGS)
    def take(self, blocking: bool) -> None:
        """By hand, at once or not at all."""
        steps, due = self.sim.steps, self.refusal()
        given = {"timeout": 0} if blocking else {"blocking": False}
        try:
            self.own.append(Hold(self.pool.acquire(**given)))
            self.expect(due is None, f"served, and {due} was due")
        except REFUSALS as error:
            kinds = (due,) if due is not None else (PoolTimeout, PoolUnavailable)
            self.expect(isinstance(error, kinds), f"{error!r} in place of {kinds}")
        self.expect(self.sim.steps == steps, "an acquire that must not wait has switched")

    @precondition(lambda self: self.own)
    @rule(number=NUMBER, verb=st.sampled_from(["release", "release", "drop", "use"]))
    def bring_back(self, number: int, verb: str) -> None:
        """What was taken by hand comes back; a second time is a mistake."""
        hold = self.own[number % len(self.own)]
        if verb == "use":
            hold.connection.heard_at = self.sim.now
            return
        self.own.remove(hold)
        is_wanted = self.world.pool.stats().waiting > 0
        if hold.counts or hold.is_lost:
            hold.connection.heard_at = self.sim.now
            self.pool.release(hold.connection, discard=verb == "drop")
        if not is_wanted:
            self._misuse(hold.connection)

    @rule()
    def mistake(self) -> None:
        self._misuse(object())

    def _misuse(self, stranger: Any) -> None:
        """*stranger* is not out: every verb refuses it, and nothing changes."""
        before = self.pool.stats()
        for verb in ("release", "discard", "detach"):
            try:
                getattr(self.pool, verb)(stranger)
                self.expect(False, f"{verb} took what was not out: {stranger!r}")
            except PoolError as error:
                self.expect(type(error) is PoolError, f"{error!r} for a mistake")
        self.expect(before == self.pool.stats(), f"mistakes have changed {before}")

    def _say(self, hold: Hold, verb: str) -> None:
        if not (hold.counts or hold.is_lost):
            return
        if verb == "discard":
            self.pool.discard(hold.connection)
            return
        lost, hold.counts, hold.is_lost, hold.is_detached = hold.is_lost, False, False, True
        if lost:
            self.pool.detach(hold.connection)
        else:
            self.world.watch.detach(hold.connection)

    # -- operators

    @rule(interrupt=FLAGS)
    def drain(self, interrupt: bool) -> None:
        with self.attempt("new", "open", "paused"):
            self.pool.drain(interrupt=interrupt)
            for hold in self.holds if interrupt else []:
                hold.is_lost = hold.is_lost or hold.counts
                hold.counts = False

    @rule(interrupt=FLAGS)
    def pause(self, interrupt: bool) -> None:
        with self.attempt("open", "paused"):
            self.pool.pause(interrupt=interrupt)
            self.become("paused")

    @rule()
    def resume(self) -> None:
        with self.attempt("open", "paused"):
            self.pool.resume()
            self.become("open")

    @rule()
    def open_it(self) -> None:
        with self.attempt("new", "open", "paused"):
            self.pool.open()
            if self.phase == "new":
                self.become("open")

    @rule(size=st.integers(1, 5), least=st.sampled_from([None, 0, 1, 9]))
    def resize(self, size: int, least: int | None) -> None:
        self.world.watch.look()  # how many there may be after a shrink depends on how many are
        with self.attempt("new", "open", "paused"):
            self.pool.resize(size, *([] if least is None else [min(least, size)]))
            self.expect(self.world.pool.size == size, "resized, and the size is another")

    @rule()
    def check(self) -> None:
        self.world.spawn(self._wait_for, "check", ("open", "paused"))

    @rule(timeout=st.sampled_from([0.0, 0.1, 2.0]))
    def wait_ready(self, timeout: float) -> None:
        self.world.spawn(self._wait_for, "wait_ready", ("open",), timeout)

    def _wait_for(self, name: str, phases: tuple[str, ...], *args: Any) -> None:
        with self.attempt(*phases):
            getattr(self.pool, name)(*args)

    @precondition(lambda self: self.commands > 40)
    @rule(timeout=st.sampled_from([0, 0.1, 2.0]))
    def close(self, timeout: float) -> None:
        self.world.spawn(self._close, timeout)

    def _close(self, timeout: float) -> None:
        self.become("closed")
        if self.pool.close(timeout):
            self.expect(not self.world.pool.stats().active, "closed, and some are out")

    # -- the peer, and time

    @rule(number=NUMBER)
    def cut(self, number: int) -> None:
        some = sorted(self.world.peer.open, key=lambda connection: connection.number)
        if some:
            self.world.peer.cut(some[number % len(some)])
        self._notice()

    @rule(downtime=st.sampled_from([0.0, 0.05, 1.0]))
    def restart(self, downtime: float) -> None:
        self.world.peer.restart(downtime)
        self._notice()

    def _notice(self) -> None:
        self.is_settled = False
        if isinstance(self.world.pool, WiredPingingPool):
            self.world.pool.notice(self.sim)

    @rule(what=st.sampled_from(["black_hole", "hang_up_on_accept"]), is_so=FLAGS)
    def behave(self, what: str, is_so: bool) -> None:
        setattr(self.world.peer, what, is_so)

    @rule(latency=st.sampled_from([0.001, 0.05, 0.5]), goodbye=st.sampled_from([0.0, 0.05, 3.0]))
    def slow_down(self, latency: float, goodbye: float) -> None:
        self.world.peer.latency, self.world.peer.close_latency = latency, goodbye

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.01, 0.1, 1.0, 3.0]))
    def wait(self, seconds: float) -> None:
        self.sim.advance(seconds)
        self.is_settled = True

    @rule(seconds=st.sampled_from([0.01, 0.02, 0.1]))
    def breathe(self, seconds: float) -> None:
        """Time passes more often than any other thing happens."""
        self.wait(seconds)

    @rule()
    def settle(self) -> None:
        self.sim.settle()
        self.is_settled = True

    # -- always

    @invariant()
    def all_is_well(self) -> None:
        if self.world is None:
            return
        stats = self.world.pool.stats()
        assert repr(stats.size) in repr(self.world.pool)
        if self.is_settled:
            held = sum(hold.counts for hold in self.holds)
            self.expect(stats.active == held, f"{held} are held: {self.world.pool!r}")
        self._verify()

    def _verify(self) -> None:
        died = [e for e in self.sim.errors if all(e is not one for one in self.thrown)]
        stories = ["".join(traceback.format_exception(error)) for error in died]
        wrong = [*self.mistakes, *self.world.watch.violations, *self.world.wrong, *stories]
        assert not wrong, "\n".join([*wrong, repr(self.sim), *self.sim.loop.debug()])

    def teardown(self) -> None:
        with self._stack:
            if self.world is not None and not self.mistakes and not self.world.watch.violations:
                self._end()

    def _end(self) -> None:
        if self.phase == "new":
            self.open_it()
        self.behave("black_hole", False)
        self.slow_down(0.01, 0.0)
        for hold in self.own:
            if hold.counts or hold.is_lost:
                hold.connection.heard_at = self.sim.now
                self.pool.release(hold.connection)
        self.own.clear()
        self.sim.advance(3.0)  # who waits is served, refused, or has a connection now
        for _ in range(12):
            for user in self.users:
                user.orders.put("nothing")
            self.sim.advance(1.0)
        self.world.end()
        for connection in self.world.watch.escaped:
            if not connection.closed:
                connection.close()
        self._verify()


class Attempt:
    """A call that is refused unless the pool is in one of *phases*."""

    def __init__(self, machine: PoolMachine, phases: tuple[str, ...]) -> None:
        self._machine = machine
        self._due = None if machine.phase in phases else machine.refusal()
        self._changes = machine.phases

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, tb: object) -> bool:
        machine = self._machine
        if self._due is not None:
            machine.expect(kind is self._due, f"{error!r}, and {self._due} was due")
        elif isinstance(error, PoolError) and not isinstance(error, PoolTimeout):
            machine.expect(machine.phases > self._changes, f"{error!r} without a reason")
        return isinstance(error, REFUSALS)


def how(examples: int, **more: Any) -> settings:
    """The settings of hypothesis: nothing is timed, and nothing is remembered between runs."""
    return settings(
        max_examples=examples, stateful_step_count=50, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=True,
        phases=[Phase.explicit, Phase.generate, Phase.target, Phase.shrink], **more,
    )  # fmt: skip


def run(number: int, examples: int, shrinks: bool = True) -> Tally:
    """So many programs of rules, all drawn from the seed *number*."""
    tally = Tally()
    given = how(examples)
    if not shrinks:
        given = settings(given, phases=[Phase.generate], report_multiple_bugs=False)

    @seed(number)
    class Counting(PoolMachine):
        def teardown(self) -> None:
            tally.counts["runs"] += 1
            if self.world is not None:
                tally.counts["steps"] += self.sim.steps
                tally.counts["commands"] += self.commands
            super().teardown()

    try:
        run_state_machine_as_test(Counting, settings=given)
    except BaseException as error:
        story = "".join(traceback.format_exception(error))
        name = f"machine seed={number} examples={examples}"
        tally.failures.append(f"{name}\n{story}\nreplay: {REPLAY} '{name}'")
    return tally


def replay(text: str) -> Tally:
    """Play again what a failure named, as in ``machine seed=1 examples=150``."""
    given = dict(part.split("=") for part in text.split()[1:])
    return run(int(given["seed"]), int(given["examples"]))


def tasks(nightly: bool) -> list[Task]:
    """The same programs for each change; very many others every night."""
    seeds, examples = (range(1, 41), 500) if nightly else (range(1, 3), 300)
    return [Task("rules", run, (number, examples)) for number in seeds]
