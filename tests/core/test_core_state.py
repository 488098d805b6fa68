"""Who gets which connection, and what becomes of one that comes back."""

from __future__ import annotations

import pytest
from core_world import Connection, filled, opened

from geventconnpool.core import commands
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import ACTIVE, CHECKING, CLOSED, CLOSING, IDLE, TAKEN
from geventconnpool.events import CloseReason

# --- taking ------------------------------------------------------------------------------


def test_what_is_idle_is_taken_at_once():
    world = filled(2)
    world.now += 5.0

    slot = world.take()

    assert slot.state is ACTIVE
    assert slot.since == world.now
    assert slot.uses == world.uses == 1
    assert world.counts == {"idle": 1, "active": 1}


def test_when_all_are_out_there_is_nothing_to_take():
    world = filled(2)

    assert len(world.take_all()) == 2
    assert world.state.take(world.now) is None


def test_nobody_overtakes_those_who_wait():
    world = filled(1)
    slot = world.take()
    world.wait()
    world.books.move(slot, IDLE)  # it is not handed over yet

    assert world.state.take(world.now) is None


@pytest.mark.parametrize(("order", "expected"), [("lifo", [3, 2, 1]), ("fifo", [1, 2, 3])])
def test_the_order_option_says_which_is_taken(order, expected):
    world = filled(3, order=order)

    assert [slot.id for slot in world.take_all()] == expected


# --- waiting -----------------------------------------------------------------------------


def test_those_who_wait_are_served_in_the_order_of_arrival():
    world = filled(2)
    slots = world.take_all()
    waiters = [world.wait(), world.wait(timeout=9.0), world.wait(timeout=1.0)]

    for slot in [*slots, slots[0]]:
        world.now += 0.5
        world.give_back(slot)

    assert world.woken == waiters
    assert [waiter.slot for waiter in waiters] == [slots[0], slots[1], slots[0]]
    assert waiters[2].slot.since == world.now
    assert world.counts == {"active": 2}


def test_whoever_waits_too_long_is_sent_away():
    world = filled(1)
    (slot,) = world.take_all()
    late, patient = world.wait(timeout=1.0), world.wait(timeout=2.0)

    world.now += 1.0
    world.state.expire(world.now)
    world.give_back(slot)

    assert late.refusal == "timeout"
    assert patient.slot is slot
    assert world.woken == [late, patient]


def test_whoever_leaves_the_line_costs_nobody_anything():
    world = filled(1)
    (slot,) = world.take_all()
    first, second = world.wait(), world.wait()

    world.state.leave(first, world.now)
    world.give_back(slot)

    assert world.woken == [second]
    assert second.slot is slot


def test_whoever_is_interrupted_with_a_connection_in_hand_passes_it_on():
    world = filled(1)
    (slot,) = world.take_all()
    first, second = world.wait(), world.wait()
    world.give_back(slot)
    uses = world.uses

    world.state.leave(first, world.now)
    world.perform()

    assert first.slot is None
    assert second.slot is slot
    assert world.uses == uses
    assert world.counts == {"active": 1}


def test_what_the_interrupted_had_in_hand_becomes_idle_where_nobody_waits():
    world = filled(1)
    (slot,) = world.take_all()
    waiter = world.wait()
    world.give_back(slot)

    world.state.leave(waiter, world.now)

    assert world.counts == {"idle": 1}
    assert world.uses == 1


def test_whoever_was_sent_away_has_nothing_to_pass_on():
    world = filled(1)
    world.take_all()
    waiter = world.wait(timeout=1.0)
    world.now += 1.0
    world.state.expire(world.now)

    world.state.leave(waiter, world.now)

    assert world.counts == {"active": 1}
    assert world.state.line.count == 0


def test_whoever_is_interrupted_with_a_connection_that_was_drained_has_nothing_to_pass_on():
    world = filled(1)
    (slot,) = world.take_all()
    first, second = world.wait(), world.wait()
    world.give_back(slot)
    commands.drain(world.state, world.now, interrupt=True)
    world.run()

    world.state.leave(first, world.now)

    assert second.slot is not None
    assert second.slot is not slot
    assert world.uses == 2


def drained_on_the_way(size):
    """A world, and waiters whose connections are taken away before they know of them."""
    world = filled(size)
    slots = world.take_all()
    waiters = [world.wait() for _ in range(size + 1)]
    for slot in slots:
        world.give_back(slot)
    commands.drain(world.state, world.now, interrupt=True)
    world.perform()
    assert set(world.interrupted) == set(slots)
    return world, waiters


