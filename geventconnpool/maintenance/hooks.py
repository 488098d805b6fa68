"""Calling the hooks of a pool: always bounded, and nothing they raise gets away."""

from __future__ import annotations

import builtins
import logging
import traceback
from collections.abc import Callable
from typing import Any

from gevent import Timeout

from geventconnpool import clock
from geventconnpool.errors import PoolTimeout
from geventconnpool.maintenance.keeper import Keeper
from geventconnpool.reports import snapshot

__all__ = ["bounded", "clear_frames", "say_if_late", "timed_out"]


def bounded(
    keeper: Keeper, hook: Callable[..., Any], args: tuple[Any, ...], option: str, name: str
) -> Any:
    """What *hook* returns, if it does within the time that *option* gives it.

    :raises PoolTimeout: it did not; the text names *option*.
    """
    limit: float = getattr(keeper.options, option)
    began = clock.now()
    timer = Timeout(limit)
    timer.start()
    try:
        result = hook(*args)
    except BaseException as error:
        if error is not timer:
            raise
        raise timed_out(keeper, option, name) from None
    finally:
        timer.close()
    say_if_late(keeper, began, option, name)
    return result


def timed_out(keeper: Keeper, option: str, name: str) -> PoolTimeout:
    """The error of hook *name*, which has not returned in the time that *option* gives it."""
    limit: float = getattr(keeper.options, option)
    message = f"pool {keeper.state.name!r}: {name} took longer than {option} ({limit:g} s)"
    return PoolTimeout(message, snapshot(keeper.state))


def say_if_late(keeper: Keeper, began: float, option: str, name: str) -> None:
    """Hook *name* has returned: tell if that should not have taken so long."""
    took, limit = clock.now() - began, getattr(keeper.options, option)
    if took > limit:
        keeper.say(
            logging.WARNING,
            "%s swallowed its deadline: it took %.1f s, %s is %g s",
            name, took, option, limit,
        )  # fmt: skip


_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())  # Python 3.11


def _members(error: BaseException) -> tuple[BaseException, ...]:
    return error.exceptions if isinstance(error, _GROUP) else ()


def clear_frames(error: BaseException) -> None:
    """Let go of what the frames of *error*, and of what led to it, hold."""
    chain, seen = [error], {id(error)}
    for each in chain:
        traceback.clear_frames(each.__traceback__)
        for before in (each.__cause__, each.__context__, *_members(each)):
            if before is not None and id(before) not in seen:
                seen.add(id(before))
                chain.append(before)
