"""Tells listeners and the log what has happened, at moments when the pool is consistent."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from gevent import getcurrent

from geventconnpool.errors import describe
from geventconnpool.events import Event

__all__ = ["Herald", "log"]

log = logging.getLogger("geventconnpool")
log.addHandler(logging.NullHandler())


class Herald:
    """One event after the other, to every listener, in the order in which things happened."""

    def __init__(
        self,
        name: str,
        journal: deque[Event] | None,
        listeners: tuple[Callable[[Event], Any], ...],
    ) -> None:
        self._name = name
        self._journal = journal
        self._listeners = listeners
        self._sayings: deque[tuple[int, str, tuple[object, ...]]] = deque()
        self.speaker: Any = None
        """The greenlet that is telling listeners something."""

    def say(self, level: int, message: str, *args: object) -> None:
        """Log *message* at the next call of `speak`."""
        self._sayings.append((level, f"pool %s: {message}", (self._name, *args)))

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing to tell."""
        return not self._journal and not self._sayings

    @property
    def is_stuck(self) -> bool:
        """Whether the one who speaks does not: Ctrl-C has met him as he began, or ended."""
        if self.speaker is None:
            return False
        frame = self.speaker.gr_frame
        while frame is not None:
            if frame.f_code is Herald.speak.__code__ and frame.f_locals["self"] is self:
                return False
            frame = frame.f_back
        return True

    def speak(self) -> None:
        """Tell everything. What listeners cause is told after what they were told."""
        if self.speaker is not None:
            return  # the one who speaks goes on until nothing is left
        self.speaker = getcurrent()
        escaped: BaseException | None = None
        try:
            while not self.is_silent:
                escaped = self._tell_one() or escaped
        finally:
            self.speaker = None
        if escaped is not None:
            raise escaped

    def _tell_one(self) -> BaseException | None:
        escaped = None
        if self._journal:
            event = self._journal.popleft()
            for listener in self._listeners:
                escaped = self._contain(listener, event) or escaped
        else:
            level, message, args = self._sayings.popleft()
            escaped = self._contain(log.log, level, message, *args)
        return escaped

    def _contain(self, speak: Callable[..., Any], *args: Any) -> BaseException | None:
        """Call *speak*; returns what must not be held back: Ctrl-C and the like."""
        try:
            speak(*args)
        except (KeyboardInterrupt, SystemExit) as error:
            return error
        except BaseException as error:
            if speak != log.log:
                self.say(logging.ERROR, "a listener failed (%s)", describe(error))
            elif not isinstance(error, Exception):
                return error  # a kill or timeout met whoever logs while a handler waited
            # else a logger that fails has nobody to complain to
        return None
