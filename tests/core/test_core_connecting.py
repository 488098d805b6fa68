"""Opening connections: how many, when, and what happens while it fails."""

from __future__ import annotations

import math

import pytest
from core_world import World, filled, opened

from geventconnpool.core import commands
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import CLOSED, CLOSING
from geventconnpool.events import CloseReason


def connects(world: World) -> list:
    return world.at_work(Order.CONNECT)


# --- filling -----------------------------------------------------------------------------


def test_a_pool_that_is_not_open_opens_nothing_and_serves_nobody():
    world = World(4)

    world.state.settle(world.now)

    assert world.counts == {}
    assert world.state.refusal(world.now) == "closed"
    assert world.state.next_alarm(world.now) == math.inf


def test_a_pool_fills_itself_to_min_size_slowly_at_first():
    world = opened(20, min_size=10)
    assert world.counts == {"connecting": 4}

    world.connected(connects(world)[0])
    assert world.counts == {"idle": 1, "connecting": 5}
    world.run()

    assert world.counts == {"idle": 10}
    assert world.state.is_ready


def test_a_full_pool_begins_slowly_again_when_it_has_lost_everything():
    world = filled(20)
    for slot in world.take_all():
        world.retire(slot, CloseReason.BROKEN)
    for slot in world.at_work(Order.CLOSE):
        world.closed(slot)

    assert world.counts == {"connecting": 4}


def test_there_are_never_more_connects_than_allowed():
    world = opened(20, max_connecting=3)
    while connects(world):
        assert world.books.connecting <= 3
        world.connected(connects(world)[0])

    assert world.counts == {"idle": 20}


def test_a_crowd_that_waits_does_not_keep_the_pool_from_filling():
    world = opened(20)
    waiters = [world.wait() for _ in range(30)]

    while connects(world):
        world.connected(connects(world)[0])

    assert world.counts == {"active": 20}
    assert world.woken == waiters[:20]


def test_a_pool_grows_on_demand_and_not_beyond_its_size():
    world = filled(3, min_size=1)
    assert world.counts == {"idle": 1}
    world.take()

    waiters = [world.wait() for _ in range(5)]
    assert world.counts == {"active": 1, "connecting": 2}
    world.run()

    assert world.counts == {"active": 3}
    assert world.woken == waiters[:2]


def test_a_pool_with_min_size_zero_opens_nothing_before_somebody_asks():
    world = opened(3, min_size=0)
    assert world.counts == {}

    waiter = world.wait()
    assert world.counts == {"connecting": 1}
    world.run()

    assert waiter.slot is not None


def test_the_connect_goes_on_when_whoever_it_was_for_is_gone():
    world = opened(3, min_size=0)
    waiter = world.wait()

    world.state.leave(waiter, world.now)
    world.run()

    assert world.counts == {"idle": 1}


def test_whoever_waits_takes_what_comes_first():
    world = filled(2, min_size=1)
    slot = world.take()
    waiter = world.wait()
    (newcomer,) = connects(world)

    world.give_back(slot)
    assert waiter.slot is slot
    world.connected(newcomer)

    assert world.counts == {"active": 1, "idle": 1}


def test_one_that_is_wanted_ready_is_opened_even_in_a_pool_that_may_be_empty():
    world = opened(3, min_size=0)
    assert not world.state.is_ready

    world.state.ready_wanted = 1
    world.state.settle(world.now)
    world.run()

    assert world.state.is_ready
    assert world.counts == {"idle": 1}


def test_a_pool_is_ready_when_min_size_are_open_and_not_before():
    world = opened(3, min_size=2)
    first, second = connects(world)

    world.connected(first)
    assert not world.state.is_ready
    world.connected(second)

    assert world.state.is_ready


def test_readiness_is_told_once_and_again_after_the_loss_of_everything():
    world = opened(2, listening=True)
    world.run()
    world.give_back(world.take())
    assert len(world.told("pool_ready")) == 1

    world.retire(world.take(), CloseReason.BROKEN)
    world.run()
    assert len(world.told("pool_ready")) == 1
    for slot in world.take_all():
        world.state.retire(slot, CloseReason.BROKEN, world.now)
    world.state.settle(world.now)
    world.run()

    assert len(world.told("pool_ready")) == 2


def test_a_connect_that_is_over_is_told_with_the_time_it_took():
    world = opened(1, listening=True)
    (slot,) = connects(world)
    world.now += 0.75

    world.run()

    assert slot.opened == slot.since == slot.proved == world.now
    assert [event.seconds for event in world.told("connection_ready")] == [0.75]
    assert world.state.counters.connect_seconds == 0.75
    assert world.state.counters.connects == 1


