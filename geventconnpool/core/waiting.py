"""Who waits for a connection: one line, served strictly in the order of arrival."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Any

from geventconnpool.core.slot import Slot

__all__ = ["Line", "Waiter"]


class Waiter:
    """Somebody who waits. Ends with a slot in hand, or with the reason why there is none."""

    __slots__ = ("callback", "deadline", "number", "refusal", "slot", "waiting", "wake")

    def __init__(self, deadline: float | None, wake: Any = None) -> None:
        self.number = 0
        """Its place in the order of arrival; the line gives it."""
        self.deadline = deadline
        self.waiting = True
        self.slot: Slot | None = None
        self.refusal: str | None = None
        """Why there is no connection, in the words of the ``acquire_failed`` event."""

        # What the performing side keeps here.
        self.wake = wake
        self.callback: Any = None

    @property
    def is_due(self) -> bool:
        """Whether it is to be woken: its waiting is over, it was not woken, and has not left."""
        return not self.waiting and self.callback is None and self.wake is not None

    def serve(self, slot: Slot) -> None:
        self.slot = slot
        self.waiting = False

    def refuse(self, refusal: str) -> None:
        self.slot = None
        self.refusal = refusal
        self.waiting = False


class Line:
    """First come, first served. Whoever leaves early stays in the deque as a dead entry.

    Waiters with the pool's own timeout have ascending deadlines, so the line itself orders
    them. Those who brought a timeout of their own go through a heap; only while there are
    such, the others stand in a second queue, too.
    """

    def __init__(self) -> None:
        self.order: deque[Waiter] = deque()
        """All of them, and dead entries of those who have left."""
        self.count = 0
        """How many wait. Plain, for it is read at every blocked checkout."""
        self.served: Waiter | None = None
        """Who was served last by the shortest way, and may not be woken yet."""
        self.sent_away = 0
        """How many were refused and do not know it yet."""
        self._common: deque[Waiter] = deque()
        self.special: list[tuple[float, int, Waiter]] = []
        """Those with a timeout of their own, by deadline."""
        self.entered = 0
        """How many ever have."""

    def enter(self, waiter: Waiter, common: bool) -> None:
        """Put *waiter* at the end; *common* says that it has the pool's own timeout."""
        self.order.append(waiter)
        self.count += 1
        self.entered = waiter.number = self.entered + 1
        if common and not self.special:
            return
        if not common:
            self._remember(waiter)
        elif waiter.deadline is not None:
            queue = self._common
            if queue and not queue[0].waiting:
                queue.popleft()  # one out for one in: it never outgrows the line for long
            queue.append(waiter)

    def enter_first(self, waiter: Waiter) -> None:
        """Put *waiter*, who had been served already, back to where it stood."""
        others = [one for one in self.order if one.waiting and one is not waiter]
        earlier = [one for one in others if one.number < waiter.number]
        self.order = deque([*earlier, waiter, *others[len(earlier) :]])
        self.count += 1
        waiter.waiting = True
        self._remember(waiter)

    def _remember(self, waiter: Waiter) -> None:
        """*waiter*'s deadline may not fit in with the order of arrival."""
        deadline = math.inf if waiter.deadline is None else waiter.deadline
        if not self.special:
            others = (one for one in self.order if one.waiting and one is not waiter)
            self._common = deque(one for one in others if one.deadline is not None)
        heapq.heappush(self.special, (deadline, waiter.number, waiter))
        if len(self.special) > 2 * self.count + 16:
            self._sweep()

    def first(self) -> Waiter | None:
        """Who has waited longest."""
        order = self.order
        while order:
            if order[0].waiting:
                return order[0]
            order.popleft()
        return None

    def serve(self, waiter: Waiter, slot: Slot) -> None:
        """*waiter*, the first, gets *slot*."""
        waiter.serve(slot)
        self.count -= 1
        self.order.popleft()

    def leave(self, waiter: Waiter) -> None:
        """*waiter* goes away unserved, of its own will."""
        waiter.waiting = False
        if waiter.number:  # else it was interrupted before it stood in line
            self._gone()

    def turn_away(self, waiter: Waiter, refusal: str) -> None:
        """*waiter* gets nothing."""
        was_waiting = waiter.waiting
        waiter.refuse(refusal)
        self.sent_away += 1
        if was_waiting:
            self._gone()

    def refuse_all(self, refusal: str) -> Iterator[Waiter]:
        """Send everybody away, in order. Tells each of them before it is done."""
        for waiter in [waiter for waiter in self.order if waiter.waiting]:
            yield waiter
            self.turn_away(waiter, refusal)

    def expire(self, now: float) -> Iterator[Waiter]:
        """Send away those whose time is over, in order of their deadlines; tells them before."""
        while (waiter := self._next()) is not None and waiter.deadline <= now:  # type: ignore[operator]
            yield waiter
            self.turn_away(waiter, "timeout")

    def next_deadline(self) -> float | None:
        """When the next waiter's time is over, if anybody's ever is."""
        waiter = self._next()
        return None if waiter is None else waiter.deadline

    def _next(self) -> Waiter | None:
        """Who of those still waiting has the earliest deadline, if anybody has one."""
        special = self.special
        while special and not special[0][2].waiting:
            heapq.heappop(special)
        common = self._common if special else self.order
        while common and not common[0].waiting:
            common.popleft()
        first = common[0] if common else None
        if special and (first is None or first.deadline is None or special[0][0] < first.deadline):
            first = special[0][2]
        return None if first is None or first.deadline is None else first

    def _gone(self) -> None:
        self.count -= 1
        if len(self.order) > 2 * self.count + 16 or not self.count:
            self._sweep()

    def _sweep(self) -> None:
        """Drop the dead entries; costs no more than making them did."""
        self.order = deque(waiter for waiter in self.order if waiter.waiting)
        most = 2 * self.count + 16 if self.count else 0
        if len(self._common) > most:
            self._common = deque(waiter for waiter in self._common if waiter.waiting)
        if len(self.special) > most:
            self.special = [entry for entry in self.special if entry[2].waiting]
            heapq.heapify(self.special)

    # -- proof

    def records(self) -> Iterator[Slot]:
        """The slots that somebody was served with, as often as entries refer to them."""
        special = (entry[2] for entry in self.special)
        served = [] if self.served is None else [self.served]
        waiters = {id(one): one for one in chain(self.order, self._common, special, served)}
        return (one.slot for one in waiters.values() if one.slot is not None)

    def mistakes(self) -> list[str]:
        """What does not add up. Empty as long as nothing has torn a change in two."""
        waiting = sum(waiter.waiting for waiter in self.order)
        return [f"{waiting} wait, {self.count} counted"] if waiting != self.count else []

    def repair(self) -> None:
        """Drop the dead entries, and count the others."""
        self.count = sum(waiter.waiting for waiter in self.order)
        self._sweep()