def test_whoever_was_served_in_vain_is_the_next_in_line_in_the_old_order():
    world, waiters = drained_on_the_way(2)
    uses = world.uses
    world.woken.clear()

    for waiter in waiters[:2]:
        world.state.enter_again(waiter, world.now)
    assert world.state.line.count == 3
    assert world.uses == uses - 2
    world.run()
    assert world.woken == waiters[:2]
    world.give_back(waiters[0].slot)

    assert world.woken == waiters
    assert world.state.line.entered == 3


@pytest.mark.parametrize(
    ("stop", "refusal"),
    [
        (lambda state, now: commands.pause(state, now, False), "paused"),
        (commands.close, "closed"),
    ],
)
def test_whoever_was_served_in_vain_does_not_wait_for_a_pool_that_serves_nobody(stop, refusal):
    world, (first, second) = drained_on_the_way(1)
    stop(world.state, world.now)
    world.perform()

    world.state.enter_again(first, world.now)

    assert first.refusal == refusal
    assert first.slot is None
    assert not first.waiting
    assert second.refusal == refusal
    assert world.state.line.count == 0
    assert world.state.line.sent_away == 2
    assert first not in world.woken[1:]  # it is not asleep


# --- coming back in order ----------------------------------------------------------------


def test_what_comes_back_in_order_is_idle_and_proven():
    world = opened(1)
    world.run()
    slot = world.take()
    assert not slot.proven
    world.now += 0.5

    world.give_back(slot)

    assert slot.state is IDLE
    assert slot.proven
    assert slot.since == world.now


def test_what_comes_back_is_handed_on_before_anybody_else_can_take_it():
    world = filled(1)
    (slot,) = world.take_all()
    waiter = world.wait()
    world.now += 1.0

    world.give_back(slot)

    assert waiter.slot is slot
    assert slot.since == world.now
    assert slot.uses == 2


def test_what_is_to_be_closed_is_closed_when_it_comes_back():
    world = filled(1)
    slot = world.take()
    slot.fate = CloseReason.DISCARDED
    proved = slot.proved
    world.now += 1.0

    world.give_back(slot)

    assert slot.state is CLOSING
    assert slot.fate is CloseReason.DISCARDED
    assert slot.proved == proved
    assert world.at_work(Order.CLOSE) == [slot]


def test_with_a_reset_hook_it_is_reset_before_the_next_use():
    world = filled(1, reset=True)
    (slot,) = world.take_all()
    waiter = world.wait()
    world.now += 1.0

    world.give_back(slot)
    assert world.at_work(Order.RESET) == [slot]
    assert slot.state is CHECKING
    assert slot.since == world.now
    assert waiter.waiting
    world.vetted(slot)

    assert waiter.slot is slot


def test_a_reset_that_fails_closes_the_connection():
    world = filled(1, reset=True)
    slot = world.take()
    world.give_back(slot)

    world.vetted(slot, CloseReason.RESET_FAILED)

    assert slot.state is CLOSING
    assert slot.fate is CloseReason.RESET_FAILED


def test_what_is_to_be_closed_is_not_reset_before():
    world = filled(1, reset=True)
    slot = world.take()
    slot.fate = CloseReason.DISCARDED

    world.give_back(slot)

    assert world.at_work(Order.RESET) == []
    assert slot.state is CLOSING


def test_what_is_drained_while_it_is_reset_is_closed_afterwards():
    world = filled(1, reset=True)
    slot = world.take()
    world.give_back(slot)
    commands.drain(world.state, world.now, interrupt=False)

    world.vetted(slot)

    assert slot.fate is CloseReason.DRAINED
    assert slot.state is CLOSING


# --- the shortest way from hand to hand --------------------------------------------------


def test_a_plain_connection_goes_from_hand_to_hand_the_shortest_way():
    world = filled(1)
    (slot,) = world.take_all()
    slot.refresh_plain()
    first, second = world.wait(), world.wait()
    world.now += 2.0

    assert world.state.pass_to_next(slot, world.now) is first

    assert first.slot is slot
    assert not first.waiting
    assert slot.state is TAKEN
    assert slot.since == world.now
    assert slot.uses == 2
    assert world.state.counters.use_seconds == 2.0
    assert second.waiting
    assert not world.state.orders


def test_the_shortest_way_passes_over_whoever_has_left():
    world = filled(1)
    (slot,) = world.take_all()
    slot.refresh_plain()
    first, second = world.wait(), world.wait()
    world.state.leave(first, world.now)

    assert world.state.pass_to_next(slot, world.now) is second
    assert (first.slot, second.slot) == (None, slot)
    assert world.state.line.count == 0


