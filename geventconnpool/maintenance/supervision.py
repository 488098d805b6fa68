"""Looks over the shoulder of the pool once a tick: leaks, forgotten leases, late hooks, repairs."""

from __future__ import annotations

import logging
import sys
import traceback
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from geventconnpool.core.condition import tick_seconds
from geventconnpool.core.slot import CHECKING, CLOSING, CONNECTING, TAKEN, Slot
from geventconnpool.maintenance.repairs import repair, take_back

if TYPE_CHECKING:
    from geventconnpool.engine import Engine

__all__ = ["UNUSED_LEASE_SECONDS", "Trail", "supervise"]

UNUSED_LEASE_SECONDS = 1.0
"""A lease that was got and not entered for this long is taken back."""


class Trail:
    """Where a connection was taken: remembered cheaply, written out only when it is asked for."""

    __slots__ = ("_steps", "reported")

    MOST_STEPS = 32

    def __init__(self, frame: FrameType | None) -> None:
        self._steps: list[tuple[CodeType, int]] = []
        self.reported = False
        while frame is not None and len(self._steps) < self.MOST_STEPS:
            self._steps.append((frame.f_code, frame.f_lineno))
            frame = frame.f_back

    def __str__(self) -> str:
        steps = reversed(self._steps)
        entries = [(code.co_filename, line, code.co_name, None) for code, line in steps]
        return "".join(traceback.format_list(traceback.StackSummary.from_list(entries)))


def trail_from_here() -> Trail:
    """The stack of the current greenlet, without the innermost frames, which are the pool's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in _TAKING:
        frame = frame.f_back
    return Trail(frame)


_TAKING = frozenset({"geventconnpool.desk", "geventconnpool.pool"})


def supervise(engine: Engine, now: float) -> None:
    """One look at everything that is out or under way, and at what does not add up."""
    if _is_at_rest(engine):
        return
    repair(engine, now)
    for slot in list(engine.state.books.slots.values()):
        if slot.is_out:
            _look_at_holder(engine, slot, now)
        elif slot.state in (CONNECTING, CHECKING, CLOSING):
            _look_at_job(engine, slot, now)


def _is_at_rest(engine: Engine) -> bool:
    state, books = engine.state, engine.state.books
    is_idle = len(books.slots) == books.idle and not (state.line.count or state.stirred)
    return is_idle and engine.is_quiet


def _look_at_holder(engine: Engine, slot: Slot, now: float) -> None:
    held, limit = now - slot.since, engine.options.leak_threshold
    # The calm path stamps with the coarse clock, which lags behind by up to a tick.
    if slot.state is TAKEN and held > UNUSED_LEASE_SECONDS + tick_seconds(engine.options):
        take_back(engine, slot, now)
    elif limit is not None and held > limit and isinstance(slot.holder, Trail):
        _report_leak(engine, slot, held)


def _report_leak(engine: Engine, slot: Slot, held: float) -> None:
    trail = slot.holder
    if trail.reported:
        return
    trail.reported = True
    engine.state.counters.leaks += 1
    stack = str(trail)
    engine.state.tell("leak_suspected", slot, seconds=held, stack=stack)
    engine.say(
        logging.WARNING, "connection %d is out for %.1f s; taken at:\n%s", slot.id, held, stack
    )


def _look_at_job(engine: Engine, slot: Slot, now: float) -> None:
    job = slot.job
    if job is None or job.reported:
        return
    limit = engine.options.connect_timeout
    if slot.state is CHECKING:
        limit = engine.options.keepalive_timeout
    if slot.state is not CLOSING and now - job.began > limit + 1.0:
        job.reported = True
        engine.say(
            logging.WARNING, "a hook (%s) goes on %.1f s after its deadline; its place is taken",
            job.how.value, now - job.began - limit,
        )  # fmt: skip
