"""A simulated world for gevent programs: a fresh hub, virtual time, errors and greenlets in view.

.. code-block:: python

    with Simulation(seed=7) as sim:
        pool = MyPool(2, connect=peer.connect)
        workers = [sim.spawn(work, pool) for _ in range(10)]
        sim.advance(60)                  # a minute, in no time
        assert sim.errors == []

Everything in it runs in the native thread and the process that entered it. Real sockets,
threads, signals and child processes are not part of this world.
"""

from __future__ import annotations

import random
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from weakref import WeakSet

import gevent
from gevent import Greenlet, _hub_local
from gevent.hub import Hub
from greenlet import getcurrent, greenlet, settrace

from geventconnpool import backoff, clock
from geventconnpool.testing.loop import LivelockError, SimulatedLoop
from geventconnpool.testing.timers import Timer

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Simulation"]

P = ParamSpec("P")
T = TypeVar("T")

_PATIENCE = 60.0
"""How many virtual seconds leftover greenlets get for their ``finally`` blocks."""


class _SimulatedHub(Hub):
    """A hub that gives errors to the simulation instead of printing them."""

    name = "simulated"

    def __init__(self, loop: SimulatedLoop, report: Callable[[BaseException], object]) -> None:
        # gevent takes whatever has run(); the protocol of its stubs asks for more.
        super().__init__(loop=cast(Any, loop))
        self.report = report

    def print_exception(
        self, context: object, t: Any, v: BaseException | str | None, tb: TracebackType | None
    ) -> None:
        """Called by :meth:`Hub.handle_error` for what is an error."""
        if isinstance(v, BaseException):
            self.report(v if tb is None else v.with_traceback(tb))
        else:
            self.report(t(v))


