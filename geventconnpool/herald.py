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
        journal = self._journal
        try:
            while journal or self._sayings:
                if not journal:
                    escaped = self._log_one() or escaped
                    continue
                event = journal.popleft()
                for listener in self._listeners:
                    try:
                        listener(event)
                    except BaseException as error:
                        escaped = self._blame(error) or escaped
        finally:
            self.speaker = None
        if escaped is not None:
            raise escaped

    def _blame(self, error: BaseException) -> BaseException | None:
        """A listener has raised *error*; returned if it must not be held back."""
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return error
        self.say(logging.ERROR, "a listener failed (%s)", describe(error))
        return None

    def _log_one(self) -> BaseException | None:
        """Log the next saying; returns what must not be held back."""
        level, message, args = self._sayings.popleft()
        try:
            log.log(level, message, *args)
        except Exception:
            pass  # a logger that fails has nobody to complain to
        except BaseException as error:  # Ctrl-C; a kill or timeout while a handler waited
            return error
        return None
