"""The desk: where callers take connections, wait for them and bring them back."""

from __future__ import annotations

import enum
import logging
from typing import TYPE_CHECKING, Any

from gevent import getcurrent

from geventconnpool import clock
from geventconnpool.core.condition import Phase
from geventconnpool.core.slot import ACTIVE, TAKEN, Slot
from geventconnpool.core.waiting import Waiter
from geventconnpool.errors import PoolError, describe
from geventconnpool.events import CloseReason
from geventconnpool.maintenance.repairs import rouse
from geventconnpool.maintenance.supervision import Trail, trail_from_here
from geventconnpool.maintenance.watching import is_tls
from geventconnpool.options import NOT_GIVEN, NotGiven, check_timeout
from geventconnpool.reports import refusal_error

if TYPE_CHECKING:
    from geventconnpool.engine import Engine

__all__ = ["Desk"]


class Doubt(enum.Enum):
    """The verdict on a connection that nobody can vouch for yet."""

    DOUBT = "doubt"


class Desk:
    """The careful path of every checkout and return; the calm one is in `pool` and `lease`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._state = engine.state
        # What a blocked checkout asks for, within reach: each step there is 2 % of it.
        self._timeout = engine.options.timeout
        self._hub = engine.hub
        self._sleep = engine.hub.switch
        self._line = engine.state.line
        self._shelf = engine.state.books.shelf
        self._counters = engine.state.counters
        self._journal = engine.state.journal
        self._now = engine.now
        self._deadline = engine.deadline
        self._looks_for_leaks = engine.options.leak_threshold is not None
        self._run_callback = engine.run_callback
        self._is_strict = not engine.state.is_simple or engine.options.max_waiting is not None
        """Whether not everybody may wait."""
        is_heard = self._looks_for_leaks or self._journal is not None
        self.acquire = self._take_aloud if is_heard else self._take

    # -- taking

    def _take(self, timeout: float | NotGiven | None) -> Slot:
        """Take a connection. It is on its way, and taken back if it never arrives.

        Waiting is part of it, for each call more is 2 % of a checkout that waits.
        """
        limit = self._timeout if timeout is NOT_GIVEN else check_timeout(timeout)
        began = self._now()
        if self._shelf or not self._state.is_well:
            slot = self._take_at_once(began)
            if slot is not None:
                return slot
        current = getcurrent()
        if limit == 0.0 or current is self._hub or self._is_strict:
            self._check_may_wait(limit, began)
        deadline = None if limit is None else began + limit
        waiter = Waiter(deadline, current.switch)
        try:
            if self._state.enter(waiter, began, timeout is NOT_GIVEN):
                self._engine.settle()
            if deadline is not None and deadline < self._deadline.at:
                self._engine.arm_deadline(deadline)
            while True:
                while waiter.waiting:  # a stale wake-up of somebody else's may come between
                    self._sleep()
                slot = waiter.slot
                if slot is None:
                    break
                if slot.state is TAKEN:  # handed over, and stamped, a moment ago
                    self._counters.wait_seconds += slot.since - began
                    return slot
                self._stand_again(waiter)
        except BaseException:
            self._interrupted(waiter, began)
            raise
        raise self._sent_away(waiter, began)

    def _take_at_once(self, began: float) -> Slot | None:
        """A slot; None if one has to wait for it."""
        refusal = self._state.refusal(began)
        if refusal is not None:
            raise self._failed(refusal, began)
        return self._state.take(began)

    def _take_aloud(self, timeout: float | NotGiven | None) -> Slot:
        """The same in a pool that has listeners, or looks for leaks."""
        engine, state, began = self._engine, self._state, self._now()
        if timeout is not NOT_GIVEN:
            check_timeout(timeout)
        slot = None if state.refusal(began) else state.take(began)
        if slot is not None:
            state.tell_taken(slot)
        else:
            self._tell_started(began)
            slot = self._take(timeout)
            state.tell("connection_acquired", slot, seconds=slot.since - began)
        if self._looks_for_leaks:
            slot.holder = trail_from_here()
        try:
            slot.state = ACTIVE  # however long the listeners take, it is not forgotten
            engine.speak()
            if slot.state is ACTIVE:  # else a listener has drained it meanwhile
                slot.state = TAKEN
        except BaseException:  # Ctrl-C in a listener: the caller never gets the connection
            if slot.is_out:
                self._hand_in(slot, None)
            raise
        return slot

    def _tell_started(self, began: float) -> None:
        """Tell of an acquire that cannot be served at once."""
        self._state.tell("acquire_started")
        try:
            self._engine.speak()
        except BaseException:  # Ctrl-C in a listener: what has begun must have an end
            self._give_up(began)
            raise

    def _check_may_wait(self, limit: float | None, began: float) -> None:
        """Raise unless one more may stand in line, here and now."""
        engine = self._engine
        if limit == 0.0:
            raise self._failed("timeout", began)
        most = engine.options.max_waiting
        if most is not None and engine.state.line.count >= most:
            raise self._failed("too_many_waiters", began)
        if engine.herald.speaker is getcurrent() or getcurrent() is engine.hub:
            raise self._cannot_wait()

    def _cannot_wait(self) -> PoolError:
        engine = self._engine
        engine.state.counters.acquire_errors += 1
        engine.state.tell("acquire_failed", seconds=0.0, reason="interrupted")
        engine.settle()
        return engine.misuse("no connection is free, and the loop or a listener cannot wait")

    def _stand_again(self, waiter: Waiter) -> None:
        """A drain has taken the connection on its way to *waiter*."""
        engine = self._engine
        engine.forget_revoked(waiter.slot)
        engine.here()
        waiter.callback = None
        engine.state.enter_again(waiter, clock.now())
        engine.arm_deadline(waiter.deadline)
        engine.settle()

    def _sent_away(self, waiter: Waiter, began: float) -> PoolError:
        """The error of *waiter*, who was refused."""
        self._line.sent_away -= 1
        self._counters.wait_seconds += self._now() - began
        return self._failed(waiter.refusal or "interrupted", began)

    def _interrupted(self, waiter: Waiter, began: float) -> None:
        """Whoever is interrupted with a connection in hand passes it on."""
        engine, now = self._engine, clock.now()
        state = engine.state
        waiter.wake = None  # whoever means to do so comes too late
        if waiter.callback is not None:
            waiter.callback.stop()
        engine.forget_revoked(waiter.slot)
        state.line.sent_away -= waiter.refusal is not None
        state.counters.wait_seconds += now - began
        state.leave(waiter, now)
        self._give_up(began)

    def _give_up(self, began: float) -> None:
        """Count and tell an acquire that was interrupted."""
        engine = self._engine
        engine.state.counters.acquire_errors += 1
        waited = clock.now() - began
        engine.state.tell("acquire_failed", seconds=waited, reason="interrupted")
        engine.settle()

    def _failed(self, refusal: str, began: float) -> PoolError:
        """Count and tell a failed acquire; returns the error to raise."""
        engine, state, now = self._engine, self._engine.state, clock.now()
        if refusal == "timeout":
            state.counters.acquire_timeouts += 1
        else:
            state.counters.acquire_errors += 1
        error = refusal_error(state, refusal, now - began, now)
        state.tell("acquire_failed", seconds=now - began, reason=refusal)
        engine.settle()
        return error

    # -- bringing back

    def leave(self, slot: Slot, error: BaseException | None) -> None:
        """The block for which *slot* was got is left."""
        if (
            error is not None
            or slot.holder is not None
            or (slot.descriptor is not None and self._engine.watcher.fault(slot) is not None)
        ):
            self._hand_in(slot, error)
            return
        # The short ways: from hand to hand, or to the shelf.
        now, since = self._now(), slot.since
        waiter = self._state.pass_to_next(slot, now)
        if waiter is not None:
            waiter.callback = self._run_callback(waiter.wake)
        elif not self._state.shelve(slot, now):
            self._hand_in(slot, None)
            return
        if self._journal is not None:
            self._state.tell_released(slot, now - since)
            self._engine.speak()

    def broken_off(self, slot: Slot) -> None:
        """Ctrl-C or the like has met *slot* on its way back: nobody has it, nobody cares for it.

        Any change may be half done, so it is left to the supervisor, to whom it is marked
        as one that never arrived. But who was served with it is woken.
        """
        if slot.state is ACTIVE:
            slot.plain = False
            slot.fate = slot.fate or CloseReason.INTERRUPTED
            slot.state = TAKEN
        waiter = self._line.served
        if waiter is not None and waiter.slot is slot and waiter.is_due:
            self._run_callback(rouse, waiter)

    def broken_off_by_hand(self, connection: Any) -> None:
        """The same, for a *connection* that was being brought back by hand."""
        slot = self._state.books.find(connection)
        if slot is not None:
            slot.by_hand = slot.state is ACTIVE  # that may be tried again
            self.broken_off(slot)

    def release(self, connection: Any, discard: bool) -> None:
        """*connection* is brought back by hand."""
        slot = self._find(connection, "release")
        if slot is None:
            return
        if discard:
            self._doom(slot)
        if not slot.by_hand:  # the block that it was got for must not bring it back again
            slot = self._engine.replace(slot)
        slot.by_hand = False
        self._hand_in(slot, None)

    def discard(self, connection: Any) -> None:
        """*connection* is to be closed when it comes back."""
        slot = self._find(connection, "discard", forget=False)
        if slot is not None:
            self._doom(slot)

    def detach(self, connection: Any) -> None:
        """*connection* leaves the pool for good."""
        engine = self._engine
        slot = self._find(connection, "detach")
        if slot is None:
            return
        engine.watcher.unwatch(slot)
        self._tell_released(slot, clock.now())
        engine.state.detach(slot, clock.now())
        engine.settle()

    def _find(self, connection: Any, verb: str, forget: bool = True) -> Slot | None:
        """The slot of a connection that is out; None if it was taken from its user before."""
        engine = self._engine
        engine.here()
        slot = engine.state.books.find(connection)
        if slot is not None and (slot.state is ACTIVE or (slot.by_hand and slot.is_out)):
            return slot
        revoked = engine.revoked.get(id(connection))
        if revoked is not None and revoked[0] is connection:
            if forget:
                del engine.revoked[id(connection)]
            return None
        where = "belongs to another pool, or is closed" if slot is None else "is not out"
        raise engine.misuse(f"cannot {verb} a connection that {where}")

    def _hand_in(self, slot: Slot, error: BaseException | None) -> None:
        """*slot* comes back; what happens to it depends on how the block was left."""
        engine, state, now = self._engine, self._engine.state, clock.now()
        try:
            verdict = self._verdict(slot, error)
        except BaseException:  # somebody else's code: whatever it does, the place is not lost
            self._tell_released(slot, now)
            state.retire(slot, slot.fate or CloseReason.BROKEN, now)
            state.settle(now)
            engine.settle()
            raise
        self._tell_released(slot, now)
        if verdict is None:
            state.give_back(slot, now)
        elif verdict is Doubt.DOUBT:
            self._doubt(slot, now)
        else:
            state.retire(slot, verdict, now, blame=verdict is CloseReason.BROKEN)
            state.settle(now)
        if not engine.is_quiet:
            engine.settle()

    def _tell_released(self, slot: Slot, now: float) -> None:
        state, held = self._engine.state, now - slot.since
        state.counters.use_seconds += held
        state.tell_released(slot, held)
        trail, slot.holder = slot.holder, None
        if isinstance(trail, Trail) and trail.reported:
            state.tell("leak_returned", slot, seconds=held)
            message = "connection %d, reported as a leak, came back after %.1f s"
            self._engine.say(logging.INFO, message, slot.id, held)

    def _verdict(self, slot: Slot, error: BaseException | None) -> CloseReason | Doubt | None:
        """What leaving with *error* says of the connection: a reason to close it, None, DOUBT."""
        verdict = self._judge(slot, error)
        if slot.fate is None:
            return verdict
        # It is to be closed anyway. Politely, unless the conversation was cut off.
        cut_off = verdict in (CloseReason.BROKEN, CloseReason.INTERRUPTED)
        return verdict if cut_off and slot.fate.healthy else slot.fate

    def _judge(self, slot: Slot, error: BaseException | None) -> CloseReason | Doubt | None:
        if error is None:
            return self._engine.watcher.fault(slot)
        if isinstance(error, self._engine.options.exc_classes):
            return CloseReason.BROKEN
        if not isinstance(error, Exception):
            return CloseReason.INTERRUPTED
        if self._engine.options.is_broken is None:
            return Doubt.DOUBT
        if self._is_broken(slot, error):
            return CloseReason.BROKEN
        return self._engine.watcher.fault(slot)

    def _is_broken(self, slot: Slot, error: Exception) -> bool:
        """What the user's predicate says; one that fails vouches for nothing."""
        engine = self._engine
        assert engine.options.is_broken is not None
        try:
            return bool(engine.options.is_broken(slot.connection, error))
        except Exception as failure:
            engine.say(logging.ERROR, "is_broken failed (%s)", describe(failure))
            return True

    def _doubt(self, slot: Slot, now: float) -> None:
        """An error that says nothing of the connection: keep it only if it can be trusted."""
        engine, state = self._engine, self._engine.state
        if state.features.ping:
            state.doubt(slot, now)
            return
        descriptor, watcher = slot.descriptor, engine.watcher
        blind = engine.options.watch_idle == "closed" or is_tls(slot.connection)
        seen = descriptor is not None and (watcher.fault(slot) or watcher.has_unread(slot))
        if blind or seen or state.phase is Phase.CLOSED:
            state.retire(slot, CloseReason.BROKEN, now)
            state.settle(now)
        else:
            state.set_aside(slot, now)

    def _doom(self, slot: Slot) -> None:
        if slot.fate is None or slot.fate.healthy:  # a drained one needs no goodbye any more
            slot.plain = False
            slot.fate = CloseReason.DISCARDED
