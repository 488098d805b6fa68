"""Pinging idle connections: many by one greenlet, and side by side where peers hold them up.

A greenlet and a timer for each ping would cost ten times what a quick ping does. So one greenlet
pings all that are due, one after the other. As soon as it has to wait for a peer, the loop
goes on, where `_look_after` comes next: it gives that one ping its deadline, and has another
greenlet go on with the rest.
"""

from __future__ import annotations

from gevent import Greenlet, GreenletExit, Timeout, getcurrent

from geventconnpool import clock
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import CHECKING, Slot
from geventconnpool.maintenance.hooks import clear_frames, say_if_late, timed_out
from geventconnpool.maintenance.jobs import Job
from geventconnpool.maintenance.keepalive import follow_up, vetted
from geventconnpool.maintenance.keeper import Keeper

__all__ = ["Pinger"]

_LIMIT = "keepalive_timeout"


class _Worker(Greenlet):  # type: ignore[type-arg]
    """Somebody who pings."""

    slot: Slot | None = None
    """What is being pinged."""
    job: Job
    """The job that does so, one after the other."""
    deadline: Timeout | None = None
    """What is thrown at it if a ping takes too long. There is one only if it has to wait."""


class Pinger:
    """Sees to it that the pings which were ordered are made."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._orders = keeper.state.pings
        self._worker: _Worker | None = None
        """Who goes on with what was ordered, and does not wait for a peer."""

    def go_on(self) -> None:
        """Put somebody to work, unless somebody is or nothing is to be done."""
        worker = self._worker
        if not self._orders or (worker is not None and worker.started and not worker.ready()):
            return
        worker = _Worker(self._work)
        worker.job = Job(Order.PING, clock.now(), worker)
        worker.link(self._ended)
        self._worker = worker
        worker.start()
        self._keeper.hub.loop.run_callback(self._look_after, worker)

    def look(self) -> None:
        """Called by the loop once in a while: mend what was broken off."""
        if self._worker is not None:
            self._look_after(self._worker)
        self.go_on()

    def _work(self) -> None:
        worker, orders = getcurrent(), self._orders
        while orders and worker is self._worker:
            slot = orders[0]
            if slot.state is CHECKING and slot.job is None:  # else its ping was broken off
                worker.slot = slot
                slot.job = worker.job
            orders.popleft()
            if worker.slot is not None and self._ping(worker, slot) and orders:
                continue  # nothing has changed but the time of its last sign of life
            follow_up(self._keeper)

    def _ping(self, worker: _Worker, slot: Slot) -> bool:
        """Ping *slot*. True if nothing follows from it."""
        keeper, job, failure = self._keeper, worker.job, None
        job.began = clock.now()
        try:
            if slot.fate is None:  # else it is to be closed, however it is
                keeper.hook(keeper.ping_hook)(slot.connection)
        except BaseException as error:
            clear_frames(error)
            failure = error
            if error is worker.deadline:
                failure = timed_out(keeper, _LIMIT, keeper.ping_hook)
            if not isinstance(error, Exception):
                self._leave(worker)  # it was killed, or as good as
        now = clock.now()
        if failure is None and now - job.began > keeper.options.keepalive_timeout:
            say_if_late(keeper, job.began, _LIMIT, keeper.ping_hook)
        is_quick = vetted(keeper, slot, job, failure, now)
        worker.slot = None
        return is_quick

    def _look_after(self, worker: _Worker) -> None:
        """If *worker* waits for a peer, bound that, and have others go on without it."""
        if worker is not self._worker or worker.ready() or worker.slot is None:
            return
        job, keeper = worker.job, self._keeper
        limit = keeper.options.keepalive_timeout
        worker.deadline = Timeout(limit)
        job.timer = keeper.hub.loop.timer(max(0.0, limit - (clock.now() - job.began)))
        job.timer.start(worker.throw, worker.deadline)
        self._leave(worker)
        follow_up(keeper)
        self.go_on()

    def _leave(self, worker: _Worker) -> None:
        """*worker* goes on with nothing but what it is at."""
        if self._worker is worker:
            self._worker = None

    def _ended(self, worker: _Worker) -> None:
        if worker.slot is not None:  # it was broken off
            vetted(self._keeper, worker.slot, worker.job, GreenletExit(), clock.now())
            follow_up(self._keeper)
        self._leave(worker)
        self.go_on()
