"""What a pool is like: everything that is known of it, and the questions that answers.

`state` has the verbs, which change it.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from geventconnpool.core.agenda import Agenda
from geventconnpool.core.books import Books
from geventconnpool.core.orders import Order
from geventconnpool.core.pacing import Pacer
from geventconnpool.core.slot import Slot
from geventconnpool.core.waiting import Line
from geventconnpool.events import CloseReason, Event
from geventconnpool.options import PoolOptions

__all__ = ["PROOF_SECONDS", "Condition", "Counters", "Features", "Phase", "tick_seconds"]

PROOF_SECONDS = 1.0
"""A connection open for this long has proved itself."""


class Phase(enum.Enum):
    """Where a pool is in its life."""

    NEW = "not open yet"
    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"


@dataclass(frozen=True)
class Features:
    """Which hooks of the pool do something."""

    ping: bool = False
    """It can ask the peer: `_keepalive` or `_check_connection` is overridden."""
    reset: bool = False


class Counters:
    """What happened so far, as far as the books do not know it."""

    def __init__(self) -> None:
        self.acquire_timeouts = 0
        self.acquire_errors = 0
        self.wait_seconds = 0.0
        self.use_seconds = 0.0
        self.connects = 0
        self.connect_errors = 0
        self.connect_seconds = 0.0
        self.closes = dict.fromkeys(CloseReason, 0)
        self.pings = 0
        self.ping_errors = 0
        self.leaks = 0
        self.repairs = 0


class Condition:
    """Everything that is known of one pool."""

    def __init__(
        self,
        options: PoolOptions,
        features: Features,
        now: float,
        new_slot: Callable[[int, float], Slot] = Slot,
    ) -> None:
        self.options = options
        self.features = features
        self.size = options.size
        self.min_size = options.min_size
        self.phase = Phase.NEW
        self.books = Books(options.order == "lifo", new_slot)
        self.calm = self.books.calm
        self.line = Line()
        self.pacer = Pacer(options.max_connecting)
        self.agenda = Agenda(now, tick_seconds(options))
        self.counters = Counters()
        self.unproven: set[Slot] = set()
        self.pinging: set[Slot] = set()
        self.pings: deque[Slot] = deque()
        """Those of them whose ping was ordered and has not begun."""
        self.orders: deque[tuple[Order, Any]] = deque()
        self.journal: deque[Event] | None = deque() if options.listeners else None
        """Events not told yet; None where nobody listens."""
        self.name = options.name or ""
        self.started = Event("acquire_started", self.name)
        self.now = now
        """A coarse clock: the time of the last tick."""
        self.is_simple = not (
            options.listeners
            or features.reset
            or options.check_after is not None
            or options.leak_threshold is not None
        )
        """Whether no option asks for a second look at every single checkout."""
        self.is_well = False
        """Whether the pool is simple and serves, and nothing speaks against waiting."""
        self.is_undisturbed = False
        """Whether what comes back in order may go on the shelf without a second thought."""
        self.passes_on = False
        """Whether it may even go to somebody who waits."""
        self.is_full = False
        """Whether there are as many slots as there may be."""
        self.was_shrunk = False
        """Whether connections beyond the size may still be out."""
        self.stirred = False
        """Whether anything has happened since the last tick."""
        self.ready_told = False
        self.ready_wanted = 0
        """How many wait for the pool to be ready; even an empty one then opens something."""
        self.extra = 0
        """Connections to open ahead of closing expired ones."""

    # -- questions

    def refusal(self, now: float) -> str | None:
        """Why nobody is served at present, in the words of ``acquire_failed``; None if they are."""
        if self.phase is Phase.OPEN:
            if self.pacer.down_since is None:
                return None
            return "unavailable" if self.is_unavailable(now) else None
        return "paused" if self.phase is Phase.PAUSED else "closed"

    @property
    def needed(self) -> int:
        """How many connections are to be open even if nobody asks for one."""
        pacer = self.pacer
        # While everybody is refused at once nobody asks, and it has to go on trying.
        refuses = pacer.fatal or self.options.fail_fast_after is not None
        if self.ready_wanted or (refuses and pacer.down_since is not None):
            return max(self.min_size, 1)
        return self.min_size

    @property
    def is_ready(self) -> bool:
        """Whether ``min_size`` connections are open, and at least one."""
        return self.books.open >= max(self.min_size, 1)

    def is_unavailable(self, now: float) -> bool:
        """Whether nothing is open and the peer is known to be down, or refuses for good."""
        pacer, patience = self.pacer, self.options.fail_fast_after
        if pacer.down_since is None or self.books.open:
            return False
        return pacer.fatal or (patience is not None and now >= pacer.down_since + patience)

    def needs_check(self, slot: Slot, now: float) -> bool:
        """Whether *slot* must pass a check before it is handed out."""
        limit = self.options.check_after
        return limit is not None and (limit == 0 or now - max(slot.since, slot.proved) > limit)

    def is_surplus(self) -> bool:
        """Whether more are alive than the size allows; only a shrink can bring that about."""
        if self.was_shrunk:
            self.was_shrunk = self.books.live > self.size
        return self.was_shrunk

    def may_expire(self, slot: Slot) -> bool:
        """Whether *slot*, past its lifetime, may be closed now: nobody must miss it.

        The replacement comes first where there is room for it; else one place at a time is
        renewed. While connects fail, an old connection is better than none; but one is
        tried for, else nobody might ever find out that they succeed again.
        """
        books = self.books
        if self.phase is not Phase.OPEN:
            return False
        fails = self.pacer.failures > 0
        busy = books.active - slot.is_out + self.line.count
        if books.open > max(self.needed, busy) and not fails:
            return True
        if len(books.slots) < self.size:
            self.extra = 1
            return False
        return not (fails or books.connecting or books.closing)

    def next_alarm(self, now: float) -> float:
        """When something is to be decided again even if nothing happens; inf if never."""
        alarms = [math.inf]
        pacer, patience = self.pacer, self.options.fail_fast_after
        if self.phase is Phase.OPEN:
            if pacer.is_pausing:  # even if it is over: somebody must begin again
                alarms.append(pacer.resume_at)
            if patience is not None and pacer.down_since is not None and self.line.count:
                gives_up_at = pacer.down_since + patience
                if gives_up_at > now:  # else it has, and something else is still open
                    alarms.append(gives_up_at)
            if pacer.failures and self.unproven:
                alarms.append(min(slot.opened for slot in self.unproven) + PROOF_SECONDS)
        return min(alarms)

    # -- notes

    def prove(self, slot: Slot, now: float) -> None:
        """*slot* is known to be alive."""
        slot.proved = now
        if not slot.proven:
            slot.proven = True
            slot.refresh_plain()
            self.unproven.discard(slot)
            self.pacer.proved(slot.opened)

    def prove_by_age(self, now: float) -> None:
        """Connections that have been open for a second have proved themselves."""
        for slot in [s for s in self.unproven if now >= s.opened + PROOF_SECONDS]:
            proved = slot.proved
            self.prove(slot, now)
            slot.proved = proved  # it was silent all the time: no reason to skip a ping
        if not self.unproven:
            self.unproven.clear()  # an empty set keeps the room that it once needed

    def note_end(self, slot: Slot, now: float, blame: bool) -> None:
        """Draw the conclusions from the end of a connection."""
        self.unproven.discard(slot)
        is_proven = slot.proven or now - slot.opened >= PROOF_SECONDS
        if blame and not is_proven:
            self.note_failure(slot, now)

    def note_failure(self, slot: Slot, now: float) -> None:
        if self.pacer.failed(now, slot.id, self.books.newest):
            self.orders.append((Order.PAUSE, self.pacer.failures))

    def tell_closed(self, slot: Slot, reason: CloseReason) -> None:
        self.counters.closes[reason] += 1
        self.tell("connection_closed", slot, reason=reason)

    def tell(self, kind: str, slot: Slot | None = None, **fields: Any) -> None:
        """Note an event, if anybody listens."""
        if self.journal is not None:
            number = None if slot is None else slot.id
            self.journal.append(Event(kind, self.name, number, **fields))

    def tell_taken(self, slot: Slot) -> None:
        """Note that *slot* was asked for and got at once, if anybody listens."""
        if self.journal is not None:
            if slot.taken is None:  # always the same: made once
                slot.taken = Event("connection_acquired", self.name, slot.id, None, 0.0)
            self.journal.append(self.started)
            self.journal.append(slot.taken)

    def tell_released(self, slot: Slot, held: float) -> None:
        """Note that *slot* was brought back, if anybody listens."""
        if self.journal is not None:
            self.journal.append(Event("connection_released", self.name, slot.id, None, held))


def tick_seconds(options: PoolOptions) -> float:
    """The period of the tick: a second, or less where an interval is short."""
    intervals = (
        options.keepalive,
        options.idle_timeout,
        options.max_lifetime,
        options.leak_threshold,
    )
    shortest = min((i for i in intervals if i is not None), default=math.inf)
    return min(1.0, max(0.01, shortest / 10))
