"""Who came when, and who was served: an oracle for strict order, on its own evidence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from greenlet import greenlet

from geventconnpool.core.waiting import Line, Waiter

__all__ = ["Arrivals", "Ticket"]


class Ticket:
    """One call for a connection, numbered by the caller before the call."""

    __slots__ = ("number", "stands_again", "was_served")

    def __init__(self, number: int) -> None:
        self.number = number
        self.was_served = False
        """Whether a connection was in its hands already."""
        self.stands_again = False
        """Whether that connection was taken away on the way: others may have been served since."""


class Arrivals:
    """Compares the order of the calls with that in which the line is served."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._tickets: dict[greenlet, Ticket] = {}
        self._waiting: list[tuple[Waiter, Ticket]] = []

    @contextmanager
    def ticket(self, caller: greenlet) -> Iterator[Ticket]:
        """Draw a number; nothing may switch between this and the call."""
        before = self._tickets.get(caller)
        ticket = self._tickets[caller] = Ticket(next(self._numbers))
        try:
            yield ticket
        finally:
            if before is None:
                self._tickets.pop(caller, None)
            else:
                self._tickets[caller] = before

    def look(self, line: Line) -> Iterator[str]:
        """See who has been served since the last look, and who has not."""
        served = []
        for waiter, ticket in self._waiting:
            if waiter.slot is not None and not waiter.waiting and not ticket.was_served:
                ticket.was_served = True
                served.append(ticket.number)
        still = [ticket for waiter, ticket in self._waiting if waiter.waiting]
        self._waiting = list(self._standing(line))
        for _, ticket in self._waiting:
            ticket.stands_again = ticket.stands_again or ticket.was_served
        first = min((t.number for t in still if not t.stands_again), default=None)
        if served and first is not None and max(served) > first:
            yield f"caller {max(served)} was served before caller {first}"

    def served(self, line: Line, ticket: Ticket) -> Iterator[str]:
        """*ticket* has its connection: did anybody who came earlier not?"""
        for _, other in self._standing(line):
            if other.number < ticket.number and not (other.stands_again or other.was_served):
                yield f"caller {ticket.number} has overtaken caller {other.number}"

    def _standing(self, line: Line) -> Iterator[tuple[Waiter, Ticket]]:
        """Those in the line, as far as they have drawn a number."""
        for waiter in line.order:
            if waiter.waiting:  # who has left can be woken no more
                ticket = self._tickets.get(waiter.wake.__self__)
                if ticket is not None:
                    yield waiter, ticket
