"""A pool without hooks, greenlets or time: its decisions, and a test that performs them by hand."""

from __future__ import annotations

from typing import Any

from geventconnpool.core import commands
from geventconnpool.core.condition import Features
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import ACTIVE, CHECKING, CLOSING, CONNECTING, Slot
from geventconnpool.core.state import PoolState
from geventconnpool.core.upkeep import Upkeep
from geventconnpool.core.waiting import Waiter
from geventconnpool.events import CloseReason, Event
from geventconnpool.options import PoolOptions

START = 1000.0
"""When the time of every world begins. A number at which sums of small floats stay exact."""

STATES = {
    Order.CONNECT: (CONNECTING, CLOSING),
    Order.PING: (CHECKING,),
    Order.CHECK: (CHECKING,),
    Order.RESET: (CHECKING,),
    Order.CLOSE: (CLOSING,),
}
"""What a slot may be doing when somebody is put to work on it."""


class Connection:
    """What the pool keeps; it is never looked into, and equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class World:
    """A pool's decisions, a clock that the test moves, and what is under way outside."""

    def __init__(
        self,
        size: int = 4,
        *,
        ping: bool = False,
        reset: bool = False,
        listening: bool = False,
        **options: Any,
    ) -> None:
        self.now = START
        checked = PoolOptions.checked(size, listeners=[print] if listening else (), **options)
        self.state = PoolState(checked, Features(ping, reset), self.now)
        self.books = self.state.books
        self.upkeep = Upkeep(self.state)
        self.jobs: dict[Slot, Order] = {}
        """Slots on which somebody is at work, and at what."""
        self.abandoned: set[Slot] = set()
        """Those of them whose work is to be stopped."""
        self.interrupted: list[Slot] = []
        self.woken: list[Waiter] = []
        self.pauses: list[int] = []
        self.pause = 0.5
        """How long the next pause after a failure will be."""

    # -- performing

    def perform(self) -> None:
        """Begin everything that was ordered."""
        orders, pings = self.state.orders, self.state.pings
        while orders or pings:
            what, subject = orders.popleft() if orders else (Order.PING, pings.popleft())
            if what is Order.WAKE:
                self.woken.append(subject)
            elif what is Order.PAUSE:
                self.pauses.append(subject)
                self.state.pacer.pause_until(self.now + self.pause)
            elif what is Order.ABANDON:
                assert subject in self.jobs
                self.abandoned.add(subject)
            else:
                if what is Order.INTERRUPT:
                    self.interrupted.append(subject)
                    what = Order.CLOSE
                assert subject not in self.jobs
                assert self.books.slots[subject.id] is subject
                assert subject.state in STATES[what]
                self.jobs[subject] = what

    def at_work(self, *what: Order) -> list[Slot]:
        """The slots on which somebody is at work at *what*, in order."""
        self.perform()
        return [slot for slot, how in self.jobs.items() if how in what]

    def finish(self, slot: Slot) -> Order:
        """Somebody's work on *slot* is over; at what it was."""
        self.abandoned.discard(slot)
        return self.jobs.pop(slot)

    def connected(self, slot: Slot, connection: Any = None, retire_at: float | None = None) -> bool:
        """The connect of *slot* succeeds."""
        self.finish(slot)
        connection = Connection() if connection is None else connection
        accepted = self.state.connected(slot, connection, self.now, retire_at)
        self.perform()
        return accepted

    def connect_failed(self, slot: Slot, fatal: bool = False) -> None:
        """The connect of *slot* fails."""
        self.finish(slot)
        self.state.connect_failed(slot, OSError(111), "OSError, errno 111", self.now, fatal)
        self.perform()

    def vetted(self, slot: Slot, failure: CloseReason | None = None, proof: bool = True) -> None:
        """The ping, check or reset of *slot* is over."""
        how = self.finish(slot)
        self.state.vetted(slot, how, failure, self.now, proof and failure is None)
        self.upkeep.start_pings(self.now)
        self.perform()

    def closed(self, slot: Slot) -> None:
        """The connection of *slot* is closed at last."""
        self.finish(slot)
        self.state.closed(slot, self.now)
        self.perform()

    def run(self) -> None:
        """Let all that is under way succeed, and all that follows from it."""
        self.perform()
        while self.jobs:
            slot, how = next(iter(self.jobs.items()))
            if how is Order.CONNECT:
                self.connected(slot)
            elif how is Order.CLOSE:
                self.closed(slot)
            else:
                self.vetted(slot)

    # -- the loop

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, then do what the loop does on a tick."""
        self.now += seconds
        self.upkeep.tick(self.now)
        self.perform()

    def alarm(self, seconds: float) -> None:
        """Let time pass, then do what the loop does when something is to be decided again."""
        self.now += seconds
        self.state.prove_by_age(self.now)
        self.state.settle(self.now)
        self.perform()

    # -- users

    def take(self) -> Slot:
        """Take what is free, and have it."""
        slot = self.get()
        slot.become(ACTIVE)
        return slot

    def take_all(self) -> list[Slot]:
        """Take whatever is free."""
        slots = list(iter(lambda: self.state.take(self.now), None))
        for slot in slots:
            slot.become(ACTIVE)
        return slots

    def get(self) -> Slot:
        """Take what is free for a block that is not entered yet."""
        slot = self.state.take(self.now)
        assert slot is not None
        return slot

    def take_idle(self) -> Slot:
        """What is idle and would be handed out next."""
        return next(self.books.idle_slots())

    def wait(self, timeout: float | None = None, common: bool = False) -> Waiter:
        """Stand in line."""
        waiter = Waiter(None if timeout is None else self.now + timeout)
        self.state.enter(waiter, self.now, common)
        self.perform()
        return waiter

    def give_back(self, slot: Slot) -> None:
        self.state.give_back(slot, self.now)
        self.perform()

    def retire(self, slot: Slot, reason: CloseReason, blame: bool = False) -> None:
        self.state.retire(slot, reason, self.now, blame=blame)
        self.state.settle(self.now)
        self.perform()

    # -- what can be seen

    @property
    def counts(self) -> dict[str, int]:
        """How many slots are where, where there are any."""
        names = ("idle", "active", "connecting", "checking", "closing")
        return {name: n for name in names if (n := getattr(self.books, name))}

    @property
    def uses(self) -> int:
        """How many times a connection was taken, ever."""
        return self.books.past_uses + sum(slot.uses for slot in self.books.slots.values())

    @property
    def idle_ids(self) -> list[int]:
        return [slot.id for slot in self.books.idle_slots()]

    def told(self, *kinds: str) -> list[Event]:
        """The events of these kinds so far."""
        assert self.state.journal is not None
        return [event for event in self.state.journal if event.kind in kinds or not kinds]


def opened(size: int = 4, **options: Any) -> World:
    """A world whose pool is open."""
    world = World(size, **options)
    commands.open_(world.state, world.now)
    world.perform()
    return world


def filled(size: int = 4, **options: Any) -> World:
    """A world whose pool is open and full, for long enough to have proved itself."""
    world = opened(size, **options)
    world.run()
    world.alarm(1.0)
    return world
