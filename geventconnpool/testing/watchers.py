"""What an event loop hands out: callbacks to run soon and watchers. Nothing here runs anything.

A watcher of the simulated loop never fires by itself, timers and idle watchers excepted:
whoever writes the test fires it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

    from geventconnpool.testing.schedule import Schedule

__all__ = [
    "AsyncWatcher",
    "Callback",
    "ChildWatcher",
    "IdleWatcher",
    "IoWatcher",
    "Shot",
    "Watcher",
]

Function = Callable[..., object]


class Callback:
    """A call that the loop is to make. True while it is pending or running."""

    __slots__ = ("args", "callback", "serial")

    def __init__(self, callback: Function, args: tuple[Any, ...], serial: int) -> None:
        self.callback: Function | None = callback
        self.args: tuple[Any, ...] | None = args
        self.serial = serial
        """The how-manieth call that was scheduled."""

    def stop(self) -> None:
        """Do not make the call."""
        self.callback = None
        self.args = None

    close = stop

    def finish(self) -> None:
        """Called by the loop when the call has returned."""
        self.args = None

    @property
    def pending(self) -> bool:
        """Whether the call is still to be made."""
        return self.callback is not None

    def __bool__(self) -> bool:
        # gevent's notifiers ask this to learn whether they must schedule another one.
        return self.args is not None

    def __repr__(self) -> str:
        state = "pending" if self.pending else "running" if self else "stopped"
        return f"<{type(self).__name__} {self.serial} {state} {self.callback!r}>"


class Shot(Callback):
    """One firing of a watcher."""

    __slots__ = ("watcher",)

    def __init__(self, watcher: Watcher, args: tuple[Any, ...], serial: int) -> None:
        assert watcher.callback is not None
        super().__init__(watcher.callback, args, serial)
        self.watcher = watcher

    def finish(self) -> None:
        self.args = None
        self.watcher.fired(self)


class Watcher:
    """A watcher of any kind that has no better class: prepare, check, fork, signal, stat."""

    __slots__ = (
        "_active",
        "_closed",
        "_priority",
        "_ref",
        "_shot",
        "args",
        "callback",
        "kind",
        "loop",
    )

    def __init__(
        self, loop: Schedule, kind: str, ref: bool = True, priority: int | None = None
    ) -> None:
        self.loop = loop
        self.kind = kind
        self.callback: Function | None = None
        self.args: tuple[Any, ...] | None = None
        self._ref = bool(ref)
        self._priority = priority or 0
        self._active = False
        self._closed = False
        self._shot: Shot | None = None

    def start(self, callback: Function, *args: Any, **options: Any) -> None:
        """Call *callback* when it happens. One that is active only gets the new callback."""
        self._engage(callback, args)
        if not self._active:
            self._drop_shot()
            self._activate()

    def stop(self) -> None:
        """Forget the callback; one that is already due is not called either."""
        self._drop_shot()
        if self._active:
            self._deactivate()
        self.callback = None
        self.args = None

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self._closed = True

    def fire(self, *front: Any) -> bool:
        """Let it happen: the callback runs soon, with *front* before its own arguments.

        Return whether anybody will hear of it. Firing twice before the loop turns counts once.
        """
        if not self._active:
            return False
        if not self.pending:
            self._shot = self.loop.shoot(self, front + (self.args or ()))
        return True

    def fired(self, shot: Shot) -> None:
        """Called by the loop after the callback."""
        if self._shot is shot:
            self._shot = None
            if not self._active:
                self.callback = None
                self.args = None

    @property
    def active(self) -> bool:
        """Whether it waits for something to happen."""
        return self._active

    @property
    def pending(self) -> bool:
        """Whether it happened, and the callback is still to run."""
        return self._shot is not None and self._shot.pending

    @property
    def ref(self) -> bool:
        """Whether it keeps the loop alive. Only for timers does this mean anything here."""
        return self._ref

    @ref.setter
    def ref(self, value: bool) -> None:
        self._ref = bool(value)

    @property
    def priority(self) -> int:
        """Of those that are due together, the higher goes first."""
        return self._priority

    @priority.setter
    def priority(self, value: int) -> None:
        if self._active:
            raise AttributeError("Cannot set priority of an active watcher")
        self._priority = value

    def _engage(self, callback: Function, args: tuple[Any, ...]) -> None:
        if not callable(callback):
            raise TypeError(f"Expected callable, not {callback!r}")
        if self._closed:
            # gevent's C loop lets this pass, its others crash.
            raise ValueError(f"start() of a closed {self.kind} watcher")
        self.callback = callback
        self.args = args

    def _activate(self) -> None:
        self._active = True
        self.loop.watchers[self] = None

    def _deactivate(self) -> None:
        self._active = False
        self.loop.watchers.pop(self, None)

    def _drop_shot(self) -> None:
        if self._shot is not None:
            self._shot.stop()
            self._shot = None

    def _details(self) -> str:
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "pending" if self.pending else "active" if self._active else "stopped"
        ref = "" if self._ref else " ref=False"
        return f"<{self.kind} watcher{self._details()} {state}{ref} {self.callback!r}>"


class IoWatcher(Watcher):
    """Waits until a descriptor is ready, which only :meth:`SimulatedLoop.fire_io` brings about."""

    __slots__ = ("_pass_events", "events", "fd")

    EVENT_MASK = 3

    def __init__(
        self,
        loop: Schedule,
        fd: int,
        events: int,
        ref: bool = True,
        priority: int | None = None,
    ) -> None:
        if fd < 0:
            raise ValueError(f"fd must be non-negative: {fd!r}")
        if events & ~self.EVENT_MASK:
            raise ValueError(f"illegal event mask: {events!r}")
        super().__init__(loop, "io", ref, priority)
        self.fd = fd
        self.events = events
        self._pass_events = False

    def start(self, callback: Function, *args: Any, pass_events: bool = False) -> None:
        """Call *callback*; with *pass_events*, what the descriptor is ready for goes first."""
        super().start(callback, *args)
        self._pass_events = pass_events

    def ready(self, events: int) -> bool:
        """Let the descriptor be ready for *events*; return whether anybody waits for that."""
        hits = events & self.events
        if not hits:
            return False
        return self.fire(hits) if self._pass_events else self.fire()

    def _details(self) -> str:
        return f" fd={self.fd} events={self.events}"


class IdleWatcher(Watcher):
    """Fires when nothing else can run at the present moment. :func:`gevent.idle` waits for it."""

    __slots__ = ()

    def _activate(self) -> None:
        self._active = True
        self.loop.idlers[self] = None

    def _deactivate(self) -> None:
        self._active = False
        self.loop.idlers.pop(self, None)


class AsyncWatcher(Watcher):
    """Fires when it is sent for."""

    __slots__ = ()

    def send(self) -> None:
        """Let the callback run soon."""
        self.fire()

    def send_ignoring_arg(self, _ignored: object = None) -> None:
        """The same, as a link that gets an argument."""
        self.fire()


class ChildWatcher(Watcher):
    """Waits for a child process, for ever."""

    __slots__ = ("pid", "rpid", "rstatus")

    def __init__(self, loop: Schedule, pid: int, ref: bool = True) -> None:
        super().__init__(loop, "child", ref)
        self.pid = pid
        self.rpid: int | None = None
        self.rstatus = 0
