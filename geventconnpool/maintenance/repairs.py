"""Mends what exceptions of signal handlers, raised between two instructions, have torn.

Called by the supervisor, in the loop: whoever is in the middle of anything there was either
broken off, or waits in foreign code. Every repair is counted and logged.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from geventconnpool.core.condition import tick_seconds
from geventconnpool.core.mending import give_up, mend
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import ACTIVE, Slot
from geventconnpool.core.waiting import Waiter
from geventconnpool.events import CloseReason

if TYPE_CHECKING:
    from geventconnpool.engine import Engine

__all__ = ["repair", "rouse", "skip", "take_back"]

_count_references: Callable[[object], int] | None = getattr(sys, "getrefcount", None)


def repair(engine: Engine, now: float) -> None:
    """Find what is torn, and mend it."""
    found = [*_go_on(engine), *_begin_jobs(engine), *mend(engine.state, now)]
    for slot in _out_of_reach(engine, now):
        found.append(f"connection {slot.id}: nobody could bring it back")
        _end_use(engine, slot, now)
        give_up(engine.state, slot, now)
    for what in found:
        _note(engine, what)


def take_back(engine: Engine, slot: Slot, now: float) -> None:
    """*slot* was taken, and has not arrived anywhere."""
    slot = engine.replace(slot)
    slot.by_hand = False
    if slot.fate is CloseReason.INTERRUPTED:
        _note(engine, f"connection {slot.id}: its return was broken off")
    else:
        name = engine.state.name
        message = f"pool {name!r}: get() without a with block; the connection is taken back"
        with contextlib.suppress(Exception):  # the warning may be an error where tests want it so
            warnings.warn(message, ResourceWarning, stacklevel=2)
        engine.say(logging.WARNING, "get() was called without a with block")
    _end_use(engine, slot, now)
    engine.state.give_back(slot, now)


def _note(engine: Engine, what: str) -> None:
    engine.state.counters.repairs += 1
    engine.say(logging.ERROR, "repaired: %s", what)


def _end_use(engine: Engine, slot: Slot, now: float) -> None:
    held = now - slot.since
    engine.state.counters.use_seconds += held
    engine.state.tell_released(slot, held)
    slot.holder = None


def _go_on(engine: Engine) -> Iterator[str]:
    """Nobody waits for one who is not at work any more."""
    if engine.go_on():
        yield "what was decided was not performed"
    if engine.herald.is_stuck:
        engine.herald.speaker = None
        yield "what has happened was not told"


def _begin_jobs(engine: Engine) -> Iterator[str]:
    """Forget jobs whose greenlet was never started: others are put in their place."""
    for slot in engine.state.books.slots.values():
        job = slot.job
        if job is not None and not job.greenlet.started and not job.greenlet.ready():
            job.finish(slot)
            yield f"connection {slot.id}: {job.how.value} was never begun"


def _out_of_reach(engine: Engine, now: float) -> list[Slot]:
    """The leases that are out and that nobody refers to but the pool itself.

    Whoever is in a ``with`` block refers to its lease, and so does whoever passes one on.
    Where nobody does, the block can never be left any more: it was left, and that was
    broken off at the very beginning. A lease within its first tick is not looked at.
    """
    if _count_references is None:
        return []
    began = now - tick_seconds(engine.options)
    out = [
        slot
        for slot in engine.state.books.slots.values()
        if slot.state is ACTIVE and not slot.by_hand and slot.since < began
    ]
    if not out:
        return []
    known = Counter(map(id, _records(engine)))
    counts = _references(out)
    return [slot for slot, count in zip(out, counts, strict=True) if count <= known[id(slot)]]


def _records(engine: Engine) -> Iterator[Slot]:
    """Every reference of the pool to a slot that is out."""
    state = engine.state
    keepers = (state.books, state.line, state.agenda, engine.upkeep, engine.watcher)
    return chain(state.unproven, state.pings, *(keeper.records() for keeper in keepers))


def _references(slots: list[Any]) -> list[int]:
    """How many references there are to each, but for the one in the list."""
    assert _count_references is not None
    return [_count_references(slot) - _OWN_REFERENCES for slot in slots]


_OWN_REFERENCES = 0
if _count_references is not None:
    _OWN_REFERENCES = _references([object()])[0]


def skip(engine: Engine) -> None:
    """What was being performed was broken off: it may be half done, so go on with the next.

    What is missing now the supervisor finds in the records of the slots. But a waiter that
    was to be woken stands in no record any more.
    """
    orders = engine.state.orders
    if orders:
        what, subject = orders.popleft()
        if what is Order.WAKE:
            engine.run_callback(rouse, subject)


def rouse(waiter: Waiter) -> None:
    """Wake *waiter* if it still sleeps for what it was given long ago. Called by the loop.

    Whether it was woken before is not known, and whoever is somewhere else by now must not
    be disturbed: so look where it stands.
    """
    frame = None if waiter.wake is None else waiter.wake.__self__.gr_frame
    while frame is not None and frame.f_globals.get("__name__", "").startswith("gevent."):
        frame = frame.f_back
    if frame is not None and frame.f_locals.get("waiter") is waiter:
        waiter.wake()
