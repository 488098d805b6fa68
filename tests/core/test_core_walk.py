"""A seeded random walk over all that can happen to a pool, with the books open at every step.

Outcomes are drawn, too: connects that fail, pings that fail, goodbyes that take long, users who
are interrupted at any moment. A failure names its seed; ``walk(seed)`` replays it.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from core_world import Connection, World

from geventconnpool.core import commands
from geventconnpool.core.condition import Phase, tick_seconds
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import (
    ACTIVE,
    CHECKING,
    CLOSED,
    CLOSING,
    CONNECTING,
    IDLE,
    TAKEN,
    Slot,
)
from geventconnpool.core.waiting import Waiter
from geventconnpool.events import CloseReason

STEPS = 2000
SEEDS = range(60)
BATCHES = 6
"""The fixed seeds are walked in so many tests."""

WORKING = {CONNECTING, CHECKING, CLOSING}


def draw_options(chance: random.Random) -> dict[str, Any]:
    """A pool that nobody would think of."""
    size = chance.randint(1, 6)
    ping = chance.random() < 0.6
    options: dict[str, Any] = {
        "size": size,
        "min_size": chance.choice([0, size, chance.randint(0, size)]),
        "order": chance.choice(["lifo", "fifo"]),
        "max_connecting": chance.choice([1, 2, 32]),
        "idle_timeout": chance.choice([None, None, 2.0]),
        "max_lifetime": chance.choice([None, None, 4.0]),
        "fail_fast_after": chance.choice([None, None, 0.0, 1.5]),
        "ping": ping,
    }
    if ping:
        options["keepalive"] = chance.choice([None, 1.5])
    if chance.random() < 0.5:  # else nothing asks for a second look, and days are calm
        options["listening"] = True
        options["reset"] = chance.random() < 0.4
        options["check_after"] = chance.choice([None, None, 0.0, 0.5])
    return options


class Walk(World):
    """A world in which anything may happen, and what must be true of it all the same."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        super().__init__(**draw_options(self.chance))
        self.period = tick_seconds(self.state.options)
        self.next_tick = self.now + self.period
        self.queue: list[Waiter] = []
        """Who waits, as the walk sees it, in order of arrival."""
        self.served: list[Waiter] = []
        """Who has been served and does not know it yet."""
        self.arrival: dict[Waiter, int] = {}
        self.held: list[Slot] = []
        self.taken_back: set[Slot] = set()
        """Connections interrupted under those who hold them."""
        self.times_taken = 0
        self.places = 0
        self.living: set[int] = set()
        self.told_so_far = 0
        self.ready_wanted = 0
        self.health = self.chance.choice([0.5, 0.9, 1.0])
        """How often the peer does what it should."""
        self.crowd = self.chance.choice([1, 3, 6, 12])
        """How many users there are."""
        self.verbs = [
            verb
            for verb, weight in (
                (self.acquire, 9),
                (self.bring_back, 13),
                (self.work, 14),
                (self.pass_time, 8),
                (self.wake_up, 6),
                (self.enter_block, 4),
                (self.walk_away, 1),
                (self.lose_one, 1),
                (self.command, 1),
            )
            for _ in range(weight)
        ]
        self.calm_returns = self.passed_on = 0

    # -- what users do

    def acquire(self) -> None:
        state, calm = self.state, self.state.calm
        kind = self.chance.random()
        if len(self.held) + len(self.served) + len(self.queue) >= self.crowd:
            return
        if kind < 0.6 and calm.shelf:
            slot = calm.shelf.pop()
            if slot.state is IDLE:
                slot.state = TAKEN
                slot.since = calm.now
                slot.uses += 1
                self.hold(slot)
                return
            self.books.exorcise(slot)
        if state.refusal(self.now) is not None:
            return
        slot = state.take(self.now)
        if slot is not None:
            if kind >= 0.8:
                slot.become(ACTIVE)
                slot.by_hand = True
            self.hold(slot)
        elif kind < 0.9:
            common = self.chance.random() < 0.6
            timeout = 3.0 if common else self.chance.choice([None, 0.5, 1.0, 8.0])
            waiter = Waiter(None if timeout is None else self.now + timeout)
            self.arrival[waiter] = len(self.arrival)
            self.queue.append(waiter)
            state.enter(waiter, self.now, common)

    def hold(self, slot: Slot) -> None:
        assert slot not in self.held, "one connection in two hands"
        assert not self.queue, "somebody was overtaken"
        self.held.append(slot)
        self.times_taken += 1

    def wake_up(self) -> None:
        """Somebody who was served gets to run."""
        if not self.served:
            return
        waiter = self.served.pop(self.chance.randrange(len(self.served)))
        slot = waiter.slot
        assert slot is not None
        if slot.state is TAKEN:
            self.held.append(slot)
            self.times_taken += 1
            slot.become(ACTIVE)
            slot.by_hand = self.chance.random() < 0.5
            return
        self.taken_back.discard(slot)
        self.stand_again(waiter)

    def stand_again(self, waiter: Waiter) -> None:
        self.state.enter_again(waiter, self.now)
        if waiter.refusal is None:
            self.queue.append(waiter)
            self.queue.sort(key=self.arrival.__getitem__)

    def walk_away(self) -> None:
        """Somebody is killed while waiting, or with a connection on the way into the hands."""
        crowd = self.queue if self.chance.random() < 0.5 else self.served
        if crowd:
            waiter = crowd.pop(self.chance.randrange(len(crowd)))
            if waiter.slot is not None:
                self.taken_back.discard(waiter.slot)
            self.state.leave(waiter, self.now)

    def enter_block(self) -> None:
        for slot in self.held:
            if slot.state is TAKEN:
                slot.state = ACTIVE
                return

    def bring_back(self) -> None:
        if not self.held:
            return
        slot = self.held.pop(self.chance.randrange(len(self.held)))
        if slot in self.taken_back:
            self.taken_back.remove(slot)
            return
        if slot.state is TAKEN and self.chance.random() < 0.9:
            slot.state = ACTIVE
        self.leave_block(slot, self.chance.random() * (1.0 if self.health < 1.0 else 0.7))

    def leave_block(self, slot: Slot, how: float) -> None:
        state, calm = self.state, self.state.calm
        if slot.state is TAKEN or how < 0.05:  # never entered, or brought back by hand inside
            old, slot = slot, state.replace(slot, self.now)
            assert old.state is CLOSED
            state.give_back(slot, self.now)
        elif how < 0.7:
            if slot.since is calm.now and slot.plain:
                slot.state = IDLE
                calm.put(slot)
                self.calm_returns += 1
                return
            waiter = state.pass_to_next(slot, self.now)
            if waiter is None:
                state.give_back(slot, self.now)
            else:
                self.passed_on += 1
                state.orders.append((Order.WAKE, waiter))
        elif how < 0.8:
            if state.features.ping:
                state.doubt(slot, self.now)
            else:
                state.set_aside(slot, self.now)
        elif how < 0.85:
            slot.fate = slot.fate or CloseReason.DISCARDED
            state.give_back(slot, self.now)
        elif how < 0.88:
            state.detach(slot, self.now)
        else:
            broken = how < 0.95
            reason = CloseReason.BROKEN if broken else CloseReason.INTERRUPTED
            state.retire(slot, reason, self.now, blame=broken)
            state.settle(self.now)

    # -- what the pool's own greenlets do

    def work(self) -> None:
        """Something that is under way comes to its end."""
        if not self.jobs:
            return
        slot = self.chance.choice(list(self.jobs))
        how = self.finish(slot)
        is_well = self.chance.random() < self.health
        if how is Order.CLOSE:
            self.state.closed(slot, self.now)
        elif how is not Order.CONNECT:
            failed = how is Order.RESET and CloseReason.RESET_FAILED
            failure = None if is_well else failed or CloseReason.UNCHECKED
            answered = is_well and how is not Order.RESET and self.state.features.ping
            self.state.vetted(slot, how, failure, self.now, answered)
            self.upkeep.start_pings(self.now)
        else:
            connection: object = Connection()
            if self.books.open and self.chance.random() < 0.02:
                connection = next(s.connection for s in self.books.slots.values() if s.is_open)
            if is_well and self.state.connected(slot, connection, self.now, self.draw_lifetime()):
                self.upkeep.rotate(self.now)
            else:
                fatal = self.chance.random() < 0.1
                self.state.connect_failed(slot, OSError(), "OSError", self.now, fatal)

    def draw_lifetime(self) -> float | None:
        lifetime = self.state.options.max_lifetime
        return lifetime and self.now + lifetime * self.chance.uniform(0.9, 1.0)

    def lose_one(self) -> None:
        """The kernel tells that an idle connection is no good any more."""
        slots = list(self.books.idle_slots())
        if slots:
            self.state.retire(self.chance.choice(slots), CloseReason.LOST, self.now)
            self.state.settle(self.now)

    # -- what the loop does

    def pass_time(self) -> None:
        """Go on to a moment not far away, or to the next for which the loop has an appointment."""
        state = self.state
        deadline = state.line.next_deadline()
        alarm = state.next_alarm(self.now)
        later = self.now + self.chance.choice([0.001, 0.01, 0.1, 0.3])
        self.now = min(later, self.next_tick, alarm, later if deadline is None else deadline)
        if self.now >= self.next_tick:
            self.next_tick += self.period
            if state.phase is not Phase.CLOSED:
                self.upkeep.tick(self.now)
            state.now = self.now
            state.calm.shut()
        if self.now >= alarm:
            state.prove_by_age(self.now)
            state.settle(self.now)
        if deadline is not None and self.now >= deadline:
            state.expire(self.now)

    # -- what the operator does

    def command(self) -> None:
        state, now = self.state, self.now
        what = self.chance.randrange(8)
        hard = self.chance.random() < 0.4
        if what == 0:
            commands.pause(state, now, hard)
        elif what <= 3:
            commands.resume(state, now)
        elif what == 4:
            out = [slot for slot in self.books.slots.values() if slot.is_out]
            commands.drain(state, now, hard)
            self.taken_back |= {slot for slot in out if hard}
        elif what == 5:
            size = self.chance.randint(1, 6)
            commands.resize(state, now, size, self.chance.randint(0, size))
        elif what == 6:
            self.upkeep.ping_all()
            self.upkeep.start_pings(now)
        else:
            state.ready_wanted = 1 - state.ready_wanted
            state.settle(now)

    # -- what must be true

    def step(self) -> None:
        self.chance.choice(self.verbs)()
        self.check()

    def check(self) -> None:
        """Everything that is true at every moment."""
        state, books = self.state, self.books
        self.perform()
        self.sort_out_the_woken()
        assert books.mistakes() == []
        slots = books.slots
        assert {s for s in slots.values() if s.state in WORKING} == self.jobs.keys(), "a place lost"
        out = sum(slot not in self.taken_back for slot in self.held) + sum(
            waiter.slot not in self.taken_back for waiter in self.served
        )
        assert books.active == out, "out, but in nobody's hands"
        assert len(slots) <= max(state.size, self.places), "more than the size allows"
        self.places = len(slots)
        if books.live > state.size:
            assert not books.idle, "idle ones beside too many"
            assert not books.connecting, "connects under way beside too many"
        assert state.line.count == len(self.queue)
        if self.queue:
            assert state.phase is Phase.OPEN, "somebody waits for a pool that does not serve"
            assert not state.calm.shelf or not books.idle, "somebody can be overtaken"
            for slot in books.idle_slots():
                assert state.needs_check(slot, self.now), "somebody waits beside an idle one"
                assert books.checking >= len(self.queue), "and none is asked whether it is fit"
        if state.journal is not None:
            self.follow_the_journal()
        if self.chance.random() < 0.1:
            state.settle(self.now)
            assert not state.orders, f"what could be done was left undone: {state.orders}"

    def perform(self) -> None:
        """Begin what was ordered; connects only as fast as the peer can take them."""
        state, books = self.state, self.books
        ordered = [slot for what, slot in state.orders if what is Order.CONNECT]
        super().perform()
        if ordered:
            assert state.phase is Phase.OPEN, "a connect for a pool that does not want any"
            assert books.connecting <= state.options.max_connecting
            if state.pacer.failures:
                assert books.connecting == 1, "more than a probe of a peer that fails"
        for slot in [slot for slot in self.abandoned if self.jobs[slot] is not Order.CONNECT]:
            assert slot.fate is CloseReason.CLOSED  # only a pool that closes cannot wait for a ping

    def sort_out_the_woken(self) -> None:
        """Whoever was served or sent away in this step: those who came first, first."""
        woken, self.woken = self.woken, []
        for waiter in woken:
            assert not waiter.waiting
            if waiter.slot is not None:
                assert waiter.slot not in self.held
                assert waiter is self.queue[0], "out of turn"
                self.served.append(waiter)
            else:
                assert waiter.refusal in ("timeout", "paused", "unavailable", "closed")
            self.queue.remove(waiter)

    def follow_the_journal(self) -> None:
        """Every connection begins once and ends once."""
        journal = self.state.journal
        assert journal is not None
        while journal:
            event = journal.popleft()
            if event.kind == "connection_created":
                self.told_so_far += 1
                assert event.connection_id == self.told_so_far
                self.living.add(event.connection_id)
            elif event.kind == "connection_closed":
                assert event.connection_id in self.living, "ended twice"
                self.living.remove(event.connection_id)
        books = self.books
        assert self.living == {id for id, slot in books.slots.items() if slot.state is not CLOSING}

    # -- how it ends

    def settle_down(self) -> None:
        """The peer is well, everybody goes on: nothing may be missing, nobody left over."""
        state = self.state
        self.health = 1.0
        commands.resume(state, self.now)
        self.check()
        if state.refusal(self.now) is None:
            patient = Waiter(None)
            self.arrival[patient] = len(self.arrival)
            self.queue.append(patient)
            state.enter(patient, self.now, False)
        self.check()
        # Enough for every deadline, pause, ping and lifetime that was drawn.
        until, busy = self.now + 15.0, [self.work, self.wake_up, self.enter_block, self.bring_back]
        while self.now < until:
            for verb in (*busy, *busy, self.pass_time):
                verb()
                self.check()
        while self.jobs or self.held or self.served or self.books.live < state.min_size:
            for verb in (*busy, *busy, self.pass_time):
                verb()
                self.check()
            assert self.now < until + 60.0, "it does not come to rest"
        assert not self.queue
        assert state.min_size <= self.books.open <= state.size
        assert len(self.books.slots) == self.books.idle
        assert state.refusal(self.now) is None
        assert self.uses == self.times_taken

    def close(self) -> None:
        """Nothing is left of a closed pool."""
        state = self.state
        self.acquire()
        self.check()
        commands.close(state, self.now)
        self.check()
        while self.jobs or self.held or self.served:
            for verb in (self.work, self.wake_up, self.bring_back, self.pass_time):
                verb()
                self.check()
        assert not self.books.slots
        assert not self.books.idle
        assert not state.unproven
        assert state.counters.connects == sum(state.counters.closes.values())
        assert state.refusal(self.now) == "closed"
        assert not state.calm.is_open


def walk(seed: int, steps: int = STEPS) -> Walk:
    """Walk, come to rest, close."""
    world = Walk(seed)
    try:
        commands.open_(world.state, world.now)
        world.check()
        for _ in range(steps):
            world.step()
        world.settle_down()
        world.close()
    except BaseException as error:
        error.add_note(f"walk({seed})") if hasattr(error, "add_note") else print(f"walk({seed})")
        raise
    return world


@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
def test_the_books_are_right_at_every_step_of_a_random_life(batch):
    worlds = [walk(seed) for seed in SEEDS if seed % BATCHES == batch]

    # They went where they should: on the short ways, too.
    assert sum(world.calm_returns for world in worlds) > 0
    assert sum(world.passed_on for world in worlds) > 0


def test_the_books_are_right_at_every_step_of_a_life_never_seen_before():
    seed = random.SystemRandom().randrange(10**9)
    print(f"walk({seed})")

    walk(seed)
