"""Who gets which connection. Decides and never performs: what is to be done is left in `orders`.

Every verb takes the time as an argument, leaves the books right, and leaves nobody waiting
beside an idle connection.
"""

from __future__ import annotations

from typing import Any

from geventconnpool.core.condition import Condition, Phase
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import CHECKING, CLOSED, CLOSING, IDLE, TAKEN, Slot
from geventconnpool.core.waiting import Waiter
from geventconnpool.events import CloseReason

__all__ = ["PoolState"]

_PEER_FAILED = frozenset({CloseReason.LOST, CloseReason.UNCHECKED, CloseReason.RESET_FAILED})
"""Reasons that speak against the peer. So does an error in the block, where it means broken."""


class PoolState(Condition):
    """One pool, and the rules by which it changes."""

    # -- taking

    def take(self, now: float) -> Slot | None:
        """A slot that can be used at once; None if there is none."""
        if self.line.count:
            return None  # nobody overtakes
        if self.options.check_after is None:
            slot = self.books.pop()
        else:
            fit = (slot for slot in self.books.idle_slots() if not self.needs_check(slot, now))
            slot = next(fit, None)
            if slot is not None:
                self.books.claim(slot)
        if slot is not None:
            slot.since = now
            slot.uses += 1
            self.stirred = True
            if self.is_simple and not self.is_surplus():
                self.calm.open(self.now)
        return slot

    def enter(self, waiter: Waiter, now: float, common: bool) -> bool:
        """*waiter* queues up. True if the pool has found something to do for it."""
        line = self.line
        if common and not line.special:  # Line.enter, without the call, as in `pass_to_next`
            line.order.append(waiter)
            line.count += 1
            line.entered = waiter.number = line.entered + 1
        else:
            line.enter(waiter, common)
        self.calm.now = None  # whoever brings something back is to think of those who wait
        if self.is_full and not self.books.shelf:
            return False  # all that there may be is out, or on its way
        self.settle(now)
        return True

    def enter_again(self, waiter: Waiter, now: float) -> None:
        """What *waiter* was served with was given up on the way: it is the next in line."""
        assert waiter.slot is not None
        self.books.unuse(waiter.slot)
        waiter.slot = None
        refusal = self.refusal(now)
        if refusal is not None:
            self.line.turn_away(waiter, refusal)
            return
        self.line.enter_first(waiter)
        self.settle(now)

    def leave(self, waiter: Waiter, now: float) -> None:
        """*waiter* was interrupted. What it has in hand goes to the next one."""
        slot = waiter.slot
        if waiter.waiting:
            self.line.leave(waiter)
        elif slot is not None:
            waiter.slot = None
            self.books.unuse(slot)
            if slot.state is TAKEN:
                self._pass_on(slot, now)
        self.settle(now)

    def replace(self, slot: Slot, now: float) -> Slot:
        """A new record for *slot*'s connection: the old one is in the wrong hands."""
        successor = self.books.replace(slot, now)
        if slot in self.unproven:
            self.unproven.remove(slot)
            self.unproven.add(successor)
        self.agenda.enter(now, successor)
        return successor

    # -- bringing back

    def give_back(self, slot: Slot, now: float) -> None:
        """*slot* comes back in order."""
        news = not slot.proven
        if slot.fate is None:
            self.prove(slot, now)
            if self.features.reset:
                self._vet(slot, Order.RESET, now)
                if news:
                    self.settle(now)
                return
        self._pass_on(slot, now, news=news)

    def doubt(self, slot: Slot, now: float) -> None:
        """*slot* comes back after an error that says nothing about it: ask it first."""
        if slot.fate is not None:
            self.retire(slot, slot.fate, now)
        else:
            slot.unreset = self.features.reset
            self._vet(slot, Order.CHECK, now)
        self.settle(now)

    def pass_to_next(self, slot: Slot, now: float) -> Waiter | None:
        """Give plain *slot*, back in order, to the longest waiter: the shortest way.

        None if it takes more thought; nothing has changed then. Else the waiter is to be woken.
        """
        line = self.line
        order = line.order
        if not (order and slot.plain and self.passes_on):
            return None
        try:
            waiter = order[0]
            while not waiter.waiting:  # Line.first, without the call: every hand-off comes here
                order.popleft()
                waiter = order[0]
        except IndexError:  # only dead ones
            return None
        self.counters.use_seconds += now - slot.since
        slot.since = now
        slot.uses += 1
        slot.state = TAKEN
        line.served = waiter  # it is found there if what follows is broken off
        waiter.slot = slot
        waiter.waiting = False
        order.popleft()
        line.count -= 1
        if not line.count and self.is_simple:
            self.calm.now = self.now
        return waiter

    def shelve(self, slot: Slot, now: float) -> bool:
        """Put plain *slot*, back in order, on the shelf: the shortest way where nobody waits.

        False if it takes more thought; nothing has changed then.
        """
        if self.line.count or not (slot.plain and self.is_undisturbed):
            return False
        self.stirred = True
        self.counters.use_seconds += now - slot.since
        slot.since = now
        slot.state = IDLE
        self.books.put(slot)
        return True

    def set_aside(self, slot: Slot, now: float) -> None:
        """*slot* comes back in doubt and cannot be asked: keep it, to be handed out last."""
        if slot.fate is not None or self.line.count or self.is_surplus():
            self.retire(slot, slot.fate or CloseReason.BROKEN, now)
        elif self.features.reset and slot.is_out:
            slot.aside = True
            self._vet(slot, Order.RESET, now)
        else:
            slot.aside = False
            slot.since = now
            self.books.move(slot, IDLE)
            self.books.to_cold_end(slot)
        self.settle(now)

    def retire(
        self,
        slot: Slot,
        reason: CloseReason,
        now: float,
        *,
        blame: bool = False,
        how: Order = Order.CLOSE,
    ) -> None:
        """Give *slot* up: its connection is closed, then its place is free.

        *blame* says that the peer is at fault. A connection that breaks before it has
        proved itself then counts as a failed connect.
        """
        slot.fate = reason
        self.books.move(slot, CLOSING)
        self.orders.append((how, slot))
        self.tell_closed(slot, reason)
        self.note_end(slot, now, blame or reason in _PEER_FAILED)

    def interrupt(self, slot: Slot, reason: CloseReason, now: float) -> None:
        """Give *slot* up under its user."""
        self.retire(slot, reason, now, how=Order.INTERRUPT)

    def detach(self, slot: Slot, now: float) -> None:
        """*slot*'s connection leaves the pool for good, open."""
        self.tell_closed(slot, CloseReason.DETACHED)
        self.note_end(slot, now, blame=False)
        self.books.move(slot, CLOSED)
        self.settle(now)

    # -- opening and closing

    def connected(self, slot: Slot, connection: Any, now: float, retire_at: float | None) -> bool:
        """*slot*'s connection is ready. False if the pool has that very object already."""
        if not self.books.register(slot, connection):
            return False
        if slot.state is CLOSING:  # abandoned on the way, and told so
            self.orders.append((Order.CLOSE, slot))
            return True
        took = now - slot.started
        self.counters.connect_seconds += took
        slot.started = slot.opened = slot.proved = slot.since = now  # one object for all: 24 bytes
        slot.retire_at = retire_at
        self.extra = 0
        self.pacer.succeeded()
        self.unproven.add(slot)
        self.tell("connection_ready", slot, seconds=took)
        self.agenda.enter(now, slot)
        self._pass_on(slot, now, news=True)
        return True

    def connect_failed(
        self, slot: Slot, error: BaseException, described: str, now: float, fatal: bool
    ) -> None:
        """No connection for *slot*: its place is free."""
        if slot.state is CLOSING:  # abandoned on the way: says nothing about the peer
            self.closed(slot, now)
            return
        self.counters.connect_errors += 1
        self.counters.connect_seconds += now - slot.started
        self.tell("connect_failed", slot, error=described, seconds=now - slot.started)
        self.tell_closed(slot, CloseReason.CONNECT_FAILED)
        self.books.move(slot, CLOSED)
        self.extra = 0
        self.pacer.refused(now, error, fatal)
        self.note_failure(slot, now)
        self.settle(now)

    def abandon(self, slot: Slot, reason: CloseReason) -> None:
        """Give up a connect under way; its place is taken until the attempt has ended."""
        self.tell_closed(slot, reason)
        self.books.move(slot, CLOSING)
        slot.fate = reason
        self.orders.append((Order.ABANDON, slot))

    def closed(self, slot: Slot, now: float) -> None:
        """*slot*'s old connection is gone, for the peer too: its place is free."""
        self.books.move(slot, CLOSED)
        self.settle(now)

    def vetted(
        self, slot: Slot, how: Order, failure: CloseReason | None, now: float, proof: bool
    ) -> None:
        """The ping, check or reset of *slot* is over; *proof* says that the peer answered."""
        self.pinging.discard(slot)
        reason = slot.fate or failure
        if reason is not None:
            self.retire(slot, reason, now)
            self.settle(now)
            return
        news = proof and not slot.proven
        if proof:
            self.prove(slot, now)
        if slot.unreset:
            slot.unreset = False
            self._vet(slot, Order.RESET, now)
            self.settle(now)
        elif slot.aside:
            self.set_aside(slot, now)
        else:
            self._pass_on(slot, now, checked=how is not Order.RESET, news=news)

    def pinged(self, slot: Slot, now: float) -> bool:
        """The ping of plain *slot* has passed: back to the shelf, by the shortest way.

        False if it takes more thought; nothing has changed then.
        """
        if self.line.count or not slot.plain or self.phase is not Phase.OPEN or self.was_shrunk:
            return False
        self.pinging.discard(slot)
        slot.proved = now
        self.books.move(slot, IDLE)
        return True

    # -- the common end of every verb

    def settle(self, now: float) -> None:
        """See to those who wait, and to the connections that are missing."""
        self.stirred = True
        if self.phase is Phase.OPEN:
            self._serve_line(now)
            self._fill(now)
            self._tell_if_ready()
        self.is_full = len(self.books.slots) == self.size
        self.is_undisturbed = (
            self.phase is Phase.OPEN and not self.features.reset and not self.is_surplus()
        )
        self.passes_on = self.is_undisturbed and self.options.check_after is None
        serves = self.is_simple and self.is_undisturbed
        self.is_well = serves and self.pacer.down_since is None
        if serves and not self.line.count:
            self.calm.open(self.now)
        else:
            self.calm.shut()

    def _serve_line(self, now: float) -> None:
        if self.is_unavailable(now):
            self.refuse_all("unavailable")
        books = self.books
        while books.idle and (waiter := self.line.first()) is not None:
            slot = next((s for s in books.idle_slots() if not self.needs_check(s, now)), None)
            if slot is not None:
                books.claim(slot)
                self._hand_over(slot, waiter, now)
            elif self.line.count > books.checking:
                self._vet(next(books.idle_slots()), Order.CHECK, now)
            else:
                return

    def _fill(self, now: float) -> None:
        books = self.books
        wanted = max(
            self.needed - books.live,
            # What is checked or reset will be back in a moment; a ping may be a long one.
            self.line.count - books.connecting - (books.checking - len(self.pinging)),
            self.extra - books.connecting,
        )
        if wanted <= 0 and not books.connecting:
            self.pacer.rest()
        allowed = self.pacer.allowance(now, books.connecting, len(self.unproven))
        for _ in range(min(wanted, allowed, self.size - len(books.slots))):
            slot = books.add(now)
            self.counters.connects += 1
            self.tell("connection_created", slot)
            self.orders.append((Order.CONNECT, slot))

    def _tell_if_ready(self) -> None:
        count = self.books.open
        if not count and self.min_size:
            self.ready_told = False
        elif not self.ready_told and count >= self.min_size:
            self.ready_told = True
            self.tell("pool_ready")

    # -- inside

    def refuse_all(self, refusal: str) -> None:
        """Send everybody who waits away."""
        self.orders.extend((Order.WAKE, waiter) for waiter in self.line.refuse_all(refusal))

    def expire(self, now: float) -> None:
        """Send away those who have waited too long."""
        self.orders.extend((Order.WAKE, waiter) for waiter in self.line.expire(now))
        self.settle(now)

    def _pass_on(
        self, slot: Slot, now: float, *, checked: bool = False, news: bool = False
    ) -> None:
        """Give *slot* to the longest waiter, else make it idle, else retire it.

        *news* says that connects may go on differently from now on.
        """
        if slot.fate is not None:
            self.retire(slot, slot.fate, now)
        elif self.phase is Phase.CLOSED:
            self.retire(slot, CloseReason.CLOSED, now)
        elif self.is_surplus():
            self.retire(slot, CloseReason.RESIZED, now)
        elif slot.overdue and self.may_expire(slot):
            self.retire(slot, CloseReason.EXPIRED, now)
        elif (
            self.line.count
            and (checked or not self.needs_check(slot, now))
            and (waiter := self.line.first()) is not None
        ):
            if slot.state is not TAKEN:
                self.books.move(slot, TAKEN)
            self._hand_over(slot, waiter, now)
            if not news and not slot.overdue:
                # The pool is as full as before: for those who still wait nothing has changed.
                if self.is_simple and not self.line.count:
                    self.calm.open(self.now)
                return
        else:
            if slot.is_out:
                slot.since = now
            self.books.move(slot, IDLE)
        self.settle(now)

    def _hand_over(self, slot: Slot, waiter: Waiter, now: float) -> None:
        self.orders.append((Order.WAKE, waiter))  # first: who is woken in vain sleeps on
        slot.since = now
        slot.uses += 1
        self.line.serve(waiter, slot)

    def _vet(self, slot: Slot, how: Order, now: float) -> None:
        if slot.is_out:
            slot.since = now
        self.books.move(slot, CHECKING)
        self.orders.append((how, slot))

    def start_ping(self, slot: Slot, now: float) -> None:
        """Ping idle *slot*."""
        self.pinging.add(slot)
        self.books.move(slot, CHECKING)
        self.pings.append(slot)