def test_nobody_but_the_dead_in_line_is_nobody():
    world = filled(1)
    (slot,) = world.take_all()
    waiter = world.wait()
    waiter.waiting = False  # its leaving was broken off right here
    uses = slot.uses

    assert world.state.pass_to_next(slot, world.now) is None

    assert waiter.slot is None
    assert slot.uses == uses


@pytest.mark.parametrize(
    "prepare",
    [
        lambda world, slot: world.state.leave(*world.waiting),
        lambda world, slot: setattr(slot, "plain", False),
        lambda world, slot: setattr(world.state, "passes_on", False),
        lambda world, slot: commands.resize(world.state, world.now, 1, 1),
    ],
    ids=["nobody waits", "it is not plain", "an option asks for more", "the pool has shrunk"],
)
def test_what_takes_more_thought_does_not_go_the_shortest_way(prepare):
    world = filled(2)
    slot, _ = world.take_all()
    slot.refresh_plain()
    world.waiting = (world.wait(), world.now)
    prepare(world, slot)
    uses = slot.uses

    assert world.state.pass_to_next(slot, world.now) is None
    assert slot.uses == uses


# --- coming back in doubt ----------------------------------------------------------------


def test_what_comes_back_in_doubt_is_checked_first():
    world = filled(1, ping=True)
    (slot,) = world.take_all()
    waiter = world.wait()

    world.state.doubt(slot, world.now)
    assert world.at_work(Order.CHECK) == [slot]
    assert waiter.waiting
    world.vetted(slot)

    assert waiter.slot is slot


def test_what_is_doubted_and_fails_its_check_is_closed():
    world = filled(1, ping=True)
    slot = world.take()
    world.state.doubt(slot, world.now)
    world.perform()

    world.vetted(slot, CloseReason.UNCHECKED)

    assert slot.fate is CloseReason.UNCHECKED
    assert world.at_work(Order.CLOSE) == [slot]


def test_what_is_doubted_and_to_be_closed_anyway_is_not_checked():
    world = filled(1, ping=True)
    slot = world.take()
    slot.fate = CloseReason.DRAINED

    world.state.doubt(slot, world.now)

    assert world.at_work(Order.CHECK) == []
    assert world.at_work(Order.CLOSE) == [slot]
    assert slot.fate is CloseReason.DRAINED


@pytest.mark.parametrize("order", ["lifo", "fifo"])
def test_what_is_set_aside_is_handed_out_last(order):
    world = filled(3, order=order)
    slot = world.take()
    world.now += 1.0

    world.state.set_aside(slot, world.now)

    assert world.idle_ids[-1] == slot.id
    assert slot.since == world.now
    assert world.take_all()[-1] is slot


def test_what_is_doubted_is_reset_after_its_check_and_before_the_next_use():
    world = filled(1, ping=True, reset=True)
    (slot,) = world.take_all()
    waiter = world.wait()

    world.state.doubt(slot, world.now)
    assert world.at_work(Order.CHECK) == [slot]
    world.vetted(slot)
    assert world.at_work(Order.RESET) == [slot]
    assert waiter.waiting
    world.vetted(slot)

    assert waiter.slot is slot


def test_what_was_doubted_once_is_not_reset_after_every_ping():
    world = filled(1, ping=True, reset=True)
    slot = world.take()
    world.state.doubt(slot, world.now)
    world.run()
    world.upkeep.ping_all()
    world.upkeep.start_pings(world.now)
    world.perform()

    world.vetted(slot)

    assert world.counts == {"idle": 1}


def test_what_is_set_aside_is_reset_first_where_there_is_a_reset_hook():
    world = filled(3, reset=True)
    slot = world.take()

    world.state.set_aside(slot, world.now)
    assert world.at_work(Order.RESET) == [slot]
    world.now += 1.0
    world.vetted(slot)

    assert slot.state is IDLE
    assert world.idle_ids[-1] == slot.id
    assert not slot.aside


def test_what_is_reset_to_be_set_aside_is_closed_if_somebody_waits_by_then():
    world = filled(1, reset=True)
    slot = world.take()
    world.state.set_aside(slot, world.now)
    waiter = world.wait()

    world.vetted(slot)
    world.run()

    assert slot.state is CLOSED
    assert waiter.slot.state is TAKEN


