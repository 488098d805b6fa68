"""The record of one connection. Its state is changed by one verb, which refuses illegal moves."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geventconnpool.events import CloseReason, Event

__all__ = [
    "ACTIVE",
    "CHECKING",
    "CLOSED",
    "CLOSING",
    "CONNECTING",
    "IDLE",
    "TAKEN",
    "Slot",
    "SlotState",
]


class SlotState(enum.Enum):
    """What a slot is doing. All but ``CLOSED`` take a place in the pool."""

    CONNECTING = "connecting"
    IDLE = "idle"
    TAKEN = "taken"
    """On the way into somebody's hands, where it must arrive soon; counts as active."""
    ACTIVE = "active"
    """In a caller's hands."""
    CHECKING = "checking"
    """Pinged, checked or reset by a greenlet of the pool."""
    CLOSING = "closing"
    """Given up, but the peer may still count it."""
    CLOSED = "closed"

    __hash__ = object.__hash__  # Enum's own is written in Python, and states are looked up a lot


# Plain module names: an attribute of an Enum class costs a look-up on every checkout.
CONNECTING = SlotState.CONNECTING
IDLE = SlotState.IDLE
TAKEN = SlotState.TAKEN
ACTIVE = SlotState.ACTIVE
CHECKING = SlotState.CHECKING
CLOSING = SlotState.CLOSING
CLOSED = SlotState.CLOSED

_LEGAL = {
    CONNECTING: {IDLE, TAKEN, CHECKING, CLOSING, CLOSED},
    IDLE: {TAKEN, CHECKING, CLOSING},
    TAKEN: {ACTIVE, IDLE, CHECKING, CLOSING, CLOSED},
    ACTIVE: {TAKEN, IDLE, CHECKING, CLOSING, CLOSED},
    CHECKING: {CHECKING, IDLE, TAKEN, CLOSING},
    CLOSING: {CLOSED},
    CLOSED: set(),
}


class Slot:
    """One place in the pool and the connection in it. Found by identity, never by equality."""

    __slots__ = (
        "aside",
        "by_hand",
        "connection",
        "descriptor",
        "fate",
        "ghost",
        "holder",
        "id",
        "job",
        "opened",
        "overdue",
        "owner",
        "plain",
        "proved",
        "proven",
        "retire_at",
        "since",
        "started",
        "state",
        "taken",
        "unreset",
        "uses",
    )

    def __init__(self, id: int, now: float) -> None:
        self.id = id
        self.state = CONNECTING
        self.connection: Any = None
        self.started = now
        """When the attempt to connect began."""
        self.opened = now
        """When the connection was ready."""
        self.since = now
        """When it was taken, while active; when it came back, while idle."""
        self.proved = now
        """When the peer was last known to be alive."""
        self.proven = False
        """Whether it has proved itself at all (a clean return, a ping, a second open)."""
        self.fate: CloseReason | None = None
        """Why it is to be closed when it comes back, if it is."""
        self.retire_at: float | None = None
        """When it has reached its ``max_lifetime``."""
        self.overdue = False
        """Past that, and serving on until it can be replaced."""
        self.plain = False
        """Whether a clean return needs no second thought."""
        self.ghost = False
        """Whether the shelf of idle slots holds a stale entry of it."""
        self.uses = 0
        self.by_hand = False
        """Whether it went out by `acquire`, not for a block."""
        self.unreset = False
        """It came back in doubt: reset it once it has passed its check."""
        self.aside = False
        """It came back in doubt, and goes to the cold end once it is reset."""

        self.taken: Event | None = None
        """What is told when it is got without waiting."""

        # What the performing side keeps here.
        self.job: Any = None
        self.holder: Any = None
        self.descriptor: Any = None
        self.owner: Any = None
        """Whose ``fileno()`` says whether its user has closed it."""

    def become(self, state: SlotState) -> None:
        """Move to *state*; a move that makes no sense is a bug and raises."""
        if state not in _LEGAL[self.state]:
            raise AssertionError(f"connection {self.id}: {self.state.value} -> {state.value}")
        self.state = state

    @property
    def is_out(self) -> bool:
        """Whether somebody has it, or is about to."""
        return self.state is ACTIVE or self.state is TAKEN

    @property
    def is_open(self) -> bool:
        """Whether there is a connection in it that can serve, now or soon."""
        return self.state in _OPEN

    def refresh_plain(self) -> None:
        """Work out ``plain`` anew, after anything that it depends on has changed."""
        can_be_asked = self.descriptor is None or self.owner is not None
        self.plain = self.proven and self.fate is None and not self.overdue and can_be_asked

    def succeed(self, other: Slot) -> None:
        """Become a record of *other*'s connection."""
        for name in Slot.__slots__:
            setattr(self, name, getattr(other, name))
        self.overdue = False  # to be found out, and queued, anew

    def let_go(self) -> None:
        """Know of no connection any more: records may outlive theirs for a while."""
        self.connection = self.owner = self.descriptor = self.job = self.holder = None

    def __repr__(self) -> str:
        return f"<Slot {self.id} {self.state.value}>"


_OPEN = frozenset({IDLE, TAKEN, ACTIVE, CHECKING})
