"""Opening connections, each in a greenlet of its own."""

from __future__ import annotations

import logging
import math
from typing import Any

from gevent import Timeout

from geventconnpool import backoff, clock, forks
from geventconnpool.core.slot import CONNECTING, Slot
from geventconnpool.errors import PoolError, describe
from geventconnpool.maintenance.hooks import bounded, clear_frames
from geventconnpool.maintenance.jobs import Job
from geventconnpool.maintenance.keeper import Keeper
from geventconnpool.maintenance.watching import Descriptor
from geventconnpool.reports import snapshot

__all__ = ["connect", "connect_failed", "draw_pause"]

LIFETIME_SPREAD = 0.1
"""Share of ``max_lifetime`` by which lives differ, so that a crowd does not end at once."""


def connect(keeper: Keeper, slot: Slot, job: Job) -> None:
    """Open a connection for *slot*."""
    try:
        connection = _call_hook(keeper)
    except BaseException as error:
        connect_failed(keeper, slot, job, error)
    else:
        _connected(keeper, slot, job, connection)


def _call_hook(keeper: Keeper) -> Any:
    # In a frame of its own, which has ended when the error's frames are cleared: the callable
    # may be a partial with a password in it.
    given = keeper.options.connect  # may be false in a boolean context
    hook = keeper.hook("_new_connection") if given is None else given
    connection = bounded(keeper, hook, (), "connect_timeout", "_new_connection")
    if connection is None:
        raise misuse(keeper, "_new_connection returned None")
    return connection


def misuse(keeper: Keeper, what: str) -> PoolError:
    return PoolError(f"pool {keeper.state.name!r}: {what}", snapshot(keeper.state))


def _connected(keeper: Keeper, slot: Slot, job: Job, connection: Any) -> None:
    descriptor = _describe(keeper, connection)
    if not job.finish(slot):
        forks.keep(connection)  # begun in the parent: not ours to use, nor to close
        return
    state = keeper.state
    now, down_since = clock.now(), state.pacer.down_since
    if not state.connected(slot, connection, now, _retire_at(keeper, now)):
        _failed(keeper, slot, misuse(keeper, "_new_connection returned a connection in use"))
        return
    if descriptor is not None:
        keeper.watcher.watch(slot, descriptor, keeper.hub.loop)
    keeper.upkeep.rotate(now)
    if down_since is not None:
        keeper.say(logging.INFO, "connects succeed again, after %.1f s", now - down_since)
    keeper.settle()


def connect_failed(keeper: Keeper, slot: Slot, job: Job, error: BaseException) -> None:
    """The attempt of *slot* came to nothing."""
    if job.finish(slot):
        _failed(keeper, slot, error)


def _failed(keeper: Keeper, slot: Slot, error: BaseException) -> None:
    state = keeper.state
    # A traceback keeps frames alive, and with them half-made sockets and secrets.
    clear_frames(error)
    is_news = state.pacer.error is None and slot.state is CONNECTING
    fatal = isinstance(error, keeper.options.fatal_exc_classes)
    state.connect_failed(slot, error, describe(error), clock.now(), fatal)
    if is_news:
        keeper.say(logging.WARNING, "cannot connect (%s), will go on trying", describe(error))
    keeper.settle()


def draw_pause(keeper: Keeper, failures: int) -> float:
    """How long to wait before the next attempt, after so many failures in a row."""
    policy: Any = keeper.options.backoff
    if policy is None:
        policy = _DEFAULT_BACKOFF
    try:
        pause = float(policy.cap if keeper.state.pacer.fatal else policy.delay(failures))
        if not 0 <= pause < math.inf:
            raise ValueError(f"a pause of {pause} s")
    except BaseException as error:  # somebody else's code: without a pause nobody would go on
        keeper.say(logging.ERROR, "the backoff failed (%s), pausing for 1 s", describe(error))
        return 1.0
    return pause


_DEFAULT_BACKOFF = backoff.Backoff()


def _retire_at(keeper: Keeper, now: float) -> float | None:
    lifetime = keeper.options.max_lifetime
    if lifetime is None:
        return None
    return now + lifetime * (1 - backoff.uniform(0, LIFETIME_SPREAD))


def _describe(keeper: Keeper, connection: Any) -> Descriptor | None:
    """The descriptor to watch. The hook that tells it has no reason to wait, but may."""
    with Timeout(keeper.options.connect_timeout):  # taken for "none", as whatever it raises
        return keeper.watcher.describe(connection, lambda: keeper.hook("_fileno")(connection))