class Simulation:
    """Runs gevent code in virtual time, in an order that a seed decides.

    Inside the ``with`` block this thread has a new hub, :func:`geventconnpool.clock.now` tells
    virtual time, and the randomness of the package and of :mod:`random` comes from *seed*. The
    block itself runs in the simulation's main greenlet. Leaving it kills what still runs.

    :param seed: same seed, same run.
    :param shuffle: run what is runnable in random order, not first in, first out.
    :param choose: decides the order instead, see :class:`SimulatedLoop`.
    :param loop_options: further options of :class:`SimulatedLoop`.

    .. versionadded:: 1.0
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        shuffle: bool = False,
        choose: Callable[[int], int] | None = None,
        **loop_options: Any,
    ) -> None:
        self.seed = seed
        self.random = random.Random(f"{seed}: scenario")
        """For the choices of the test itself."""
        if choose is None and shuffle:
            choose = random.Random(f"{seed}: order").randrange
        self.loop = SimulatedLoop(choose=choose, **loop_options)
        self.loop.witness = self.blocked
        self.leftovers: tuple[str, ...] = ()
        """The greenlets that still lived at the end: where each of them was."""
        self.greenlets: WeakSet[Greenlet[..., Any]] = WeakSet()
        """Every greenlet that was spawned in here and still exists, dead ones included."""
        self._errors: list[BaseException] = []
        self._errors_seen = False
        self._hub: Hub | None = None
        self._world = ExitStack()
        self._tracing = ExitStack()

    # -- coming and going ---------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._hub is not None:
            raise RuntimeError("a simulation can be entered once only")
        self.loop.trace.number(getcurrent())
        with ExitStack() as world:
            world.enter_context(clock.replaced(self.loop.now))
            world.enter_context(backoff.replaced(random.Random(self.seed)))
            world.enter_context(_seeded(self.seed))
            world.callback(_hub_local.set_hub, cast(Hub, _hub_local.get_hub_if_exists()))
            self._hub = _SimulatedHub(self.loop, self._errors.append)
            _hub_local.set_hub(self._hub)
            world.callback(self._hub.destroy, True)
            Greenlet.add_spawn_callback(self._spawned)
            world.callback(Greenlet.remove_spawn_callback, self._spawned)
            self._world = world.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        line = f"in {self!r}, trace {self.trace_hash}"
        with self._world:
            self.leftovers = tuple(self.blocked())
            self.calm_down()
            if self._hub is not None and not self._hub.dead:
                _end_leftovers(self)
        if error is not None:
            _annotate(error, line)
        if self._errors and not self._errors_seen:
            print(self.report(), file=sys.stderr)

    def _spawned(self, newcomer: Greenlet[..., Any]) -> None:
        if newcomer.loop is cast(Any, self.loop):
            self.greenlets.add(newcomer)
            self.number(newcomer)

    # -- time ---------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Virtual seconds; 0 in the beginning."""
        return self.loop.now()

    def sleep(self, seconds: float) -> None:
        """Let the current greenlet sleep, as :func:`gevent.sleep` does."""
        gevent.sleep(seconds)

    def advance(self, seconds: float) -> None:
        """Run everything that happens up to so many seconds from now, their last moment too."""
        if seconds > 0:
            gevent.sleep(seconds)
        self.settle()

    def settle(self) -> None:
        """Run until nothing more can happen at the present moment. No time passes."""
        gevent.idle()

    # -- greenlets ----------------------------------------------------------------------------

    def spawn(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Greenlet[P, T]:
        """Start a greenlet, as :func:`gevent.spawn` does."""
        return gevent.spawn(function, *args, **kwargs)

    def number(self, someone: greenlet) -> int:
        """The number of a greenlet: 0 is the main one, then 1, 2, ... as they were spawned."""
        return self.loop.trace.number(someone)

    def alive(self) -> list[Greenlet[..., Any]]:
        """The greenlets that have not ended, by number; those not begun yet are among them."""
        return sorted((g for g in self.greenlets if not g.ready()), key=self.number)

    def find(self, number: int) -> Greenlet[..., Any] | None:
        """The living greenlet of that number."""
        return next((each for each in self.alive() if self.number(each) == number), None)

    def describe(self, someone: Greenlet[..., Any]) -> str:
        """A greenlet in one line: its number, its task, and where it waits."""
        return f"{self.number(someone)} {_task(someone)} {_place(someone.gr_frame)}"

    def blocked(self) -> list[str]:
        """Where each living greenlet waits, one line each."""
        return [f"greenlet {self.describe(each)}" for each in self.alive()]

    # -- what happened ------------------------------------------------------------------------

    @property
    def inject(self) -> Callable[[SimulatedLoop], object] | None:
        """Called in the hub before each step with the loop: the place to throw faults from.

        ``victim.throw(error)`` works like a kill in this very moment, and leaves a wake-up that
        is already on its way to the victim where it is.
        """
        return self.loop.inject

    @inject.setter
    def inject(self, hook: Callable[[SimulatedLoop], object] | None) -> None:
        self.loop.inject = hook

    def observe(self, look: Callable[[], object]) -> None:
        """Call *look* in the hub before each step, and before a fault is thrown."""
        self.loop.observers.append(look)

    def trace_switches(self, look: Callable[[greenlet, greenlet], object]) -> None:
        """Call *look* after each switch, in the greenlet switched to, with both greenlets.

        What it raises is raised there in place of the switch; then it is called no more.
        """
        self._stop_tracing()
        before = settrace(lambda event, both: look(*both) if event == "switch" else None)
        self._tracing.callback(settrace, before)

    def calm_down(self) -> None:
        """From now on nothing is thrown, and what is runnable runs first in, first out."""
        self.loop.inject = self.loop.choose = None
        self._stop_tracing()

    def _stop_tracing(self) -> None:
        self._tracing.close()

    @property
    def steps(self) -> int:
        """How many callbacks the loop has run."""
        return self.loop.steps

    @property
    def trace_hash(self) -> str:
        """The same for two runs in which the same things happened in the same order."""
        return self.loop.trace.hash

    @property
    def timers(self) -> list[Timer]:
        """The active timers, the next one first."""
        return list(self.loop.timers)

    @property
    def errors(self) -> list[BaseException]:
        """What greenlets and callbacks died of, in that order. Clear it to forgive.

        Errors that nobody has looked at are printed at the end.
        """
        self._errors_seen = True
        return self._errors

    def report(self) -> str:
        """The whole story of :attr:`errors`, with tracebacks and the seed."""
        stories = ["".join(traceback.format_exception(e)) for e in self._errors]
        return "\n".join([f"died of errors in {self!r}:", *stories])

    def __repr__(self) -> str:
        return (
            f"<Simulation seed={self.seed}: now {self.now:.6f}, {self.steps} steps, "
            f"{len(self.alive())} greenlets, {len(self._errors)} errors>"
        )


def _end_leftovers(sim: Simulation) -> None:
    """Kill what still runs; what outlives that is never switched to again."""
    try:
        for _ in range(3):
            alive = sim.alive()
            if not alive:
                return
            gevent.killall(alive, block=False)
            sim.settle()
            if sim.alive():
                sim.advance(_PATIENCE)
    except LivelockError:
        pass  # the seed and the leftovers are reported all the same


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global randomness inside the block."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _annotate(error: BaseException, line: str) -> None:
    """Let the traceback of *error* tell the seed."""
    if hasattr(error, "add_note"):
        error.add_note(line)
    else:  # Python 3.10
        print(line, file=sys.stderr)


def _task(someone: Greenlet[..., Any]) -> str:
    """The name of the function that a greenlet was spawned with."""
    task = getattr(someone, "_run", None)
    return str(getattr(task, "__qualname__", type(task).__name__))


def _place(frame: FrameType | None) -> str:
    """Where a suspended greenlet stands, in code that is not gevent's if there is any."""
    if frame is None:
        return "not begun"
    place = frame
    while place.f_back is not None and _is_gevent(place):
        place = place.f_back
    place = frame if _is_gevent(place) else place
    code = place.f_code
    return f"at {code.co_filename}:{place.f_lineno} in {code.co_name}"


def _is_gevent(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("gevent.")
