"""``retry``: call a function again when it failed. Knows nothing of pools, works with any.

A pool throws a connection away when the block is left with an ``OSError``, so that a
retried block comes to another connection.
"""

from __future__ import annotations

import functools
import inspect
import logging
import numbers
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from gevent import sleep

from geventconnpool import clock, options
from geventconnpool.backoff import Backoff
from geventconnpool.options import by, optional

__all__ = ["RetryBudget", "retry"]

P = ParamSpec("P")
R = TypeVar("R")

Classes = type[Exception] | Iterable[type[Exception]]
Interval = float | Backoff | Callable[[int], float]

_RETRY_MESSAGE = "Connection broken in '{f}' (error: '{e}'); retrying with new connection."
_GIVE_UP_MESSAGE = "Max retries reached for '{f}'. Aborting."


class Logger(Protocol):
    """Whatever logs like the loggers of :mod:`logging`."""

    def log(self, level: int, msg: str, /) -> object:
        """Take the *msg* down."""


class Decorator(Protocol):
    """What ``retry(max_failures=5)`` is: it gives a function back with the same signature."""

    def __call__(self, f: Callable[P, R], /) -> Callable[P, R]:
        """*f*, retried."""


class _Tally:
    """How many things happened in the last *window* seconds."""

    __slots__ = ("_entries", "_grain", "_total", "_window")

    def __init__(self, window: float) -> None:
        self._window = window
        # What happens close together shares an entry, so a hundred of them are enough.
        self._grain = window / 100
        self._entries: deque[list[Any]] = deque()
        self._total = 0

    def add(self, now: float) -> None:
        self.count(now)
        if self._entries and now - self._entries[-1][0] < self._grain:
            self._entries[-1][1] += 1
        else:
            self._entries.append([now, 1])
        self._total += 1

    def count(self, now: float) -> int:
        while self._entries and now - self._entries[0][0] >= self._window:
            self._total -= self._entries.popleft()[1]
        return self._total


class RetryBudget:
    """Keeps retries to a share of the calls, so that they do not bury a peer in trouble.

    A retry is allowed while, in the last *window* seconds and with this one, there are at
    most ``floor + share * calls`` retries. A call counts once, however often it is tried,
    and whether or not it succeeds. One budget may serve many functions that ask the same
    peer; it belongs to the greenlets of one thread. The window slides in hundredths. The
    model is ``RetryBudget`` of Twitter's Finagle.

    :param share: 0 or more; 0.2 allows one retry for five calls
    :param floor: retries in each window that need no calls, so that a program which
        rarely calls may retry at all
    :param window: seconds

    .. versionadded:: 1.0
    """

    def __init__(self, share: float = 0.2, floor: int = 10, window: float = 10.0) -> None:
        self.share = options.check_number("share", share)
        self.floor = options.check_count("floor", floor)
        self.window = options.check_number("window", window, above=True)
        self._calls = _Tally(self.window)
        self._retries = _Tally(self.window)

    def deposit(self) -> None:
        """Count a call. ``retry`` does it."""
        self._calls.add(clock.now())

    def withdraw(self) -> bool:
        """Whether a retry is allowed now; if so it is counted. ``retry`` asks."""
        now = clock.now()
        allowed = self.floor + self.share * self._calls.count(now)
        # 0.29 * 100 is a hair below 29.
        if self._retries.count(now) + 1 > allowed + 1e-9:
            return False
        self._retries.add(now)
        return True

    def __repr__(self) -> str:
        now = clock.now()
        used = f"{self._retries.count(now)} retries, {self._calls.count(now)} calls"
        settings = f"share={self.share:g} floor={self.floor} window={self.window:g}"
        return f"<RetryBudget {settings}: {used}>"


def _exceptions(name: str, value: Any) -> tuple[Any, ...]:
    classes = options.check_exc_classes(name, value)
    for each in classes:
        if not issubclass(each, Exception):
            wanted = "without interruptions, which are never retried"
            options.refuse(ValueError, name, wanted, each)
    return classes


def _logger(name: str, value: Any, *, or_none: bool = False) -> Any:
    if not callable(getattr(value, "log", None)):
        options.refuse(TypeError, name, "None or a logger, with log(level, message)", value)
    return value


def _interval(name: str, value: Any) -> Callable[[int], float]:
    if isinstance(value, Backoff):
        return value.delay
    if callable(value) and not isinstance(value, type):
        return lambda failures: options.check_number("what interval returns", value(failures))
    if not isinstance(value, numbers.Real):
        options.refuse(TypeError, name, "a number of seconds, a Backoff or a callable", value)
    seconds = options.check_number(name, value)
    return lambda failures: seconds


def _budget(name: str, value: Any, *, or_none: bool = False) -> RetryBudget:
    if not isinstance(value, RetryBudget):
        options.refuse(TypeError, name, "None or a RetryBudget", value)
    return value


