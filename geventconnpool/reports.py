"""What a pool looks like, in records and in words. Reads the state, changes nothing."""

from __future__ import annotations

from types import MappingProxyType

from geventconnpool.core.condition import Phase
from geventconnpool.core.state import PoolState
from geventconnpool.errors import (
    PoolClosed,
    PoolError,
    PoolPaused,
    PoolTimeout,
    PoolUnavailable,
    TooManyWaiters,
    describe,
)
from geventconnpool.stats import PoolStats

__all__ = ["longest_held", "refusal_error", "snapshot"]


def snapshot(state: PoolState) -> PoolStats:
    """The pool at this moment. May be called from any thread."""
    books, counters = state.books, state.counters
    slots = list(books.slots.values())
    failed = counters.acquire_timeouts + counters.acquire_errors
    unsettled = state.line.count + state.line.sent_away
    return PoolStats(
        size=state.size,
        min_size=state.min_size,
        idle=books.idle,
        active=books.active,
        connecting=books.connecting,
        checking=books.checking,
        closing=books.closing,
        waiting=state.line.count,
        acquires=books.past_uses + sum(slot.uses for slot in slots) + failed + unsettled,
        acquires_waited=state.line.entered,
        acquire_timeouts=counters.acquire_timeouts,
        acquire_errors=counters.acquire_errors,
        wait_seconds=counters.wait_seconds,
        use_seconds=counters.use_seconds,
        connects=counters.connects,
        connect_errors=counters.connect_errors,
        connect_seconds=counters.connect_seconds,
        closes=MappingProxyType({str(why): count for why, count in counters.closes.items()}),
        pings=counters.pings,
        ping_errors=counters.ping_errors,
        leaks=counters.leaks,
        repairs=counters.repairs,
    )


def longest_held(state: PoolState, now: float) -> float | None:
    """For how long the connection that is out longest has been out."""
    since = [slot.since for slot in list(state.books.slots.values()) if slot.is_out]
    return now - min(since) if since else None


def refusal_error(state: PoolState, refusal: str, waited: float, now: float) -> PoolError:
    """The error for an acquire that failed, saying what the pool looked like."""
    stats = snapshot(state)
    kind, message = _REFUSALS[refusal]
    if refusal == "closed" and state.phase is Phase.NEW:
        message = "not open yet"
    what = f"{message.format(waited=waited)} ({stats}){_circumstances(state, now)}"
    error = kind(f"pool {state.name!r}: {what}", stats)
    if kind in (PoolTimeout, PoolUnavailable):
        error.__cause__ = state.pacer.error
    return error


_REFUSALS: dict[str, tuple[type[PoolError], str]] = {
    "timeout": (PoolTimeout, "no connection within {waited:.2f} s"),
    "closed": (PoolClosed, "closed"),
    "paused": (PoolPaused, "paused"),
    "too_many_waiters": (TooManyWaiters, "too many wait already"),
    "unavailable": (PoolUnavailable, "no connection can be opened"),
}


def _circumstances(state: PoolState, now: float) -> str:
    """What else may explain why there was no connection."""
    text = ""
    held, pacer = longest_held(state, now), state.pacer
    if held is not None:
        text += f"; longest held {held:.1f} s"
    if pacer.error is not None:
        text += f"; last connect error {now - pacer.error_at:.1f} s ago: {describe(pacer.error)}"
    return text
