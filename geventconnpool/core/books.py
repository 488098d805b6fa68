"""The books of a pool: every slot, where it is, and how many are where.

A slot is in the books from the attempt to connect until its old connection is closed, so
the limit on their number is a limit on what the peer counts. How many are active is
derived from the other numbers; that keeps a checkout to a pop and a store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from geventconnpool.core.calm import Calm
from geventconnpool.core.slot import (
    CHECKING,
    CLOSED,
    CLOSING,
    CONNECTING,
    IDLE,
    TAKEN,
    Slot,
    SlotState,
)

__all__ = ["Books"]


class Books:
    """Registry of slots, with a shelf of the idle ones in the order in which they came back."""

    def __init__(self, newest_first: bool, new_slot: Callable[[int, float], Slot]) -> None:
        self._new_slot = new_slot
        self.slots: dict[int, Slot] = {}
        self.shelf: deque[Slot] = deque()
        """Idle slots, the next one on the right. May hold ghosts: entries gone stale."""
        self._put = self.shelf.append if newest_first else self.shelf.appendleft
        self.calm = Calm(self.shelf, self._put)
        self._ghosts = 0
        self._elsewhere = {CONNECTING: 0, CHECKING: 0, CLOSING: 0}
        self._by_connection: dict[int, Slot] = {}
        self._serial = 0
        self.past_uses = 0
        """Checkouts of slots that are gone."""

    # -- how many are where

    @property
    def idle(self) -> int:
        return len(self.shelf) - self._ghosts

    @property
    def connecting(self) -> int:
        return self._elsewhere[CONNECTING]

    @property
    def checking(self) -> int:
        return self._elsewhere[CHECKING]

    @property
    def closing(self) -> int:
        return self._elsewhere[CLOSING]

    @property
    def active(self) -> int:
        return self.open - self.idle - self.checking

    @property
    def open(self) -> int:
        """How many hold a connection that can serve, now or soon."""
        return len(self.slots) - self.connecting - self.closing

    @property
    def live(self) -> int:
        """How many serve or are about to."""
        return len(self.slots) - self.closing

    @property
    def newest(self) -> int:
        """The id of the slot that was added last."""
        return self._serial

    def unuse(self, slot: Slot) -> None:
        """*slot* was handed over, but not used after all."""
        slot.uses -= 1
        if slot.state is CLOSED:
            self.past_uses -= 1

    # -- a slot's way through the pool

    def add(self, now: float) -> Slot:
        """A new slot, about to connect."""
        self._serial += 1
        slot = self._new_slot(self._serial, now)
        self.slots[slot.id] = slot
        self._elsewhere[CONNECTING] += 1
        return slot

    def move(self, slot: Slot, state: SlotState) -> None:
        """Put *slot* into *state*, and on or off the shelf."""
        before = slot.state
        slot.become(state)
        if before in self._elsewhere:
            self._elsewhere[before] -= 1
        elif before is IDLE:
            self._haunt(slot)
        if state in self._elsewhere:
            self._elsewhere[state] += 1
        elif state is IDLE:
            self.put(slot)
        elif state is CLOSED:
            self._strike(slot)
        elif slot.ghost:  # about to be used: it must not be on the shelf twice afterwards
            self.lay_ghosts()

    def pop(self) -> Slot | None:
        """Take the next idle slot off the shelf."""
        while self.shelf:
            slot = self.shelf.pop()
            if slot.state is IDLE:
                slot.state = TAKEN
                return slot
            self.exorcise(slot)
        return None

    def put(self, slot: Slot) -> None:
        """Put *slot*, which is idle now, on the shelf."""
        calm = self.calm
        if calm.now is None and calm.shelf is self.shelf:
            calm.shut()  # not to be taken before it is known who may
        if slot.ghost:  # its old entry, in its old place, is true again
            self.exorcise(slot)
        else:
            self._put(slot)

    def claim(self, slot: Slot) -> None:
        """Take idle *slot*; cheap where it is the one to be handed out next."""
        if self.shelf[-1] is slot:
            self.pop()
        else:
            self.move(slot, TAKEN)

    def exorcise(self, slot: Slot) -> None:
        """A stale entry of *slot* has come off the shelf."""
        slot.ghost = False
        self._ghosts -= 1

    def idle_slots(self) -> Iterator[Slot]:
        """The idle slots, in the order in which they would be handed out."""
        return (slot for slot in reversed(self.shelf) if slot.state is IDLE)

    def to_cold_end(self, slot: Slot) -> None:
        """Make idle *slot* the last to be handed out."""
        self.shelf.remove(slot)
        self.shelf.appendleft(slot)

    # -- connections

    def register(self, slot: Slot, connection: Any) -> bool:
        """Note what is in *slot*; False if the pool has that very object already."""
        known = self.find(connection)
        if known is not None:
            return False
        slot.connection = connection
        self._by_connection[id(connection)] = slot
        return True

    def find(self, connection: Any) -> Slot | None:
        """The slot that holds this very object."""
        slot = self._by_connection.get(id(connection))
        if slot is None or slot.connection is not connection:
            return None
        return slot

    def replace(self, slot: Slot, now: float) -> Slot:
        """A new record for *slot*'s connection: the old one is in the wrong hands.

        Whoever still has the old one can do nothing with it.
        """
        successor = self._new_slot(slot.id, now)
        successor.succeed(slot)
        self.slots[slot.id] = successor
        slot.state = CLOSED
        self._by_connection[id(successor.connection)] = successor
        slot.let_go()
        return successor

    def records(self) -> Iterator[Slot]:
        """Every record, as often as the books refer to it."""
        return chain(self.slots.values(), self._by_connection.values(), self.shelf)

    # -- inside

    def _haunt(self, slot: Slot) -> None:
        """Leave the entry of *slot* behind: taking it out of the middle would cost more."""
        slot.ghost = True
        self._ghosts += 1
        if self._ghosts > 16 and 2 * self._ghosts > len(self.shelf):
            self.lay_ghosts()

    def lay_ghosts(self) -> None:
        """Clear the shelf of stale entries (in place: others are bound to it)."""
        kept = [slot for slot in self.shelf if slot.state is IDLE]
        for slot in self.shelf:
            slot.ghost = False
        self.shelf.clear()
        self.shelf.extend(kept)
        self._ghosts = 0

    def _strike(self, slot: Slot) -> None:
        """The place is free."""
        if self.find(slot.connection) is slot:
            del self._by_connection[id(slot.connection)]
        slot.let_go()
        del self.slots[slot.id]
        self.past_uses += slot.uses

    # -- proof

    def mistakes(self) -> list[str]:
        """What does not add up. Empty as long as nothing has torn a change in two."""
        count = dict.fromkeys(SlotState, 0)
        for slot in self.slots.values():
            count[slot.state] += 1
        shelved, known = self._shelved(), self._with_connection()
        found = [
            f"{state.value}: {count[state]} in the records, {number} counted"
            for state, number in [*self._elsewhere.items(), (CLOSED, 0), (IDLE, self.idle)]
            if count[state] != number
        ]
        if len(set(map(id, shelved))) != count[IDLE] or len(shelved) != count[IDLE]:
            found.append(f"idle: {count[IDLE]} in the records, {len(shelved)} on the shelf")
        if known != self._by_connection:
            found.append(f"connections: {len(known)} in the records, others known")
        return found

    def _shelved(self) -> list[Slot]:
        """The entries of the shelf that stand for something which can be handed out."""
        slots = self.slots
        return [slot for slot in self.shelf if slot.state is IDLE and slots.get(slot.id) is slot]

    def _with_connection(self) -> dict[int, Slot]:
        """The index of connections, as it follows from the records."""
        slots = self.slots.values()
        return {id(slot.connection): slot for slot in slots if slot.connection is not None}

    def repair(self) -> None:
        """Write the counts, the shelf and the index anew from the records."""
        for slot in self.shelf:
            slot.ghost = False
        kept = {slot.id: slot for slot in self._shelved()}
        lost = [s for s in self.slots.values() if s.state is IDLE and s.id not in kept]
        self.shelf.clear()
        self.shelf.extend([*lost, *kept.values()])
        self._ghosts = 0
        for state in self._elsewhere:
            self._elsewhere[state] = sum(s.state is state for s in self.slots.values())
        for slot in [s for s in self.slots.values() if s.state is CLOSED]:
            self._strike(slot)
        self._by_connection = self._with_connection()