def _innermost(f: Any) -> Any:
    """What a partial, perhaps of a partial, calls in the end."""
    while isinstance(f, functools.partial):
        f = f.func
    return f


def _name_of(f: Any) -> str:
    f = _innermost(f)
    return str(getattr(f, "__name__", type(f).__name__))


def _check_function(f: Any) -> None:
    """Refuse what cannot be retried by calling it again."""
    if isinstance(f, (staticmethod, classmethod)):
        raise TypeError(f"put retry below @{type(f).__name__}, not above ({options.shown(f)})")
    if isinstance(f, type) and issubclass(f, BaseException):
        raise TypeError(f"retry takes a function; give {f.__name__} as exc_classes=")
    options.check_callable("f", f)
    inner = _innermost(f)
    for kind, applies in _NOT_DONE_ON_RETURN.items():
        if applies(inner) or applies(type(inner).__call__):
            what = f"the {kind} {_name_of(f)!r}: when it returns, nothing of it has run yet"
            raise TypeError(f"retry cannot repeat {what}")


_NOT_DONE_ON_RETURN: dict[str, Callable[[object], bool]] = {
    "generator function": inspect.isgeneratorfunction,
    "asynchronous generator function": inspect.isasyncgenfunction,
    "coroutine function": inspect.iscoroutinefunction,
}

_ABOVE_0 = functools.partial(options.check_number, above=True)
_MESSAGE = functools.partial(options.check_message, known=("f", "e"))


@dataclass(frozen=True, kw_only=True)
class _Policy:
    """The parameters of ``retry`` after checking."""

    exc_classes: tuple[type[Exception], ...] = field(metadata=by(_exceptions))
    logger: Logger | None = field(metadata=by(optional(_logger)))
    retry_log_level: int = field(metadata=by(options.check_level))
    retry_log_message: str = field(metadata=by(_MESSAGE))
    max_failures: int | None = field(metadata=by(optional(options.check_count)))
    interval: Callable[[int], float] = field(metadata=by(_interval))
    max_failure_log_level: int = field(metadata=by(options.check_level))
    max_failure_log_message: str = field(metadata=by(_MESSAGE))
    deadline: float | None = field(metadata=by(optional(_ABOVE_0)))
    budget: RetryBudget | None = field(metadata=by(optional(_budget)))
    retry_if: Callable[[Any], object] | None = field(metadata=by(optional(options.check_callable)))
    on_retry: Callable[[Any, int], object] | None = field(
        metadata=by(optional(options.check_callable))
    )


