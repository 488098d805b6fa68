"""Performs what `core` decides: runs hooks in greenlets, arms timers, tells listeners.

It stands behind `ConnectionPool` as an object of its own, so that no attribute of a
subclass can collide with it, and knows the pool only weakly, so that a pool which nobody
refers to any more is collected.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
from gevent import Greenlet, GreenletExit, get_hub
from gevent.event import Event as Signal

from geventconnpool import clock, forks
from geventconnpool.control import Control
from geventconnpool.core import commands
from geventconnpool.core.calm import NOBODY
from geventconnpool.core.condition import Features, Phase, tick_seconds
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import Slot
from geventconnpool.core.state import PoolState
from geventconnpool.core.upkeep import Upkeep
from geventconnpool.core.waiting import Waiter
from geventconnpool.desk import Desk
from geventconnpool.errors import PoolError, WrongHub
from geventconnpool.events import CloseReason
from geventconnpool.herald import Herald
from geventconnpool.lease import Lease
from geventconnpool.maintenance import filling, inheritance, keepalive, repairs, retirement
from geventconnpool.maintenance.jobs import Job
from geventconnpool.maintenance.loop_watching import watcher_for
from geventconnpool.maintenance.pinging import Pinger
from geventconnpool.maintenance.supervision import supervise
from geventconnpool.maintenance.watching import shut_hard
from geventconnpool.options import PoolOptions
from geventconnpool.reports import snapshot
from geventconnpool.threads import get_ident, owned_here
from geventconnpool.timers import Alarm, weakly

if TYPE_CHECKING:
    from geventconnpool.pool import ConnectionPool

__all__ = ["Engine"]


class Engine:
    """The performing side of one pool."""

    def __init__(
        self, pool: ConnectionPool[Any], options: PoolOptions, features: Features, ping_hook: str
    ) -> None:
        self.options = options
        self.features = features
        self.ping_hook = ping_hook
        self._pool: Callable[[], ConnectionPool[Any] | None] = weakref.ref(pool)
        self._bodies: dict[Order, Callable[..., None]] = {
            Order.CONNECT: filling.connect,
            Order.CHECK: keepalive.vet,
            Order.RESET: keepalive.vet,
            Order.CLOSE: retirement.close,
        }
        self.revoked: dict[int, tuple[Any, Slot]] = {}
        """Connections taken from their users, who may still bring them back."""
        self.is_inherited = False
        self.control = Control(self)
        self._changed: Signal | None = None
        """Set at the next change, where somebody outside the line waits for one."""
        self._build(self._new_state())
        forks.register(self)

    def _new_state(self) -> PoolState:
        return PoolState(self.options, self.features, clock.now(), functools.partial(Lease, self))

    def _build(self, state: PoolState) -> None:
        """Everything that a child process must have anew."""
        self.state = state
        self.calm = state.calm
        self.upkeep = Upkeep(state)
        self.hub = get_hub()
        self.now = clock.source()
        self.run_callback = self.hub.loop.run_callback
        self.thread = get_ident()
        weak = weakref.WeakMethod
        self.watcher = watcher_for(self.options.watch_idle, weakly(weak(self._on_descriptors)))
        self._tick = Alarm(self.hub.loop, weakly(weak(self._on_tick)))
        self.deadline = Alarm(self.hub.loop, weakly(weak(self._on_deadline)))
        self._alarm = Alarm(self.hub.loop, weakly(weak(self._on_alarm)))
        self.desk = Desk(self)
        self.calm.careful = self.desk.acquire
        pool = self._pool()
        if pool is not None:
            pool._geventconnpool_calm = self.calm
        self.pinger = Pinger(self)
        self.herald = Herald(state.name, state.journal, self.options.listeners)
        self._settling = False
        self._fork: Any = None

    # -- life

    def begin_soon(self) -> None:
        """Open at the first turn of the loop."""
        self.hub.loop.run_callback(weakly(weakref.WeakMethod(self._begin_from_loop)))

    def _begin_from_loop(self) -> None:
        if self.state.phase is Phase.NEW:
            self.here()

    def begin(self) -> None:
        """Open now."""
        self._come_alive()
        commands.open_(self.state, clock.now())
        self.settle()

    def _come_alive(self) -> None:
        """From here on the loop calls, and callers are let in."""
        self._tick.repeat(tick_seconds(self.options))
        self._fork = self.hub.loop.fork(ref=False)
        self._fork.start(forks.notice)
        self.calm.owner = owned_here()

    def open_here(self) -> None:
        """Open, in the thread of the caller."""
        if self.state.phase is Phase.NEW:
            self._build(self.state)
        self.here(begin=False)
        if self.state.phase is Phase.NEW:
            self.begin()

    def here(self, begin: bool = True) -> None:
        """Called first by whatever changes the pool: is this the right place for it?

        :raises WrongHub: this is another native thread than the pool's.
        """
        if not forks.SAME_PROCESS:
            forks.notice()
        if self.is_inherited:
            self._revive()
        if get_ident() != self.thread:
            raise WrongHub(
                f"pool {self.state.name!r} lives in another native thread: "
                "make one pool for each thread",
                snapshot(self.state),
            )
        if begin and self.state.phase is Phase.NEW and self.options.start:
            self.begin()

    def misuse(self, message: str) -> PoolError:
        """The error for *message*."""
        return PoolError(f"pool {self.state.name!r}: {message}", snapshot(self.state))

    def hook(self, name: str) -> Callable[..., Any]:
        """The pool's hook *name*."""
        pool = self._pool()
        if pool is None:
            raise ReferenceError(f"pool {self.state.name!r} is gone")
        return getattr(pool, name)  # type: ignore[no-any-return]

    def say(self, level: int, message: str, *args: object) -> None:
        """Log, at the next moment at which the pool is consistent."""
        self.herald.say(level, message, *args)

    # -- performing

    def settle(self) -> None:
        """Perform what was decided, then tell what has happened."""
        if self._settling:
            return  # the one further out goes on until nothing is left
        self._settling = True
        orders = self.state.orders
        try:
            while orders:
                order = orders[0]  # taken out when it is done: it must not be lost on the way
                self._perform(*order)
                if orders and orders[0] is order:
                    orders.popleft()
            if self.state.pings:
                self.pinger.go_on()
            self._arm_alarm()
        except BaseException:  # Ctrl-C
            repairs.skip(self)
            raise
        finally:
            self._settling = False
        if self._changed is not None:
            self._changed.set()
            self._changed = None
        if not self.herald.is_silent:
            self.herald.speak()

    def speak(self) -> None:
        """Tell what has happened; cheaper than `settle` where nothing is to be performed."""
        if self._settling or self._changed is not None or self.state.orders:
            self.settle()
        else:
            self.herald.speak()

    def _perform(self, what: Order, subject: Any) -> None:
        if what is Order.WAKE:
            self.wake(subject)
        elif what is Order.PAUSE:
            now = clock.now()
            self.state.pacer.pause_until(now + filling.draw_pause(self, subject))
        elif what is Order.ABANDON:
            if subject.job is not None:
                subject.job.greenlet.kill(block=False)
        elif what is Order.INTERRUPT:
            self.revoke(subject)
            shut_hard(subject.descriptor)
            self._start(subject, Order.CLOSE)
        else:
            self._start(subject, what)

    def go_on(self) -> bool:
        """Perform again, if whoever did was broken off; whether that was so."""
        was_broken_off, self._settling = self._settling, False
        return was_broken_off

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left to perform or to tell."""
        return not self.state.orders and self.herald.is_silent

    def wake(self, waiter: Waiter) -> None:
        # Who does not sleep must not be woken: it would hit what he does next.
        if waiter.is_due and waiter.wake.__self__ is not gevent.getcurrent():
            waiter.callback = self.run_callback(waiter.wake)

    def _start(self, slot: Slot, how: Order) -> None:
        """Put a greenlet of the pool to work on *slot*."""
        job = Job(how, clock.now())
        job.greenlet = Greenlet(self._bodies[how], self, slot, job)
        job.greenlet.link(functools.partial(self._job_ended, slot, job))
        slot.job = job
        if how is Order.CLOSE:
            self.watcher.unwatch(slot)
        job.greenlet.start()

    def _job_ended(self, slot: Slot, job: Job, greenlet: Greenlet[..., Any]) -> None:
        """A greenlet of the pool has ended; if it was killed before it began, mend that."""
        if slot.job is not job:
            return
        if job.how is Order.CONNECT:
            filling.connect_failed(self, slot, job, GreenletExit())
        elif job.how is Order.CLOSE:
            job.finish(slot)
            self._start(slot, Order.CLOSE)
        else:
            keepalive.vetted(self, slot, job, GreenletExit(), clock.now())
            keepalive.follow_up(self)

    def replace(self, slot: Slot) -> Slot:
        """A new record for *slot*'s connection: the old one is in the wrong hands."""
        successor = self.state.replace(slot, clock.now())
        self.watcher.hand_on(successor)
        return successor

    def has_fault(self, connection: Any) -> bool:
        """Whether *connection* of this pool can be seen to be closed."""
        slot = self.state.books.find(connection)
        return slot is not None and self.watcher.fault(slot) is not None

    def revoke(self, slot: Slot) -> None:
        """*slot*'s connection is taken from its user, who may bring it back for all that."""
        self.revoked[id(slot.connection)] = (slot.connection, slot)

    def enter_revoked(self, slot: Slot) -> Any:
        """The connection of *slot*, if it was taken from its user before the block began."""
        for connection, owner in self.revoked.values():
            if owner is slot:
                return connection
        raise self.misuse("what get() returns is for one block, entered at once")

    def forget_revoked(self, slot: Slot | None) -> None:
        """Whoever had *slot* has let go of it: what was taken from them need not be kept."""
        for key, (_, owner) in list(self.revoked.items()):
            if owner is slot:
                del self.revoked[key]

    def drop_lost(self) -> None:
        """Replace the idle connections that the kernel says are no good any more."""
        now = clock.now()
        lost = self.watcher.collect()
        for slot in lost:
            self.state.retire(slot, self.watcher.fault(slot) or CloseReason.LOST, now)
        if lost:
            self.state.settle(now)
            self.settle()

    # -- the loop calls

    def _on_tick(self) -> None:
        if not forks.SAME_PROCESS:
            forks.notice()
            return
        now = clock.now()
        self.watcher.refresh()
        supervise(self, now)
        if self.state.phase is not Phase.CLOSED:
            self.upkeep.tick(now)
        self.state.now = now
        self.pinger.look()
        if not self.state.line.count:
            self.deadline.stop()
        self.arm_deadline(self.state.line.next_deadline())
        self.settle()
        # The first checkout after a tick takes the careful path and reads the clock: a lone
        # use is timed exactly, a crowd of uses on average.
        self.state.calm.shut()
        self.state.stirred = False

    def _on_deadline(self) -> None:
        self.state.expire(clock.now())
        self.arm_deadline(self.state.line.next_deadline())
        self.settle()

    def _on_alarm(self) -> None:
        now = clock.now()
        self.state.prove_by_age(now)
        self.state.settle(now)
        self.settle()

    def _on_descriptors(self) -> None:
        if not forks.SAME_PROCESS:
            forks.notice()
            return
        self.drop_lost()

    def arm_deadline(self, deadline: float | None) -> None:
        """See to it that the waiter with this deadline is sent away in time."""
        if deadline is not None and deadline < self.deadline.at:
            self.deadline.set(deadline, ref=True)

    def _arm_alarm(self) -> None:
        state = self.state
        at = state.next_alarm(clock.now())
        # Without a reference the loop would end, and with it the wait of those who wait.
        ref = bool(state.line.count or state.ready_wanted)
        self._alarm.set(at, ref=ref)

    # -- the end

    def stop(self) -> None:
        """Nothing more will become due."""
        self._stop_watchers()
        self.watcher.close()
        self.state.tell("pool_closed")
        self.settle()

    def _stop_watchers(self) -> None:
        for alarm in (self._tick, self._alarm, self.deadline):
            alarm.stop()
        if self._fork is not None:
            self._fork.stop()
            self._fork.close()
            self._fork = None

    def orphaned(self, pool: ConnectionPool[Any]) -> None:
        """*pool* is being collected: close it at the next turn of the loop.

        Called by a finaliser, maybe in another thread, maybe in the middle of anything:
        it only leaves a message. The hooks need *pool*, which therefore lives on until
        the last connection is closed.
        """
        is_running = self.state.phase in (Phase.OPEN, Phase.PAUSED)
        if is_running and not sys.is_finalizing() and self.hub.loop is not None:
            self.hub.loop.run_callback_threadsafe(self._close_for, pool)

    def _close_for(self, pool: ConnectionPool[Any]) -> None:
        if not forks.SAME_PROCESS or self.is_inherited:
            return
        self._pool = lambda: pool
        self.control.close(0.0)

    # -- waiting for anything but a connection

    def wait_for_change(self, timeout: float | None) -> None:
        """Wait until something has been performed."""
        if self._changed is None or self._changed.is_set():
            self._changed = Signal()
        self._changed.wait(timeout)

    # -- forks

    def inherited(self) -> None:
        """This process is a child: never touch what the parent talks through."""
        self.is_inherited = True
        self.calm.shut()
        self.calm.owner = NOBODY
        self._stop_watchers()
        inheritance.bury(self)
        if self.state.line.count or self._changed is not None:
            # Copies of greenlets that wait go on waiting here, and nobody else may come.
            self.hub.loop.run_callback(weakly(weakref.WeakMethod(self._revive_from_loop)))

    def _revive_from_loop(self) -> None:
        if self.is_inherited:
            self.here()

    def _revive(self) -> None:
        """Begin anew, with connections of this process' own."""
        gevent.reinit()
        self.is_inherited = False
        old = self.state
        state = self._new_state()
        state.size, state.min_size, state.line = old.size, old.min_size, old.line
        state.phase, state.ready_wanted = old.phase, old.ready_wanted
        self._build(state)
        if state.phase is Phase.PAUSED:
            self._come_alive()
        elif state.phase is Phase.OPEN:
            self.begin()
        self.arm_deadline(state.line.next_deadline())
