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

__all__ = ["bounded", "clear_frames"]


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
        message = f"pool {keeper.state.name!r}: {name} took longer than {option} ({limit:g} s)"
        raise PoolTimeout(message, snapshot(keeper.state)) from None
    finally:
        timer.close()
    if (took := clock.now() - began) > limit:
        keeper.say(
            logging.WARNING,
            "%s swallowed its deadline: it took %.1f s, %s is %g s",
            name, took, option, limit,
        )  # fmt: skip
    return result


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
