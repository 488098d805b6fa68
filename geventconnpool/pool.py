"""The public door: `ConnectionPool`, to be subclassed. Also the home of ``retry`` since 0.2.1."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Literal, NoReturn, TypeVar

from geventconnpool import clock, forks
from geventconnpool.backoff import Backoff
from geventconnpool.core.calm import Calm
from geventconnpool.core.condition import Features, Phase
from geventconnpool.core.slot import ACTIVE, IDLE, TAKEN
from geventconnpool.engine import Engine
from geventconnpool.errors import PoolError
from geventconnpool.events import CloseReason, Event
from geventconnpool.lease import Lease
from geventconnpool.maintenance.watching import own_fileno
from geventconnpool.options import NOT_GIVEN, NotGiven, PoolOptions, check_timeout
from geventconnpool.reports import refusal_error, snapshot
from geventconnpool.retries import retry
from geventconnpool.stats import PoolStats

__all__ = ["ConnectionPool", "retry"]

C = TypeVar("C")
P = TypeVar("P", bound="ConnectionPool[Any]")
T = TypeVar("T")

_numbers = itertools.count(1)
_SAME_PROCESS = forks.SAME_PROCESS


class _Missing:
    """Stands where ``__init__`` puts the internals, to say that it was not called."""

    def __get__(self, pool: object, owner: type | None = None) -> _Missing:
        if pool is None:
            return self
        name = type(pool).__name__
        raise PoolError(f"{name}.__init__ did not call super().__init__() (or not yet)")


class _Readable(Generic[T]):
    """An attribute that can be read, and that a subclass may use for something of its own."""

    def __init__(self, read: Callable[[Any], T]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    def __get__(self, pool: Any, owner: type | None = None) -> T:
        return self._read(pool) if pool is not None else self  # type: ignore[return-value]


class ConnectionPool(Generic[C]):
    """Keeps connections open and lends them out, one holder at a time.

    Subclass it and override `_new_connection` (or give *connect*). Greenlets of the pool
    fill it ahead of need, replace broken connections in the background and ping idle ones.
    The constructor opens nothing and switches to nobody; the pool begins at the first turn
    of the loop.

    :param size: the most connections that exist at once, as the peer counts them.
    :param exc_classes: leaving the block with one of these means the connection is broken.
    :param keepalive: seconds without a sign of life after which an idle connection is pinged.
    :raises ValueError, TypeError: an option is wrong; the text names it and its value.

    The other options are keyword-only; the reference of options describes them all.

    .. versionadded:: 1.0
    """

    _geventconnpool: Engine = _Missing()  # type: ignore[assignment]
    _geventconnpool_calm: Calm
    """What a checkout looks at first, one attribute away. The engine sets it."""

    def __init__(
        self,
        size: int,
        exc_classes: type[BaseException] | Iterable[type[BaseException]] = (OSError,),
        keepalive: float | None = None,
        *,
        min_size: int | None = None,
        connect: Callable[[], C | None] | None = None,
        name: str | None = None,
        timeout: float | None = 30.0,
        max_waiting: int | None = None,
        max_connecting: int = 32,
        connect_timeout: float = 10.0,
        keepalive_timeout: float = 5.0,
        close_timeout: float = 5.0,
        idle_timeout: float | None = None,
        max_lifetime: float | None = None,
        check_after: float | None = None,
        order: Literal["lifo", "fifo"] = "lifo",
        watch_idle: bool | Literal["closed"] = True,
        backoff: Backoff | None = None,
        fail_fast_after: float | None = None,
        fatal_exc_classes: type[BaseException] | Iterable[type[BaseException]] = (),
        is_broken: Callable[[C, BaseException], bool] | None = None,
        leak_threshold: float | None = None,
        listeners: Iterable[Callable[[Event], object]] = (),
        start: bool = True,
    ) -> None:
        checked = PoolOptions.checked(
            size,
            exc_classes,
            keepalive,
            min_size=min_size,
            connect=connect,
            name=name,
            timeout=timeout,
            max_waiting=max_waiting,
            max_connecting=max_connecting,
            connect_timeout=connect_timeout,
            keepalive_timeout=keepalive_timeout,
            close_timeout=close_timeout,
            idle_timeout=idle_timeout,
            max_lifetime=max_lifetime,
            check_after=check_after,
            order=order,
            watch_idle=watch_idle,
            backoff=backoff,
            fail_fast_after=fail_fast_after,
            fatal_exc_classes=fatal_exc_classes,
            is_broken=is_broken,
            leak_threshold=leak_threshold,
            listeners=listeners,
            start=start,
        )
        if checked.name is None:
            checked = dataclasses.replace(checked, name=f"pool-{next(_numbers)}")
        can_ping = _is_overridden(self, "_keepalive")
        if checked.keepalive is not None and not can_ping:
            kind = type(self).__name__
            raise TypeError(f"keepalive={checked.keepalive:g} needs {kind}._keepalive")
        if checked.useless_idle_timeout:
            message = "idle_timeout does nothing as long as min_size is size"
            warnings.warn(message, stacklevel=2)
        features = Features(
            ping=can_ping or _is_overridden(self, "_check_connection"),
            reset=_is_overridden(self, "_reset_connection"),
        )
        ping_hook = "_keepalive" if can_ping else "_check_connection"
        self._geventconnpool = Engine(self, checked, features, ping_hook)
        if checked.start:
            self._geventconnpool.begin_soon()

    # -- what a subclass overrides

    def _new_connection(self) -> C:
        """Open a connection and return it, logged in and ready.

        May block and may raise anything: the pool goes on trying. ``None`` means "not now".
        Bounded by ``connect_timeout``.
        """
        raise NotImplementedError(f"{type(self).__name__} does not override _new_connection")

    def _keepalive(self, c: C) -> None:
        """Ping *c*; whatever this raises means that it is broken."""
        raise NotImplementedError(f"{type(self).__name__} does not override _keepalive")

    def _check_connection(self, c: C) -> None:
        """Raise unless *c* can be handed out. Pings where `_keepalive` is overridden."""
        if _is_overridden(self, "_keepalive"):
            self._keepalive(c)
        elif self._geventconnpool.has_fault(c):
            raise ConnectionError("the connection can be seen to be closed")

    def _reset_connection(self, c: C) -> None:
        """Make *c* as new for its next user; whatever this raises means that it is broken."""

    def _close_connection(self, c: C, reason: CloseReason) -> None:
        """Say goodbye where ``reason.healthy``, and close *c*. Bounded by ``close_timeout``."""
        close = getattr(c, "close", None)
        if close is not None:
            close()

    def _fileno(self, c: C) -> int:
        """The file descriptor to watch; whatever this raises means that there is none."""
        return own_fileno(c)  # type: ignore[no-any-return]

    # -- taking and bringing back

    def get(self, timeout: float | NotGiven | None = NOT_GIVEN) -> Lease[C]:
        """Take a connection, for one ``with`` block; ``as`` gives the connection itself.

        :param timeout: seconds to wait; ``None`` is for ever, ``0`` not at all; the pool's
            own by default. Only waiting switches greenlets.
        :raises PoolTimeout: none came free in time.
        :raises PoolClosed, PoolPaused, PoolUnavailable, TooManyWaiters, WrongHub: at once.
        """
        try:
            calm = self._geventconnpool_calm
        except AttributeError:
            calm = self._geventconnpool.calm  # which says what is missing
        if not (_SAME_PROCESS and calm.owner._is_owned()):
            engine = self._geventconnpool
            engine.here()  # in a child everything is another one after that
            return engine.desk.acquire(timeout)  # type: ignore[return-value]
        shelf = calm.shelf
        if timeout is NOT_GIVEN and shelf:
            # A calm day: nobody waits, nothing special is asked for. `desk` is careful.
            slot = shelf.pop()
            if slot.state is IDLE:
                slot.state = TAKEN
                slot.since = calm.now  # type: ignore[assignment]
                slot.uses += 1
                return slot  # type: ignore[return-value]
            self._geventconnpool.state.books.exorcise(slot)
        return calm.careful(timeout)  # type: ignore[no-any-return]

    def acquire(self, blocking: bool = True, timeout: float | NotGiven | None = NOT_GIVEN) -> C:
        """Take a connection; bring it back with `release`. Errors and waiting as in `get`."""
        if not isinstance(blocking, bool):
            raise TypeError(f"blocking must be a bool ({blocking!r})")
        if not blocking:
            if timeout is not NOT_GIVEN:
                raise ValueError(f"timeout must not be given with blocking=False ({timeout!r})")
            timeout = 0.0
        engine = self._geventconnpool
        engine.here()
        slot = engine.desk.acquire(timeout)
        try:
            slot.by_hand = True
            if slot.state is TAKEN:  # else a listener has drained it meanwhile
                slot.state = ACTIVE
            return slot.connection  # type: ignore[no-any-return]
        except BaseException:  # Ctrl-C: it never arrives
            engine.desk.broken_off(slot)
            raise

    def release(self, c: C, discard: bool = False) -> None:
        """Bring *c* back; with *discard* it is closed and replaced. Switches to nobody.

        :raises PoolError: *c* is not out, or not of this pool; nothing has changed.
        """
        try:
            if not isinstance(discard, bool):
                raise TypeError(f"discard must be a bool ({discard!r})")
            self._geventconnpool.desk.release(c, discard)
        except (PoolError, TypeError):
            raise
        except BaseException:
            self._geventconnpool.desk.broken_off_by_hand(c)
            raise

    def discard(self, c: C) -> None:
        """Have *c* closed and replaced when it comes back. Switches to nobody.

        :raises PoolError: *c* is not out, or not of this pool; nothing has changed.
        """
        self._geventconnpool.desk.discard(c)

    def detach(self, c: C) -> None:
        """Take *c* out of the pool for good, open; the pool opens another one.

        :raises PoolError: *c* is not out, or not of this pool; nothing has changed.
        """
        try:
            self._geventconnpool.desk.detach(c)
        except PoolError:
            raise
        except BaseException:
            self._geventconnpool.desk.broken_off_by_hand(c)
            raise

    # -- life

    def open(self) -> None:
        """Begin to fill and to serve; harmless on a pool that did.

        :raises PoolClosed: it was closed, which is for good.
        """
        engine = self._geventconnpool
        if engine.state.phase is Phase.CLOSED:
            raise refusal_error(engine.state, "closed", 0.0, clock.now())
        engine.open_here()

    def wait_ready(self, timeout: float | NotGiven | None = NOT_GIVEN) -> None:
        """Wait until ``min_size`` connections are open, and at least one.

        :param timeout: seconds; the pool's own by default.
        :raises PoolTimeout: it took longer; ``__cause__`` is the last connect error.
        :raises PoolPaused, PoolClosed: it cannot come true.
        """
        self._geventconnpool.control.wait_ready(timeout)

    def close(self, timeout: float | None = 5.0) -> bool:
        """Close for good: fail every waiter, close what is idle, wait for what is out.

        May be called any number of times and from anywhere; where waiting is impossible
        it acts as with ``timeout=0``.

        :param timeout: seconds to wait for connections that are out and goodbyes under way.
        :returns: whether nothing is left out or closing.
        """
        return self._geventconnpool.control.close(check_timeout(timeout))

    def __enter__(self: P) -> P:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        interrupted = error is not None and not isinstance(error, Exception)
        self.close(0 if interrupted else 5.0)

    def drain(self, interrupt: bool = False) -> None:
        """Replace every connection: idle ones now, the others as they come back.

        :param interrupt: close the active ones under their users, too.
        """
        self._geventconnpool.control.drain(interrupt)

    def pause(self, interrupt: bool = False) -> None:
        """Serve nobody and open nothing until `resume`; idle connections stay.

        :param interrupt: give up the connects under way, too.
        """
        self._geventconnpool.control.pause(interrupt)

    def resume(self) -> None:
        """Serve and fill again after `pause`."""
        self._geventconnpool.control.resume()

    def check(self) -> int:
        """Ping every idle connection now; waits. Returns how many failed."""
        return self._geventconnpool.control.check()

    def resize(self, size: int, min_size: int | NotGiven = NOT_GIVEN) -> None:
        """Grow or shrink. After a shrink the limit holds once enough have come back.

        :param min_size: if omitted it follows *size* where it was never given, else it is
            cut to fit.
        """
        self._geventconnpool.control.resize(size, min_size)

    # -- looking

    @_Readable
    def name(self) -> str:
        """The name in logs, errors and metrics."""
        return self._geventconnpool.state.name

    @_Readable
    def size(self) -> int:
        """The most connections that exist at once."""
        return self._geventconnpool.state.size

    @_Readable
    def min_size(self) -> int:
        """So many are kept open all the time."""
        return self._geventconnpool.state.min_size

    @_Readable
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._geventconnpool.state.phase is Phase.CLOSED

    def stats(self) -> PoolStats:
        """What the pool looks like at this moment. May be called from any thread."""
        return snapshot(self._geventconnpool.state)

    def __repr__(self) -> str:
        state = self._geventconnpool.state
        return f"<{type(self).__name__} {state.name!r}: {snapshot(state)}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied")

    __copy__ = __reduce__ = lambda self: self.__reduce_ex__(0)

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__reduce_ex__(0)

    def __del__(self) -> None:
        engine = self.__dict__.get("_geventconnpool")
        if engine is not None:
            engine.orphaned(self)


def _is_overridden(pool: ConnectionPool[Any], name: str) -> bool:
    """Whether *pool* has a hook *name* of its own."""
    return getattr(getattr(pool, name), "__func__", None) is not getattr(ConnectionPool, name)
