"""What happened: one frozen record for everything a pool does, and why connections close."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["CloseReason", "Event"]


class CloseReason(str, enum.Enum):
    """Why a pool gave a connection up. Each compares equal to its name as a string.

    ``CloseReason.LOST`` and ``CloseReason.lost`` are the same member.

    .. versionadded:: 1.0
    """

    BROKEN = broken = "broken"
    """The block was left with an error that means so."""
    INTERRUPTED = interrupted = "interrupted"
    """The block was left by a kill, a timeout or another interruption."""
    DISCARDED = discarded = "discarded"
    """The user said so, or closed it."""
    LOST = lost = "lost"
    """The peer closed it, or spoke unasked, while nobody used it."""
    UNCHECKED = unchecked = "unchecked"
    """A check or ping failed."""
    RESET_FAILED = reset_failed = "reset_failed"
    CONNECT_FAILED = connect_failed = "connect_failed"
    IDLE = idle = "idle"
    """Idle for longer than ``idle_timeout``."""
    EXPIRED = expired = "expired"
    """Older than ``max_lifetime``."""
    DRAINED = drained = "drained"
    RESIZED = resized = "resized"
    CLOSED = closed = "closed"
    """The pool was closed."""
    DETACHED = detached = "detached"
    """Taken out of the pool by its user; it stays open."""

    @property
    def healthy(self) -> bool:
        """Whether the connection was fine, so that a polite goodbye makes sense."""
        return self in _HEALTHY

    def __str__(self) -> str:
        return self.value


_HEALTHY = frozenset(
    {
        CloseReason.IDLE,
        CloseReason.EXPIRED,
        CloseReason.DRAINED,
        CloseReason.RESIZED,
        CloseReason.CLOSED,
    }
)


@dataclass(frozen=True, init=False)
class Event:
    """One thing that happened in a pool. Fields that do not apply are ``None``.

    .. versionadded:: 1.0
    """

    kind: str
    pool: str
    """The name of the pool."""
    connection_id: int | None = None
    """1, 2, 3, ... within one pool, from the attempt to connect on."""
    reason: CloseReason | str | None = None
    seconds: float | None = None
    error: str | None = None
    """Type and errno of an exception, never its text, which may hold secrets."""
    stack: str | None = None
    interrupt: bool | None = None

    def __init__(
        self,
        kind: str,
        pool: str,
        connection_id: int | None = None,
        reason: CloseReason | str | None = None,
        seconds: float | None = None,
        error: str | None = None,
        stack: str | None = None,
        interrupt: bool | None = None,
    ) -> None:
        # What a frozen dataclass would generate calls object.__setattr__ for each field,
        # which takes three times as long; three events are made for a checkout.
        fields = self.__dict__
        fields["kind"] = kind
        fields["pool"] = pool
        fields["connection_id"] = connection_id
        fields["reason"] = reason
        fields["seconds"] = seconds
        fields["error"] = error
        fields["stack"] = stack
        fields["interrupt"] = interrupt