# --- failing -----------------------------------------------------------------------------


def test_a_failed_connect_frees_its_place_and_begins_a_pause():
    world = opened(1, listening=True)
    (slot,) = connects(world)
    world.now += 0.25

    world.connect_failed(slot)

    assert slot.state is CLOSED
    assert world.counts == {}
    assert world.pauses == [1]
    assert world.state.next_alarm(world.now) == world.now + world.pause
    assert world.state.counters.connect_errors == 1
    assert world.state.counters.connect_seconds == 0.25
    failed, closed = world.told("connect_failed", "connection_closed")
    assert (failed.error, failed.seconds) == ("OSError, errno 111", 0.25)
    assert closed.reason is CloseReason.CONNECT_FAILED


def test_after_the_pause_one_is_tried_and_the_pauses_count_the_failures():
    world = opened(4)
    for slot in connects(world):
        world.connect_failed(slot)

    for round in range(2, 5):
        assert world.counts == {}
        world.alarm(world.pause)
        assert world.counts == {"connecting": 1}
        world.connect_failed(connects(world)[0])
        assert world.pauses == list(range(1, round + 1))


def test_after_an_outage_the_pool_is_full_again_without_anybody_asking():
    world = opened(6)
    for slot in connects(world):
        world.connect_failed(slot)
    world.alarm(world.pause)

    world.connected(connects(world)[0])
    assert world.counts == {"idle": 1}
    alarm = world.state.next_alarm(world.now)
    assert alarm == world.now + 1.0
    world.alarm(alarm - world.now)
    assert world.counts == {"idle": 1, "connecting": 4}
    world.run()

    assert world.counts == {"idle": 6}


def in_a_backoff_with_one_open(**options):
    """A world whose connects failed, with one connection opened since, in use, and a crowd."""
    world = opened(6, **options)
    waiters = [world.wait() for _ in range(6)]
    for slot in connects(world):
        world.connect_failed(slot)
    world.alarm(world.pause)
    (slot,) = connects(world)
    world.now += 0.25
    world.connected(slot)
    assert waiters[0].slot is slot
    assert world.counts == {"active": 1}
    return world, slot


def test_a_clean_return_ends_the_backoff_at_once():
    world, slot = in_a_backoff_with_one_open()

    world.give_back(slot)

    assert world.counts == {"active": 1, "connecting": 4}


def test_a_clean_return_ends_the_backoff_at_once_also_where_it_is_reset_first():
    world, slot = in_a_backoff_with_one_open(reset=True)

    world.give_back(slot)

    assert world.counts == {"checking": 1, "connecting": 4}


def test_a_passed_check_ends_the_backoff_at_once():
    world, slot = in_a_backoff_with_one_open(ping=True)
    world.state.doubt(slot, world.now)
    world.perform()

    world.vetted(slot)

    assert world.counts == {"active": 1, "connecting": 4}


@pytest.mark.parametrize(
    ("reason", "blame"),
    [
        (CloseReason.BROKEN, True),
        (CloseReason.LOST, False),
        (CloseReason.UNCHECKED, False),
        (CloseReason.RESET_FAILED, False),
    ],
)
def test_one_that_breaks_before_it_has_proved_itself_counts_as_a_failed_connect(reason, blame):
    world = opened(1)
    world.run()
    slot = world.take()

    world.retire(slot, reason, blame=blame)
    world.run()

    assert world.pauses == [1]
    assert world.counts == {}
    assert world.state.counters.connect_errors == 0
    assert world.state.pacer.down_since is None
    world.alarm(world.pause)
    assert world.counts == {"connecting": 1}


def test_one_that_breaks_after_a_second_has_proved_itself_even_if_nobody_has_looked_yet():
    world = opened(1)
    world.run()
    world.now += 1.0

    world.retire(world.take(), CloseReason.BROKEN, blame=True)
    world.run()

    assert world.pauses == []
    assert world.counts == {"idle": 1}


@pytest.mark.parametrize("reason", [CloseReason.INTERRUPTED, CloseReason.DISCARDED])
def test_an_interruption_or_a_discard_says_nothing_of_the_peer(reason):
    world = opened(1)
    world.run()

    world.retire(world.take(), reason)
    world.run()

    assert world.pauses == []
    assert world.counts == {"idle": 1}


def test_whoever_waits_is_served_by_what_is_left_while_connects_fail():
    world = filled(2)
    good, bad = world.take_all()
    waiter = world.wait()
    world.retire(bad, CloseReason.BROKEN, blame=True)
    world.closed(bad)
    world.connect_failed(connects(world)[0])

    world.give_back(good)

    assert waiter.slot is good


# --- failing fast ------------------------------------------------------------------------


