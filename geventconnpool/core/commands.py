"""What an operator orders: open, pause, resume, drain, resize, close. Decisions only."""

from __future__ import annotations

from geventconnpool.core.condition import Phase
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import CHECKING, CONNECTING, IDLE, Slot
from geventconnpool.core.state import PoolState
from geventconnpool.events import CloseReason

__all__ = ["close", "drain", "open_", "pause", "resize", "resume"]


def open_(state: PoolState, now: float) -> None:
    """Begin to fill, and to serve."""
    state.phase = Phase.OPEN
    state.tell("pool_opened")
    state.settle(now)


def pause(state: PoolState, now: float, interrupt: bool) -> None:
    """Send everybody away and open nothing; idle connections stay."""
    if state.phase is not Phase.PAUSED:
        state.phase = Phase.PAUSED
        state.tell("pool_paused", interrupt=interrupt)
    if interrupt:
        _abandon_connects(state, CloseReason.DRAINED)
    state.refuse_all("paused")
    state.settle(now)


def resume(state: PoolState, now: float) -> None:
    """Serve and fill again."""
    if state.phase is not Phase.PAUSED:
        return
    state.phase = Phase.OPEN
    state.ready_told = False
    state.tell("pool_resumed")
    state.settle(now)


def drain(state: PoolState, now: float, interrupt: bool) -> None:
    """Replace every connection: idle ones at once, active ones as they come back."""
    state.tell("pool_drained", interrupt=interrupt)
    _abandon_connects(state, CloseReason.DRAINED)
    for slot in _slots(state):
        if slot.state is IDLE:
            state.retire(slot, CloseReason.DRAINED, now)
        elif slot.is_out and interrupt:
            state.interrupt(slot, CloseReason.DRAINED, now)
        elif slot.is_out or slot.state is CHECKING:
            _doom(slot, CloseReason.DRAINED)
    state.settle(now)


def resize(state: PoolState, now: float, size: int, min_size: int) -> None:
    """Grow or shrink. What cannot be closed at once is closed as it comes back."""
    if (size, min_size) == (state.size, state.min_size):
        return
    state.size, state.min_size = size, min_size
    state.was_shrunk = True
    state.tell("pool_resized")
    surplus = state.books.live - size
    # First what nobody has yet, then what nobody would get for longest.
    connecting = [slot for slot in _slots(state) if slot.state is CONNECTING]
    idle = list(state.books.idle_slots())
    for slot in [*reversed(connecting), *reversed(idle)][: max(0, surplus)]:
        if slot.state is CONNECTING:
            state.abandon(slot, CloseReason.RESIZED)
        else:
            state.retire(slot, CloseReason.RESIZED, now)
    state.settle(now)


def close(state: PoolState, now: float) -> None:
    """Send everybody away, close what is idle, give up what is under way."""
    state.phase = Phase.CLOSED
    state.refuse_all("closed")
    _abandon_connects(state, CloseReason.CLOSED)
    for slot in _slots(state):
        if slot.state is IDLE:
            state.retire(slot, CloseReason.CLOSED, now)
        elif slot.state is CHECKING:
            _doom(slot, CloseReason.CLOSED)
            state.orders.append((Order.ABANDON, slot))
        elif slot.is_out:
            _doom(slot, CloseReason.CLOSED)
    state.settle(now)


def _abandon_connects(state: PoolState, reason: CloseReason) -> None:
    for slot in _slots(state):
        if slot.state is CONNECTING:
            state.abandon(slot, reason)


def _doom(slot: Slot, reason: CloseReason) -> None:
    """Have *slot* closed as soon as it comes back; an earlier reason stands."""
    if slot.fate is None:
        slot.plain = False
        slot.fate = reason


def _slots(state: PoolState) -> list[Slot]:
    return list(state.books.slots.values())