class _Attempts(Generic[P, R]):
    """The attempts at one call: how many failed, and whether there is to be another."""

    __slots__ = ("_f", "_failures", "_policy", "_until")

    def __init__(self, policy: _Policy, f: Callable[P, R]) -> None:
        self._policy = policy
        self._f = f
        self._failures = 0
        self._until = None if policy.deadline is None else clock.now() + policy.deadline
        if policy.budget is not None:
            policy.budget.deposit()

    def pause_after(self, exc: Exception) -> float | None:
        """Seconds to pause before the next attempt; ``None`` when there is to be none."""
        policy = self._policy
        if policy.retry_if is not None and not policy.retry_if(exc):
            return None
        self._failures += 1
        seconds = self._granted()
        if seconds is not None:
            self._log(policy.retry_log_level, policy.retry_log_message, exc)
            if policy.on_retry is not None:
                policy.on_retry(exc, self._failures)
            # Asked again: on_retry may have taken its time.
            if self._in_time(seconds):
                return seconds
        self._log(policy.max_failure_log_level, policy.max_failure_log_message, exc)
        return None

    def _granted(self) -> float | None:
        policy = self._policy
        if policy.max_failures is not None and self._failures > policy.max_failures:
            return None
        seconds = policy.interval(self._failures)
        if not self._in_time(seconds):
            return None
        # Asked last: what is granted is spent.
        if policy.budget is not None and not policy.budget.withdraw():
            return None
        return seconds

    def _in_time(self, seconds: float) -> bool:
        return self._until is None or clock.now() + seconds <= self._until

    def _log(self, level: int, message: str, exc: Exception) -> None:
        if self._policy.logger is None:
            return
        try:
            self._policy.logger.log(level, message.format(f=_name_of(self._f), e=exc))
        except Exception:
            # Logging that fails must neither end the attempts nor hide why they were made.
            pass

    def run(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Try, and pause, until it succeeds or there is to be no further attempt."""
        while True:
            try:
                return self._f(*args, **kwargs)
            except self._policy.exc_classes as exc:
                pause = self.pause_after(exc)
                if pause is None:
                    raise
            # Nothing of the failure is alive any more: no frame, no connection held by one.
            sleep(pause)


def _bare(f: Callable[P, R], policy: _Policy) -> Callable[P, R]:
    """*f*, retried; a call that succeeds costs no more than the ``try``."""
    classes = policy.exc_classes

    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return f(*args, **kwargs)
        except classes as exc:
            attempts = _Attempts(policy, f)
            pause = attempts.pause_after(exc)
            if pause is None:
                raise
        sleep(pause)
        return attempts.run(*args, **kwargs)

    return wrapper


def _watched(f: Callable[P, R], policy: _Policy) -> Callable[P, R]:
    """*f*, retried, with each call counted and timed from its beginning."""

    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return _Attempts(policy, f).run(*args, **kwargs)

    return wrapper


def _decorate(f: Callable[P, R], policy: _Policy) -> Callable[P, R]:
    _check_function(f)
    plain = policy.deadline is None and policy.budget is None
    wrapper = _bare(f, policy) if plain else _watched(f, policy)
    # What a callable object remembers is not to be copied onto a function.
    updated = functools.WRAPPER_UPDATES if inspect.isroutine(f) else ()
    functools.update_wrapper(wrapper, f, updated=updated)
    if not hasattr(f, "__name__"):
        wrapper.__name__ = wrapper.__qualname__ = _name_of(f)
    return wrapper


@overload
def retry(
    f: Callable[P, R],
    exc_classes: Classes = ...,
    logger: Logger | None = ...,
    retry_log_level: int | str = ...,
    retry_log_message: str = ...,
    max_failures: int | None = ...,
    interval: Interval = ...,
    max_failure_log_level: int | str = ...,
    max_failure_log_message: str = ...,
    *,
    deadline: float | None = ...,
    budget: RetryBudget | None = ...,
    retry_if: Callable[[Any], object] | None = ...,
    on_retry: Callable[[Any, int], object] | None = ...,
) -> Callable[P, R]: ...


@overload
def retry(
    *,
    exc_classes: Classes = ...,
    logger: Logger | None = ...,
    retry_log_level: int | str = ...,
    retry_log_message: str = ...,
    max_failures: int | None = ...,
    interval: Interval = ...,
    max_failure_log_level: int | str = ...,
    max_failure_log_message: str = ...,
    deadline: float | None = ...,
    budget: RetryBudget | None = ...,
    retry_if: Callable[[Any], object] | None = ...,
    on_retry: Callable[[Any, int], object] | None = ...,
) -> Decorator: ...


def retry(
    f: Any = options.NOT_GIVEN,
    exc_classes: Classes = (OSError,),
    logger: Logger | None = None,
    retry_log_level: int | str = logging.INFO,
    retry_log_message: str = _RETRY_MESSAGE,
    max_failures: int | None = None,
    interval: Interval = 0,
    max_failure_log_level: int | str = logging.ERROR,
    max_failure_log_message: str = _GIVE_UP_MESSAGE,
    *,
    deadline: float | None = None,
    budget: RetryBudget | None = None,
    retry_if: Callable[[Any], object] | None = None,
    on_retry: Callable[[Any, int], object] | None = None,
) -> Any:
    """*f*, called again as long as it raises one of *exc_classes*.

    Use it bare (``@retry``), with arguments (``@retry(max_failures=5)``), as a function
    (``retry(f, max_failures=5)``) or through ``functools.partial``. All of *f* is done
    again, so it should be something that may be done twice; nested retries multiply.
    What ends the attempts is raised as it was raised. Interruptions (``GreenletExit``,
    ``gevent.Timeout``, whatever is no ``Exception``) always pass straight through.

    :param exc_classes: one class or an iterable
    :param logger: gets a message for each retry and one on giving up, which may use
        ``{f}``, the name of the function, and ``{e}``, the exception with its whole text.
        A logger that fails changes nothing
    :param max_failures: so many failures are followed by a retry; ``None``: all
    :param interval: the pause in seconds, a :class:`Backoff`, or a callable that gets the
        number of failures so far (1, 2, 3, ...). 0 still lets other greenlets run
    :param deadline: seconds for all attempts together, from the call on. A pause that
        would end later is not begun; an attempt under way is not cut short
    :param budget: a :class:`RetryBudget`; without credit there is no retry
    :param retry_if: ``f(exception)``; when false, the exception is raised at once
    :param on_retry: ``f(exception, failures)``, called before each pause. What it raises,
        or *retry_if* or *interval*, ends the attempts; the failure is its ``__context__``
    :raises TypeError: also for generator and coroutine functions, which return before
        they have done anything

    .. versionchanged:: 1.0
       Takes arguments as a decorator; has *deadline*, *budget*, *retry_if*, *on_retry*.
    """
    given = dict(locals())
    del given["f"]
    policy = _Policy(**options.checked_fields(_Policy, given))
    if f is not options.NOT_GIVEN:
        return _decorate(f, policy)
    return lambda f: _decorate(f, policy)