def test_waiters_and_newcomers_fail_once_connects_have_failed_for_long_enough():
    world = opened(1, fail_fast_after=2.0)
    waiter = world.wait()
    world.connect_failed(connects(world)[0])
    world.pause = 5.0
    began = world.now
    assert world.state.refusal(world.now) is None
    world.alarm(world.state.next_alarm(world.now) - world.now)
    world.connect_failed(connects(world)[0])
    assert waiter.waiting

    alarm = world.state.next_alarm(world.now)
    assert alarm == began + 2.0
    world.alarm(alarm - world.now)

    assert waiter.refusal == "unavailable"
    assert world.woken == [waiter]
    assert world.state.refusal(world.now) == "unavailable"


def test_with_zero_patience_one_failure_is_enough():
    world = opened(1, fail_fast_after=0)
    waiter = world.wait()

    world.connect_failed(connects(world)[0])

    assert waiter.refusal == "unavailable"


def test_without_patience_set_everybody_waits_for_the_peer_to_come_back():
    world = opened(1)
    waiter = world.wait()
    world.connect_failed(connects(world)[0])

    world.alarm(1000.0)

    assert waiter.waiting
    assert world.state.refusal(world.now) is None


def test_nobody_is_refused_while_anything_is_open():
    world = filled(2, fail_fast_after=0)
    good, bad = world.take_all()
    waiter = world.wait()
    world.retire(bad, CloseReason.BROKEN)
    world.closed(bad)

    world.connect_failed(connects(world)[0])

    assert waiter.waiting
    assert world.state.refusal(world.now) is None
    assert world.state.next_alarm(world.now) == world.now + world.pause
    world.give_back(good)
    assert waiter.slot is good


def test_patience_that_is_over_is_no_appointment_any_more():
    world = filled(2, fail_fast_after=0.25)
    _, bad = world.take_all()
    world.wait()
    world.retire(bad, CloseReason.BROKEN)
    world.closed(bad)
    world.pause = 100.0
    world.connect_failed(connects(world)[0])
    assert world.state.next_alarm(world.now) == world.now + 0.25

    world.alarm(0.25)

    assert world.state.next_alarm(world.now) == world.now + 99.75


def test_the_next_connection_that_is_ready_ends_the_refusals():
    world = opened(1, fail_fast_after=0)
    world.connect_failed(connects(world)[0])
    assert world.state.refusal(world.now) == "unavailable"
    world.alarm(world.pause)

    world.connected(connects(world)[0])

    assert world.state.refusal(world.now) is None
    assert world.take() is not None


def test_a_fatal_error_refuses_everybody_at_once():
    world = opened(1)
    waiter = world.wait()

    world.connect_failed(connects(world)[0], fatal=True)

    assert waiter.refusal == "unavailable"
    assert world.state.refusal(world.now) == "unavailable"


def test_an_error_that_is_not_fatal_ends_the_refusals_of_one_that_was():
    world = opened(1)
    world.connect_failed(connects(world)[0], fatal=True)
    world.alarm(world.pause)

    world.connect_failed(connects(world)[0], fatal=False)

    assert world.state.refusal(world.now) is None


@pytest.mark.parametrize(("patience", "fatal"), [(0.0, False), (None, True)])
def test_a_pool_that_refuses_everybody_goes_on_trying_even_if_it_may_be_empty(patience, fatal):
    world = opened(3, min_size=0, fail_fast_after=patience)
    world.wait()
    world.connect_failed(connects(world)[0], fatal=fatal)
    for _ in range(5):
        world.alarm(world.pause)
        world.connect_failed(connects(world)[0], fatal=fatal)
    world.alarm(world.pause)

    world.connected(connects(world)[0])

    assert world.state.refusal(world.now) is None
    assert world.counts == {"idle": 1}
    assert world.state.needed == 0


def test_a_pool_that_may_be_empty_and_refuses_nobody_tries_only_when_somebody_asks():
    world = opened(3, min_size=0)
    waiter = world.wait(timeout=0.25)
    world.connect_failed(connects(world)[0])
    world.now += 0.25
    world.state.expire(world.now)
    assert waiter.refusal == "timeout"

    world.alarm(world.pause)

    assert world.counts == {}


# --- abandoned on the way ----------------------------------------------------------------


def abandoned() -> tuple[World, object]:
    world = opened(1, listening=True)
    (slot,) = connects(world)
    world.state.abandon(slot, CloseReason.RESIZED)
    world.state.settle(world.now)
    world.perform()
    assert world.abandoned == {slot}
    assert world.counts == {"closing": 1}
    return world, slot


