"""What has been decided and is to be performed: a verb and its subject."""

from __future__ import annotations

import enum

__all__ = ["Order"]


class Order(enum.Enum):
    """Verbs for the performing side; the subject of each is named here."""

    CONNECT = "connect"
    """(slot) Open a connection for it."""
    ABANDON = "abandon"
    """(slot) Stop whatever its greenlet does; nobody wants the outcome."""
    PING = "ping"
    """(slot) Ping it, though nobody asked for it. These stand in a line of their own."""
    CHECK = "check"
    """(slot) Check it: somebody wants it, or left it in doubt."""
    RESET = "reset"
    """(slot) Make it as new for the next user."""
    CLOSE = "close"
    """(slot) Close its connection; the reason is the slot's fate."""
    INTERRUPT = "interrupt"
    """(slot) Shut its descriptor under its user, then close."""
    WAKE = "wake"
    """(waiter) Its waiting is over."""
    PAUSE = "pause"
    """(number of failures) Draw the pause before the next connect."""

    __hash__ = object.__hash__  # Enum's own is written in Python
