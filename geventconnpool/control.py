"""What an operator does to a pool: the commands of `core`, performed, and waited for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from gevent import getcurrent

from geventconnpool import clock
from geventconnpool.core import commands
from geventconnpool.core.condition import Phase
from geventconnpool.core.slot import CHECKING, Slot
from geventconnpool.events import CloseReason
from geventconnpool.options import NOT_GIVEN, NotGiven, check_sizes, check_timeout
from geventconnpool.reports import refusal_error

if TYPE_CHECKING:
    from geventconnpool.engine import Engine

__all__ = ["Control"]


class Control:
    """Pause, resume, drain, resize, check, close, and waiting to be ready."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._min_size_given = engine.options.min_size_given

    def wait_ready(self, timeout: float | NotGiven | None) -> None:
        """Wait until enough connections are open."""
        engine = self._engine
        limit = engine.options.timeout if timeout is NOT_GIVEN else check_timeout(timeout)
        self._start(Phase.OPEN)
        began = clock.now()
        state = engine.state
        state.ready_wanted += 1
        try:
            state.settle(began)
            engine.settle()
            if limit != 0 and not state.is_ready and not self._can_wait():
                raise engine.misuse("wait_ready() waits, and the loop, a hook or a listener cannot")
            is_over = self._wait_for(
                lambda: engine.state.is_ready or engine.state.phase is not Phase.OPEN, limit
            )
        finally:
            engine.state.ready_wanted -= 1  # a fork may have put another one in its place
        if not is_over:
            now = clock.now()
            raise refusal_error(engine.state, "timeout", now - began, now)
        self._require(Phase.OPEN)

    def pause(self, interrupt: bool) -> None:
        """Serve nobody until `resume`."""
        check_flag("interrupt", interrupt)
        self._start(Phase.OPEN, Phase.PAUSED)
        commands.pause(self._engine.state, clock.now(), interrupt)
        self._engine.settle()

    def resume(self) -> None:
        """Serve again."""
        self._start(Phase.OPEN, Phase.PAUSED)
        commands.resume(self._engine.state, clock.now())
        self._engine.settle()

    def drain(self, interrupt: bool) -> None:
        """Replace every connection."""
        check_flag("interrupt", interrupt)
        self._start(Phase.NEW, Phase.OPEN, Phase.PAUSED)
        commands.drain(self._engine.state, clock.now(), interrupt)
        self._engine.settle()

    def resize(self, size: int, min_size: int | NotGiven) -> None:
        """Grow or shrink."""
        state = self._engine.state
        if min_size is NOT_GIVEN:
            check_sizes(size, 0)
            least = min(state.min_size, size) if self._min_size_given else size
        else:
            check_sizes(size, min_size)
            least = min_size
        self._start(Phase.NEW, Phase.OPEN, Phase.PAUSED)
        self._min_size_given = self._min_size_given or min_size is not NOT_GIVEN
        commands.resize(self._engine.state, clock.now(), size, least)
        self._engine.settle()

    def check(self) -> int:
        """Ping every idle connection; how many failed."""
        engine = self._engine
        self._start(Phase.OPEN, Phase.PAUSED)
        if not self._can_wait():
            raise engine.misuse("check() waits, and the loop, a hook or a listener cannot")
        slots = engine.upkeep.ping_all()
        engine.upkeep.start_pings(clock.now())
        engine.settle()
        pending = list(slots)

        def is_over() -> bool:
            while pending and not self._is_pending(pending[-1]):
                pending.pop()
            return not pending

        self._wait_for(is_over, None)
        return sum(slot.fate is CloseReason.UNCHECKED for slot in slots)

    def _is_pending(self, slot: Slot) -> bool:
        return slot.state is CHECKING or self._engine.upkeep.is_queued(slot)

    def close(self, timeout: float | None) -> bool:
        """Close the pool; wait up to *timeout* where that is possible."""
        engine = self._engine
        engine.here(begin=False)
        state = engine.state
        first = state.phase is not Phase.CLOSED
        limit = math.inf if timeout is None else timeout
        try:
            if first:
                commands.close(state, clock.now())
            engine.settle()
            if limit > 0 and state.books.slots and self._can_wait():
                self._wait_for(lambda: not state.books.slots, timeout)
        finally:
            if first:
                engine.stop()
        return not state.books.slots

    def _can_wait(self) -> bool:
        """Whether the current greenlet may be parked: not the loop, a hook or a listener."""
        engine, current = self._engine, getcurrent()
        if current is engine.hub or engine.herald.speaker is current:
            return False
        slots = list(engine.state.books.slots.values())
        return all(s.job is None or s.job.greenlet is not current for s in slots)

    def _wait_for(self, is_true: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until *is_true*; False if that took too long."""
        deadline = None if timeout is None else clock.now() + timeout
        while not is_true():
            left = None if deadline is None else deadline - clock.now()
            if left is not None and left <= 0:
                return False
            self._engine.wait_for_change(left)
        return True

    def _start(self, *phases: Phase) -> None:
        self._engine.here()
        self._require(*phases)

    def _require(self, *phases: Phase) -> None:
        state = self._engine.state
        if state.phase not in phases:
            refusal = "paused" if state.phase is Phase.PAUSED else "closed"
            raise refusal_error(state, refusal, 0.0, clock.now())


def check_flag(name: str, value: object) -> None:
    """Refuse what is not a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool ({value!r})")