def test_an_abandoned_connect_keeps_its_place_until_it_has_ended():
    world, slot = abandoned()

    world.connect_failed(slot)

    assert slot.state is CLOSED
    assert world.counts == {"connecting": 1}
    assert world.pauses == []
    assert world.state.counters.connect_errors == 0
    assert [event.reason for event in world.told("connection_closed")] == [CloseReason.RESIZED]
    assert world.told("connect_failed") == []


def test_an_abandoned_connect_that_succeeds_all_the_same_is_closed():
    world, slot = abandoned()

    assert world.connected(slot)

    assert slot.state is CLOSING
    assert world.at_work(Order.CLOSE) == [slot]
    assert world.told("connection_ready") == []
    world.closed(slot)
    assert world.counts == {"connecting": 1}
    assert len(world.told("connection_closed")) == 1


# --- lifetimes, as a connection that comes back meets them -------------------------------


def overdue(size: int, **options):
    """A world whose connections are all past their lifetimes, and out."""
    world = opened(size, max_lifetime=5.0, **options)
    while connects(world):
        world.connected(connects(world)[0], retire_at=world.now + 5.0)
    slots = world.take_all()
    for _ in range(6):
        world.tick()
    assert all(slot.overdue for slot in slots)
    return world, slots


def test_what_comes_back_past_its_lifetime_is_replaced_first_where_there_is_room():
    world, (slot,) = overdue(2, min_size=1)

    world.give_back(slot)
    assert world.counts == {"idle": 1, "connecting": 1}
    world.connected(connects(world)[0])
    world.upkeep.rotate(world.now)
    world.perform()

    assert world.counts == {"idle": 1, "closing": 1}
    assert slot.state is CLOSING
    assert slot.fate is CloseReason.EXPIRED


def test_what_comes_back_past_its_lifetime_serves_whoever_waits_while_it_is_replaced():
    world, (slot,) = overdue(2, min_size=1)
    world.state.pacer.pause_until(world.now + 0.5)
    waiter = world.wait()

    world.give_back(slot)

    assert waiter.slot is slot
    assert world.state.extra == 1
    world.alarm(0.5)
    assert world.counts == {"active": 1, "connecting": 1}


def test_the_replacement_is_begun_at_once_also_where_the_old_one_goes_on_to_whoever_waits():
    world, (slot, other) = overdue(3, min_size=2, ping=True)
    world.state.doubt(other, world.now)
    waiter = world.wait()
    assert world.counts == {"active": 1, "checking": 1}

    world.give_back(slot)

    assert waiter.slot is slot
    assert world.counts == {"active": 1, "checking": 1, "connecting": 1}


def test_without_room_they_are_replaced_one_at_a_time_as_they_come_back():
    world, (one, other) = overdue(2)

    world.give_back(one)
    world.give_back(other)

    assert world.counts == {"idle": 1, "closing": 1}
    world.closed(one)
    world.upkeep.rotate(world.now)
    assert world.counts == {"idle": 1, "connecting": 1}
    world.connected(connects(world)[0])
    world.upkeep.rotate(world.now)
    assert other.state is CLOSING


def test_what_nobody_needs_is_closed_past_its_lifetime_without_a_replacement():
    world, slots = overdue(2)
    world.state.min_size = 0

    for slot in slots:
        world.give_back(slot)
    world.run()

    assert world.counts == {}


def test_while_connects_fail_what_is_past_its_lifetime_goes_on_serving():
    world, (slot, other) = overdue(2)
    world.retire(other, CloseReason.BROKEN)
    world.closed(other)
    world.connect_failed(connects(world)[0])

    world.give_back(slot)
    world.tick(0.25)

    assert world.counts == {"idle": 1}
    assert world.take() is slot


def test_while_connects_fail_even_one_too_many_goes_on_serving_past_its_lifetime():
    world, slots = overdue(3, min_size=2)
    waiter = world.wait(timeout=0.0)
    world.connect_failed(connects(world)[0])
    world.state.expire(world.now)
    world.state.min_size = 0
    assert waiter.refusal == "timeout"

    for slot in slots:
        world.give_back(slot)

    assert world.counts == {"idle": 2}


def test_what_is_past_its_lifetime_is_not_closed_while_somebody_would_miss_it():
    world, (slot, _) = overdue(3, min_size=2)
    world.state.min_size = 1
    waiter = world.wait()
    assert world.counts == {"active": 2, "connecting": 1}

    world.give_back(slot)

    assert waiter.slot is slot


def test_a_paused_pool_does_not_close_what_is_past_its_lifetime():
    world, slots = overdue(2)
    commands.pause(world.state, world.now, False)

    for slot in slots:
        world.give_back(slot)
    world.tick()

    assert world.counts == {"idle": 2}
