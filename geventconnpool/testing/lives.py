"""In which order events may come: a listener that knows the life of connections and acquires."""

from __future__ import annotations

from geventconnpool.events import Event

__all__ = ["EventOrder"]

_AFTER = {
    "connection_ready": {"created"},
    "connect_failed": {"created"},
    "connection_acquired": {"ready"},
    "connection_released": {"out"},
    "connection_pinged": {"ready"},
    "connection_closed": {"created", "ready", "out", "failed"},
}
"""What a connection must be when an event tells of it."""

_BECOMES = {
    "connection_ready": "ready",
    "connect_failed": "failed",
    "connection_acquired": "out",
    "connection_released": "ready",
}


class EventOrder:
    """Follows every connection through its events and notes what is out of order.

    .. versionadded:: 1.0
    """

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self.acquires = 0
        """How many have begun and not ended."""
        self._lives: dict[int, str] = {}
        self._newest = 0

    def __call__(self, event: Event) -> None:
        if event.kind == "acquire_started":
            self.acquires += 1
        elif event.kind in ("acquire_failed", "connection_acquired"):
            self.acquires -= 1
            if self.acquires < 0:
                self.mistakes.append(f"{event.kind}, and nobody had asked")
        if event.connection_id is not None:
            self._follow(event, event.connection_id)

    def _follow(self, event: Event, number: int) -> None:
        if event.kind == "connection_created":
            if number != self._newest + 1:
                self.mistakes.append(f"connection {number} follows connection {self._newest}")
            self._newest = number
            self._lives[number] = "created"
            return
        life = self._lives.get(number, "closed")
        if event.kind == "connection_acquired" and life == "closed":
            return  # drained on its way to the caller, who is told of it all the same
        if event.kind == "connection_released" and life == "closed":
            return  # taken from its user before
        if event.kind in _AFTER and life not in _AFTER[event.kind]:
            self.mistakes.append(f"{event.kind}, but connection {number} is {life}")
        if event.kind == "connection_closed":
            self._lives.pop(number, None)
        elif event.kind in _BECOMES:
            self._lives[number] = _BECOMES[event.kind]

    def unfinished(self) -> list[str]:
        """What had no end, once the pool is closed."""
        lives = [f"connection {number} is told {life}" for number, life in self._lives.items()]
        return lives + ([f"{self.acquires} acquires had no end"] if self.acquires else [])
