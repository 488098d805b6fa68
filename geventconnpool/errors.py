"""What can go wrong with a pool. None of these is an ``OSError``, on purpose.

``OSError`` is what tells a pool that a connection broke. If running out of connections
were one (as ``TimeoutError`` is), an exhausted inner pool would make an outer pool throw
its healthy connection away, and ``retry`` would try again into the same full pool.
"""

from __future__ import annotations

from geventconnpool.stats import PoolStats

__all__ = [
    "PoolClosed",
    "PoolError",
    "PoolPaused",
    "PoolTimeout",
    "PoolUnavailable",
    "TooManyWaiters",
    "WrongHub",
]


class PoolError(Exception):
    """Something is wrong with the pool or with how it is used.

    .. versionadded:: 1.0
    """

    def __init__(self, message: str, stats: PoolStats | None = None) -> None:
        super().__init__(message)
        self.stats = stats if stats is not None else PoolStats()
        """What the pool looked like when the error was made."""

    def __reduce__(self) -> tuple[type[PoolError], tuple[str, None]]:
        # Errors travel between processes (celery), a mapping proxy does not.
        return type(self), (str(self), None)


class PoolTimeout(PoolError):
    """No connection came free in time. ``__cause__`` is the current connect error, if any.

    .. versionadded:: 1.0
    """


class PoolClosed(PoolError):
    """The pool is closed, or not open yet.

    .. versionadded:: 1.0
    """


class PoolPaused(PoolError):
    """The pool is paused: it serves nobody until ``resume()``.

    .. versionadded:: 1.0
    """


class TooManyWaiters(PoolError):
    """``max_waiting`` others wait already.

    .. versionadded:: 1.0
    """


class PoolUnavailable(PoolError):
    """The peer is known to be down, or refuses for good. ``__cause__`` is the connect error.

    .. versionadded:: 1.0
    """


class WrongHub(PoolError):
    """The pool lives in another native thread; a gevent pool serves the one it was made in.

    .. versionadded:: 1.0
    """


def describe(error: BaseException) -> str:
    """Type and errno of *error*: what may be shown of somebody else's exception.

    Its text may hold a password. The texts of this package's own errors hold none; that it
    has the stats of a pool tells such a one from one that a hook has raised.
    """
    if isinstance(error, PoolError) and type(error).__module__ == __name__ and error.stats.size:
        return f"{type(error).__name__}: {error}"
    name = type(error).__name__
    try:
        number = error.errno if isinstance(error, OSError) else None
    except Exception:  # a property of somebody else's class
        number = None
    # OSError("password", ...) makes a text of it.
    return f"{name}, errno {number:d}" if isinstance(number, int) else name
