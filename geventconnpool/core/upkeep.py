"""What becomes due with time: pings, idle timeouts, lifetimes. Decisions only."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from itertools import chain

from geventconnpool.core.condition import Phase
from geventconnpool.core.slot import IDLE, Slot
from geventconnpool.core.state import PoolState
from geventconnpool.events import CloseReason

__all__ = ["MOST_PINGS", "Upkeep"]

MOST_PINGS = 256
"""So many pings, checks and resets at once hold up further pings."""


class Upkeep:
    """Looks at what is due on each tick, and starts no more pings than the pool can spare."""

    def __init__(self, state: PoolState) -> None:
        self._state = state
        self._to_ping: deque[Slot] = deque()
        self._asked: set[Slot] = set()
        """Those of them that are to be pinged even if it is not their time."""
        self._overdue: deque[Slot] = deque()

    def tick(self, now: float) -> None:
        """Look at all that is due."""
        state = self._state
        state.prove_by_age(now)
        for slot in state.agenda.due(now):
            self._look(slot, now)
        self.start_pings(now, at_least=1)
        self._rotate(now)
        state.settle(now)

    def ping_all(self) -> list[Slot]:
        """Have every idle connection pinged now; returns their slots."""
        slots = list(self._state.books.idle_slots())
        self._to_ping.extendleft(slots)
        self._asked.update(slots)
        return slots

    def start_pings(self, now: float, at_least: int = 0) -> None:
        """Start as many of the pings that are due as leave something to hand out.

        At most half of the idle connections are pinged at a time, so that a checkout need
        not wait for a ping while another connection could serve it. *at_least* so many are
        started all the same: pings that hang must not hold up the others.
        """
        if not self._to_ping:
            return
        books = self._state.books
        most = min(MOST_PINGS, max(1, (books.idle + books.checking) // 2))
        while self._to_ping and (books.checking < most or at_least > 0):
            slot = self._to_ping.popleft()
            asked = bool(self._asked) and slot in self._asked
            if asked:
                self._asked.discard(slot)
            if slot.state is IDLE and (asked or self._ping_at(slot, now) <= now):
                self._state.start_ping(slot, now)
                at_least -= 1

    def is_queued(self, slot: Slot) -> bool:
        """Whether *slot* waits for the ping that `ping_all` asked for."""
        return slot in self._asked

    def records(self) -> Iterator[Slot]:
        """The slots that something is to be done with, as often as they are noted."""
        return chain(self._to_ping, self._asked, self._overdue)

    def rotate(self, now: float) -> None:
        """Close what is past its lifetime and can be spared."""
        if self._overdue:
            self._rotate(now)
            self._state.settle(now)

    def _rotate(self, now: float) -> None:
        state = self._state
        for _ in range(len(self._overdue)):
            slot = self._overdue.popleft()
            if slot.state is IDLE and state.may_expire(slot):
                state.retire(slot, CloseReason.EXPIRED, now)
            elif slot.is_open:
                self._overdue.append(slot)

    def _look(self, slot: Slot, now: float) -> None:
        if slot.retire_at is not None and slot.retire_at <= now and not slot.overdue:
            slot.overdue = True
            slot.refresh_plain()
            self._overdue.append(slot)
        ping_at = self._ping_at(slot, now)
        if slot.state is IDLE:
            if self._is_idle_for_too_long(slot, now):
                self._state.retire(slot, CloseReason.IDLE, now)
                return
            if ping_at <= now:
                self._to_ping.append(slot)
        next_look = self._next_look(slot, now, ping_at)
        if next_look < math.inf:
            self._state.agenda.enter(next_look, slot)

    def _is_idle_for_too_long(self, slot: Slot, now: float) -> bool:
        limit, state = self._state.options.idle_timeout, self._state
        if limit is None or now - slot.since < limit:
            return False
        return state.phase is not Phase.CLOSED and state.books.live > state.needed

    def _ping_at(self, slot: Slot, now: float) -> float:
        """When *slot* is to be pinged if it stays idle."""
        interval = self._state.options.keepalive
        if interval is None:
            return math.inf
        return interval + (now if slot.is_out else max(slot.since, slot.proved))

    def _next_look(self, slot: Slot, now: float, ping_at: float) -> float:
        """When something about *slot* can be due at the earliest, if it is left alone.

        What is due already and could not be done is looked at again after the interval.
        """
        options = self._state.options
        look_at = ping_at
        if look_at <= now and options.keepalive is not None:
            look_at = now + options.keepalive
        if options.idle_timeout is not None:
            closes_at = slot.since + options.idle_timeout
            look_at = min(look_at, closes_at if closes_at > now else now + options.idle_timeout / 4)
        if slot.retire_at is not None and not slot.overdue:
            look_at = min(look_at, slot.retire_at)
        return look_at
