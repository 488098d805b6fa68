"""Asking connections how they are: checks and resets, and what follows from these and pings."""

from __future__ import annotations

import logging

from geventconnpool import clock
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import Slot
from geventconnpool.errors import describe
from geventconnpool.events import CloseReason
from geventconnpool.maintenance.hooks import bounded, clear_frames
from geventconnpool.maintenance.jobs import Job
from geventconnpool.maintenance.keeper import Keeper

__all__ = ["follow_up", "vet", "vetted"]

HOOKS = {
    Order.CHECK: "_check_connection",
    Order.RESET: "_reset_connection",
}


def vet(keeper: Keeper, slot: Slot, job: Job) -> None:
    """Run the hook for the job on *slot*'s connection."""
    name, failure = HOOKS[job.how], None
    try:
        bounded(keeper, keeper.hook(name), (slot.connection,), "keepalive_timeout", name)
    except BaseException as error:
        clear_frames(error)
        failure = error
    vetted(keeper, slot, job, failure, clock.now())
    follow_up(keeper)


def vetted(keeper: Keeper, slot: Slot, job: Job, error: BaseException | None, now: float) -> bool:
    """The hook is through with *slot*, or was stopped by *error*. True if nothing follows."""
    if not job.finish(slot):
        return True
    state, how = keeper.state, job.how
    said = None if error is None else describe(error)
    if how is not Order.RESET:
        state.counters.pings += 1
        state.counters.ping_errors += error is not None
        if state.journal is not None:
            state.tell("connection_pinged", slot, seconds=now - job.began, error=said)
    failure = None
    if said is not None:
        failure = CloseReason.RESET_FAILED if how is Order.RESET else CloseReason.UNCHECKED
        keeper.say(logging.INFO, "connection %d failed its %s (%s)", slot.id, how.value, said)
    elif slot.descriptor is not None:
        failure = keeper.watcher.fault(slot)
    if how is Order.PING and error is None and failure is None and state.pinged(slot, now):
        return True
    answered = error is None and how is not Order.RESET and state.features.ping
    state.vetted(slot, how, failure, now, proof=answered)
    return False


def follow_up(keeper: Keeper) -> None:
    """Go on with the pings for which there is room now, and perform what was decided."""
    keeper.upkeep.start_pings(clock.now())
    keeper.settle()
