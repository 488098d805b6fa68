"""What is to be looked at when: a timing wheel in coarse steps.

Each slot is entered once and looked at once, at its earliest possible due time. Whether
something really is due then, and when to look next, is for the reader to say; so a
checkout need not touch the agenda, and 10,000 idle connections cost little more than 100.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from itertools import chain

from geventconnpool.core.slot import CLOSED, Slot

__all__ = ["Agenda"]


class Agenda:
    """Slots by the step in which to look at them; steps count from *origin*."""

    def __init__(self, origin: float, step: float) -> None:
        self._origin = origin
        self._step = step
        self._pages: dict[int, list[Slot]] = {}
        self._order: list[int] = []

    def enter(self, when: float, slot: Slot) -> None:
        """Look at *slot* in the first step that begins at *when* or later."""
        number = math.ceil((when - self._origin) / self._step)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = []
            heapq.heappush(self._order, number)
        page.append(slot)

    def records(self) -> Iterator[Slot]:
        """The slots to be looked at, as often as they were entered."""
        return chain.from_iterable(self._pages.values())

    def due(self, now: float) -> list[Slot]:
        """Take out all that is to be looked at by *now*, earliest first."""
        # A timer may fire a little before its time; that must not cost a whole step.
        number = math.floor((now - self._origin) / self._step + 0.01)
        found: list[Slot] = []
        while self._order and self._order[0] <= number:
            found += self._pages.pop(heapq.heappop(self._order))
        return [slot for slot in found if slot.state is not CLOSED]
