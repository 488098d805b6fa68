"""Closing connections: off everybody's path, politely where they are healthy, and bounded."""

from __future__ import annotations

import logging
from typing import Any

from geventconnpool import clock
from geventconnpool.core.slot import Slot
from geventconnpool.errors import describe
from geventconnpool.maintenance.jobs import Job
from geventconnpool.maintenance.keeper import Keeper
from geventconnpool.maintenance.watching import shut_hard

__all__ = ["UNHEALTHY_CLOSE_SECONDS", "close", "close_limit", "closed", "overrun"]

UNHEALTHY_CLOSE_SECONDS = 1.0
"""The most that a goodbye to a connection which is not healthy may take."""


def close(keeper: Keeper, slot: Slot, job: Job) -> None:
    """Run ``_close_connection``; its place is free afterwards, whatever it did."""
    try:
        # Its time begins when it begins: however late that is, it is said at least once.
        job.timer = keeper.hub.loop.timer(close_limit(keeper, slot))
        job.timer.start(overrun, keeper, slot, job)
        keeper.hook("_close_connection")(slot.connection, slot.fate)
    except BaseException as error:
        closed(keeper, slot, job, describe(error))
    else:
        closed(keeper, slot, job, None)


def closed(keeper: Keeper, slot: Slot, job: Job, trouble: str | None) -> None:
    """The goodbye of *slot* is over; where it went wrong, the descriptor is shut."""
    if not job.finish(slot):
        return  # its time was over before, and the place is free already
    if trouble is not None:
        shut_hard(slot.descriptor)
        keeper.say(logging.INFO, "closing connection %d went wrong (%s)", slot.id, trouble)
    keeper.state.closed(slot, clock.now())
    keeper.settle()


def overrun(keeper: Keeper, slot: Slot, job: Job) -> None:
    """The goodbye of *slot* has had its time: end it hard, from outside."""
    limit = close_limit(keeper, slot)
    job.greenlet.kill(block=False)  # first, so that it is gone when close() returns
    closed(keeper, slot, job, f"took longer than {limit:g} s, see close_timeout")


def close_limit(keeper: Keeper, slot: Slot) -> float:
    """How long the goodbye of *slot* may take."""
    limit: float = keeper.options.close_timeout
    healthy: Any = slot.fate is not None and slot.fate.healthy
    return limit if healthy else min(limit, UNHEALTHY_CLOSE_SECONDS)