def test_what_is_in_doubt_is_not_set_aside_where_somebody_waits():
    world = filled(1)
    (slot,) = world.take_all()
    waiter = world.wait()

    world.state.set_aside(slot, world.now)
    world.run()

    assert slot.state is CLOSED
    assert world.state.counters.closes[CloseReason.BROKEN] == 1
    assert waiter.slot.state is TAKEN


def test_what_is_in_doubt_and_too_many_is_not_set_aside():
    world = filled(2)
    slot, _ = world.take_all()
    commands.resize(world.state, world.now, 1, 1)

    world.state.set_aside(slot, world.now)

    assert slot.state is CLOSING


def test_what_is_in_doubt_and_to_be_closed_keeps_its_reason():
    world = filled(1)
    slot = world.take()
    slot.fate = CloseReason.DISCARDED

    world.state.set_aside(slot, world.now)

    assert slot.fate is CloseReason.DISCARDED
    assert slot.state is CLOSING


# --- giving up ---------------------------------------------------------------------------


def test_a_place_is_free_only_when_the_connection_is_closed():
    world = filled(1)
    slot = world.take()

    world.retire(slot, CloseReason.BROKEN)
    assert world.counts == {"closing": 1}
    assert world.at_work(Order.CLOSE) == [slot]
    world.closed(slot)

    assert slot.state is CLOSED
    assert world.counts == {"connecting": 1}


def test_a_proven_connection_that_breaks_is_replaced_without_a_pause():
    world = filled(1)
    slot = world.take()

    world.retire(slot, CloseReason.BROKEN, blame=True)
    world.run()

    assert world.pauses == []
    assert world.counts == {"idle": 1}


def test_a_connection_interrupted_under_its_user_is_closed_by_another_order():
    world = filled(1)
    slot = world.take()

    world.state.interrupt(slot, CloseReason.DRAINED, world.now)
    world.perform()

    assert world.interrupted == [slot]
    assert world.at_work(Order.CLOSE) == [slot]
    assert slot.fate is CloseReason.DRAINED


def test_a_detached_connection_leaves_the_pool_at_once_and_another_is_opened():
    world = filled(1, listening=True)
    slot = world.take()
    connection = slot.connection

    world.state.detach(slot, world.now)
    world.perform()

    assert world.books.find(connection) is None
    assert world.counts == {"connecting": 1}
    assert world.at_work(Order.CLOSE) == []
    assert [e.reason for e in world.told("connection_closed")] == [CloseReason.DETACHED]
    assert world.state.counters.closes[CloseReason.DETACHED] == 1


def test_to_detach_an_unproven_connection_says_nothing_of_the_peer():
    world = opened(1)
    world.run()
    slot = world.take()

    world.state.detach(slot, world.now)

    assert world.state.pacer.failures == 0
    assert world.state.unproven == set()


def test_a_new_record_takes_over_what_is_known_of_the_connection():
    world = opened(1, ping=True, keepalive=2.0)
    world.run()
    slot = world.take()

    successor = world.state.replace(slot, world.now)
    world.give_back(successor)
    world.run()
    world.tick(1.9)

    assert world.state.unproven == set()
    assert world.counts == {"idle": 1}
    world.tick(0.1)
    assert world.at_work(Order.PING) == [successor]


def test_a_new_record_of_an_unproven_connection_is_unproven_too():
    world = opened(1)
    world.run()
    slot = world.take()

    successor = world.state.replace(slot, world.now)

    assert world.state.unproven == {successor}
    world.alarm(1.0)
    assert successor.proven


def test_a_new_record_of_a_proven_connection_needs_no_proof():
    world = filled(1)

    successor = world.state.replace(world.take(), world.now)

    assert successor.proven
    assert world.state.unproven == set()


# --- check_after -------------------------------------------------------------------------


def test_what_was_idle_for_too_long_is_checked_before_it_is_handed_out():
    world = filled(1, check_after=2.0)
    world.now += 2.5

    assert world.state.take(world.now) is None
    waiter = world.wait()
    (slot,) = world.at_work(Order.CHECK)
    world.vetted(slot)

    assert waiter.slot is slot


def test_what_was_not_idle_for_so_long_is_handed_out_unchecked():
    world = filled(1, check_after=2.0)
    world.give_back(world.take())
    world.now += 2.0

    assert world.take().state is ACTIVE


def test_a_ping_that_passed_stands_for_the_check():
    world = filled(1, ping=True, check_after=2.0)
    world.now += 5.0
    world.upkeep.ping_all()
    world.upkeep.start_pings(world.now)
    world.run()
    world.now += 1.0

    assert world.take().state is ACTIVE


