"""The least that anything of its kind can cost. No checks, no times, not safe against kills."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

import gevent
from gevent import get_hub, getcurrent

__all__ = [
    "BareLine",
    "CheckoutPool",
    "GeneratorPool",
    "RecordPool",
    "guarded",
    "parked",
    "turns",
]


# --- checkout and return -----------------------------------------------------------------


class Record:
    """A connection that is its own context manager, made once and used again."""

    __slots__ = ("connection", "idle")

    def __init__(self, idle: deque[Any]) -> None:
        self.connection = object()
        self.idle = idle

    def __enter__(self) -> object:
        return self.connection

    def __exit__(self, *exc: object) -> None:
        self.idle.append(self)


class RecordPool:
    """The floor of a checkout: a deque of reused records."""

    def __init__(self, size: int) -> None:
        self.idle: deque[Record] = deque()
        self.idle.extend(Record(self.idle) for _ in range(size))

    def get(self, timeout: float | None = None) -> Record:
        return self.idle.pop()


class Checkout:
    """A context manager for one block."""

    __slots__ = ("connection", "idle")

    def __init__(self, idle: deque[Any]) -> None:
        self.idle = idle

    def __enter__(self) -> object:
        self.connection = self.idle.pop()
        return self.connection

    def __exit__(self, *exc: object) -> None:
        self.idle.append(self.connection)


class CheckoutPool:
    """A deque, and a new object for each checkout."""

    def __init__(self, size: int) -> None:
        self.idle: deque[object] = deque(object() for _ in range(size))

    def get(self, timeout: float | None = None) -> Checkout:
        return Checkout(self.idle)


class GeneratorPool:
    """A deque, and a generator for each checkout."""

    def __init__(self, size: int) -> None:
        self.idle: deque[object] = deque(object() for _ in range(size))

    @contextlib.contextmanager
    def get(self, timeout: float | None = None) -> Generator[object, None, None]:
        connection = self.idle.pop()
        try:
            yield connection
        finally:
            self.idle.append(connection)


# --- waiting -----------------------------------------------------------------------------


class BareRecord:
    """A reused record that goes to whoever has waited longest."""

    __slots__ = ("connection", "line")

    def __init__(self, line: BareLine) -> None:
        self.connection = object()
        self.line = line

    def __enter__(self) -> object:
        return self.connection

    def __exit__(self, *exc: object) -> None:
        line = self.line
        if line.waiting:
            line.run_callback(line.waiting.popleft(), self)
        else:
            line.idle.append(self)


class BareLine:
    """The floor of a blocked checkout: first come, first served, through the hub.

    Whoever is killed while waiting takes a connection with him, and nobody times out.
    """

    def __init__(self, size: int) -> None:
        self.hub = get_hub()
        self.run_callback = self.hub.loop.run_callback
        self.idle: deque[BareRecord] = deque(BareRecord(self) for _ in range(size))
        self.waiting: deque[Callable[[BareRecord], None]] = deque()

    def get(self, timeout: float | None = None) -> Any:
        if self.idle:
            return self.idle.pop()
        self.waiting.append(getcurrent().switch)
        return self.hub.switch()


def turns(count: int) -> float:
    """CPU seconds for *count* turns of the loop, by one greenlet alone."""
    began = time.thread_time()
    for _ in range(count):
        gevent.sleep(0)
    return time.thread_time() - began


def parked(count: int) -> list[gevent.Greenlet[..., Any]]:
    """*count* greenlets that wait for nothing: what a waiter takes before any pool."""
    hub = get_hub()
    greenlets = [gevent.spawn(hub.switch) for _ in range(count)]
    gevent.sleep(0)
    return greenlets


# --- retry -------------------------------------------------------------------------------


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The floor of a retry decorator: *function* in a try/except that tries nothing again."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except OSError:
            raise

    return call
