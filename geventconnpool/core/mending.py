"""What an exception between two instructions has torn in two: found, and mended.

A signal handler may raise anywhere, also in the middle of a decision. The records of the
slots are the truth then, and everything else follows from them. Decisions only.
"""

from __future__ import annotations

from geventconnpool.core.orders import Order
from geventconnpool.core.slot import CHECKING, CLOSING, CONNECTING, Slot
from geventconnpool.core.state import PoolState
from geventconnpool.events import CloseReason

__all__ = ["give_up", "mend"]

_UNDER_WAY = frozenset({CONNECTING, CHECKING, CLOSING})
"""States in which somebody of the pool is at work on a slot, or ordered to be."""


def mend(state: PoolState, now: float) -> list[str]:
    """Put right what does not add up, and say what it was."""
    found = state.books.mistakes() + state.line.mistakes()
    if found:
        state.books.repair()
        state.line.repair()
    return found + _mend_work(state, now) + _mend_pings(state) + _mend_pause(state)


def give_up(state: PoolState, slot: Slot, now: float) -> None:
    """Close *slot*, which nobody can bring back any more."""
    state.retire(slot, slot.fate or CloseReason.INTERRUPTED, now)


def _mend_work(state: PoolState, now: float) -> list[str]:
    """Put somebody to work wherever nobody is."""
    ordered = {id(subject) for _, subject in state.orders} | set(map(id, state.pings))
    idlers = [
        slot
        for slot in state.books.slots.values()
        if slot.state in _UNDER_WAY and slot.job is None and id(slot) not in ordered
    ]
    found = [f"connection {slot.id}: {slot.state.value}, by nobody" for slot in idlers]
    for slot in idlers:
        if slot.state is CLOSING and slot.connection is None:
            state.closed(slot, now)
        elif slot.state is CLOSING:
            slot.fate = slot.fate or CloseReason.INTERRUPTED
            state.orders.append((Order.CLOSE, slot))
        elif slot.connection is None:
            state.orders.append((Order.CONNECT, slot))
        else:
            give_up(state, slot, now)
    return found


def _mend_pings(state: PoolState) -> list[str]:
    over = {slot for slot in state.pinging if slot.state is not CHECKING}
    state.pinging -= over
    return [f"connection {slot.id}: its ping was over" for slot in over]


def _mend_pause(state: PoolState) -> list[str]:
    """See to it that a pause between connects comes to an end."""
    if not state.pacer.awaits_pause or any(what is Order.PAUSE for what, _ in state.orders):
        return []
    state.orders.append((Order.PAUSE, state.pacer.failures))
    return ["the pause after a failed connect had no end"]