def test_another_that_needs_no_check_is_taken_instead():
    world = filled(3, check_after=2.0)
    world.now += 5.0
    fresh = world.books.slots[2]
    fresh.since = world.now

    assert world.take() is fresh
    assert world.state.take(world.now) is None
    assert world.books.mistakes() == []


def test_no_more_are_checked_than_somebody_waits_for():
    world = filled(3, check_after=2.0)
    world.now += 5.0

    world.wait()
    assert len(world.at_work(Order.CHECK)) == 1
    world.wait()
    assert len(world.at_work(Order.CHECK)) == 2


def test_a_check_that_fails_goes_on_to_the_next_connection():
    world = filled(2, check_after=2.0)
    world.now += 5.0
    waiter = world.wait()
    (bad,) = world.at_work(Order.CHECK)

    world.vetted(bad, CloseReason.UNCHECKED)
    (good,) = world.at_work(Order.CHECK)
    world.vetted(good)

    assert waiter.slot is good is not bad


def test_a_connection_that_needs_no_check_serves_while_another_is_checked():
    world = filled(2, check_after=2.0)
    fresh = world.take()
    world.now += 5.0
    first, second = world.wait(), world.wait()
    (checked,) = world.at_work(Order.CHECK)

    world.give_back(fresh)
    assert first.slot is fresh
    world.vetted(checked)

    assert second.slot is checked


def test_whoever_waits_is_served_with_what_became_fit_while_it_was_idle():
    world = filled(2, check_after=2.0)
    world.now += 5.0
    waiter = world.wait()
    world.books.slots[1].proved = world.now

    world.state.settle(world.now)

    assert waiter.slot is world.books.slots[1]
    assert world.books.mistakes() == []


def test_with_check_after_zero_it_is_checked_from_hand_to_hand_too():
    world = filled(1, check_after=0)
    waiter = world.wait()
    (slot,) = world.at_work(Order.CHECK)
    world.vetted(slot)
    assert waiter.slot is slot
    second = world.wait()

    world.give_back(slot)
    assert second.waiting
    assert world.at_work(Order.CHECK) == [slot]
    world.vetted(slot)

    assert second.slot is slot


# --- proof -------------------------------------------------------------------------------


def test_a_ping_proves_a_connection():
    world = opened(1, ping=True)
    world.run()
    slot = world.books.slots[1]
    world.upkeep.ping_all()
    world.upkeep.start_pings(world.now)
    world.perform()
    world.now += 0.25

    world.vetted(slot)

    assert slot.proven
    assert slot.proved == world.now


def test_a_check_that_does_not_ask_the_peer_proves_nothing():
    world = opened(1, check_after=0)
    world.run()
    waiter = world.wait()
    (slot,) = world.at_work(Order.CHECK)
    proved = slot.proved
    world.now += 0.25

    world.vetted(slot, proof=False)

    assert waiter.slot is slot
    assert not slot.proven
    assert slot.proved == proved


def test_a_second_open_proves_a_connection_but_is_no_sign_of_life():
    world = opened(1)
    world.run()
    slot = world.books.slots[1]
    proved = slot.proved

    world.alarm(0.999)
    assert not slot.proven
    world.alarm(0.001)

    assert slot.proven
    assert slot.plain
    assert slot.proved == proved


# --- what is told ------------------------------------------------------------------------


def test_without_listeners_nothing_is_noted():
    assert filled(1).state.journal is None


def test_the_events_of_a_life_come_in_order():
    world = filled(1, listening=True, name="orders")
    slot = world.take()
    world.retire(slot, CloseReason.BROKEN)
    world.run()

    assert [(e.kind, e.connection_id, e.reason) for e in world.told()] == [
        ("pool_opened", None, None),
        ("connection_created", 1, None),
        ("connection_ready", 1, None),
        ("pool_ready", None, None),
        ("connection_closed", 1, CloseReason.BROKEN),
        ("connection_created", 2, None),
        ("connection_ready", 2, None),
        ("pool_ready", None, None),
    ]
    assert {event.pool for event in world.told()} == {"orders"}


def test_an_object_that_is_in_the_pool_already_is_told_as_a_failed_connect():
    world = opened(2, listening=True)
    first, second = world.at_work(Order.CONNECT)
    connection = Connection()
    world.connected(first, connection)

    assert not world.connected(second, connection)
    world.state.connect_failed(second, OSError(), "OSError", world.now, False)

    assert second.state is CLOSED
    assert world.books.find(connection) is first
    assert [e.connection_id for e in world.told("connect_failed")] == [2]
