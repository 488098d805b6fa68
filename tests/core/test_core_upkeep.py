"""What becomes due with time: pings, idle timeouts, lifetimes."""

from __future__ import annotations

import random

import pytest
from core_world import START, World, filled, opened

from geventconnpool.core import commands, upkeep
from geventconnpool.core.condition import tick_seconds
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import CHECKING, CLOSED, CLOSING, IDLE
from geventconnpool.events import CloseReason
from geventconnpool.options import PoolOptions


def pinged(world: World) -> set[int]:
    return {slot.id for slot in world.at_work(Order.PING)}


def ping_now(world: World) -> None:
    world.upkeep.start_pings(world.now)
    world.perform()


# --- the tick ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 1.0),
        ({"keepalive": 60.0}, 1.0),
        ({"keepalive": 2.0}, 0.2),
        ({"idle_timeout": 3.0, "min_size": 0}, 0.3),
        ({"max_lifetime": 5.0, "keepalive": 60.0}, 0.5),
        ({"leak_threshold": 4.0}, 0.4),
        ({"keepalive": 0.01}, 0.01),
    ],
)
def test_the_tick_is_a_second_or_a_tenth_of_the_shortest_interval(options, seconds):
    assert tick_seconds(PoolOptions.checked(4, **options)) == seconds


def test_a_tick_proves_what_has_been_open_for_a_second():
    world = opened(2)
    world.run()

    world.tick(1.0)

    assert world.state.unproven == set()


def test_a_tick_serves_and_fills():
    world = opened(1)
    world.connect_failed(world.at_work(Order.CONNECT)[0])

    world.tick(world.pause)

    assert world.counts == {"connecting": 1}


# --- pings: when -------------------------------------------------------------------------


def test_what_has_not_proved_itself_alive_for_the_interval_is_pinged():
    world = filled(2, ping=True, keepalive=10.0)

    world.tick(8.0)
    assert pinged(world) == set()
    world.tick(1.0)

    assert len(pinged(world)) == 1


def test_a_connection_that_was_used_is_not_due_before_the_interval_has_passed_again():
    world = filled(1, ping=True, keepalive=10.0)
    world.tick(5.0)
    world.give_back(world.take())

    for _ in range(9):
        world.tick()
        assert pinged(world) == set()
    world.tick()

    assert pinged(world) == {1}


def test_a_use_on_the_short_way_counts_too():
    world = filled(1, ping=True, keepalive=10.0)
    world.tick(5.0)
    slot = world.take()
    slot.since = world.now
    world.books.move(slot, IDLE)

    world.tick(9.0)
    assert pinged(world) == set()
    world.tick(1.0)

    assert pinged(world) == {1}


def test_what_is_out_is_never_pinged():
    world = filled(1, ping=True, keepalive=5.0)
    slot = world.take()

    for _ in range(100):
        world.tick(0.5)
        assert pinged(world) == set()
    world.give_back(slot)
    world.tick(4.5)
    assert pinged(world) == set()
    world.tick(0.5)

    assert pinged(world) == {1}


def test_a_ping_that_passed_counts_as_a_sign_of_life():
    world = filled(1, ping=True, keepalive=10.0)
    world.tick(9.0)
    world.now += 0.5
    (slot,) = world.at_work(Order.PING)
    world.vetted(slot)

    for _ in range(9):
        world.tick()
        assert pinged(world) == set()
    world.tick()

    assert pinged(world) == {1}


def test_without_keepalive_nothing_is_pinged():
    world = filled(2, ping=True)

    for _ in range(100):
        world.tick(100.0)

    assert pinged(world) == set()


def test_every_connection_is_pinged_within_one_tick_of_its_time_whatever_happens_to_it():
    chance = random.Random(11)
    world = opened(40, ping=True, keepalive=5.0)
    world.run()
    tick, last = 0.5, dict.fromkeys(world.books.slots, START)

    for _ in range(400):
        for slot in world.at_work(Order.PING):
            last[slot.id] = world.now
            world.vetted(slot)
        if chance.random() < 0.3:
            slot = chance.choice(list(world.books.idle_slots()))
            world.books.claim(slot)
            slot.since = world.now
            world.give_back(slot)
            last[slot.id] = world.now
        world.tick(tick)
        overdue = {n for n, when in last.items() if world.now - when >= 5.0 + tick}
        assert overdue <= pinged(world)


def test_a_ping_that_fails_closes_the_connection_and_another_is_opened():
    world = filled(1, ping=True, keepalive=10.0)
    world.tick(9.0)
    (slot,) = world.at_work(Order.PING)

    world.vetted(slot, CloseReason.UNCHECKED)
    assert slot.fate is CloseReason.UNCHECKED
    world.run()

    assert world.counts == {"idle": 1}
    assert world.idle_ids == [2]


def test_nobody_looks_at_what_is_closing():
    world = filled(1, ping=True, keepalive=10.0)
    slot = world.take()
    world.retire(slot, CloseReason.BROKEN)

    world.tick(100.0)

    assert slot.state is CLOSING
    assert world.at_work(Order.CLOSE) == [slot]


# --- pings: how many ---------------------------------------------------------------------


@pytest.mark.parametrize(("idle", "most"), [(1, 1), (2, 1), (3, 1), (4, 2), (9, 4)])
def test_at_most_half_of_the_idle_are_pinged_at_a_time(idle, most):
    world = filled(idle, ping=True)
    world.upkeep.ping_all()

    ping_now(world)
    assert len(pinged(world)) == most
    asked = set()
    while pinged(world):
        asked |= pinged(world)
        world.vetted(world.at_work(Order.PING)[0])
        assert len(pinged(world)) <= most

    assert asked == set(range(1, idle + 1))


def test_there_is_a_limit_to_the_pings_of_a_large_pool():
    size = 2 * upkeep.MOST_PINGS + 100
    world = filled(size, ping=True)
    world.upkeep.ping_all()

    ping_now(world)

    assert len(pinged(world)) == upkeep.MOST_PINGS == 256


def test_a_ping_that_hangs_delays_no_other():
    world = filled(4, ping=True, keepalive=10.0)
    world.tick(9.0)
    hanging, other = world.at_work(Order.PING)

    world.vetted(other)
    while others := [slot for slot in world.at_work(Order.PING) if slot is not hanging]:
        world.vetted(others[0])

    last_proof = {slot.id: slot.proved for slot in world.books.slots.values()}
    assert last_proof.pop(hanging.id) == START
    assert set(last_proof.values()) == {world.now}
    for _ in range(10):
        world.tick()
    assert len(pinged(world)) == 2


def test_a_ping_that_hangs_is_not_begun_twice():
    world = filled(4, ping=True, keepalive=1.0)
    world.tick(1.0)
    hanging, _ = world.at_work(Order.PING)

    for _ in range(50):
        world.tick(0.1)

    assert world.jobs[hanging] is Order.PING
    assert hanging.state is CHECKING


def test_a_ping_that_could_not_begin_in_time_is_made_up_for_even_if_it_is_asked_for_again():
    world = filled(2, ping=True, keepalive=1.0)
    world.tick(1.0)
    (hanging,) = world.at_work(Order.PING)
    for _ in range(30):
        world.tick(0.1)
    world.vetted(hanging)
    (other,) = world.at_work(Order.PING)
    assert other is not hanging

    world.vetted(other)

    assert pinged(world) == set()  # nobody is asked once for each time it was due


def test_what_was_used_while_it_waited_for_its_ping_needs_none():
    world = filled(2, ping=True, keepalive=10.0)
    world.tick(9.0)
    (first,) = world.at_work(Order.PING)
    world.give_back(world.take())

    world.vetted(first)

    assert pinged(world) == set()


def test_what_is_out_when_its_turn_comes_is_not_pinged():
    world = filled(2, ping=True, keepalive=10.0)
    world.tick(9.0)
    (first,) = world.at_work(Order.PING)
    world.take()

    world.vetted(first)

    assert pinged(world) == set()


# --- ping_all ----------------------------------------------------------------------------


def test_all_idle_ones_are_pinged_on_demand_even_if_it_is_not_their_time():
    world = filled(4, ping=True, keepalive=1000.0)
    world.take()

    slots = world.upkeep.ping_all()
    assert [slot.id for slot in slots] == world.idle_ids
    assert all(world.upkeep.is_queued(slot) for slot in slots)
    ping_now(world)
    world.run()

    assert not any(world.upkeep.is_queued(slot) for slot in slots)
    assert [slot.proved == world.now for slot in slots] == [True] * 3


def test_what_is_asked_for_waits_only_for_the_ping_that_is_under_way():
    world = filled(2, ping=True, keepalive=10.0)
    world.tick(9.0)
    (first,) = world.at_work(Order.PING)
    world.vetted(first)
    (second,) = world.at_work(Order.PING)

    assert world.upkeep.ping_all() == [first]
    world.vetted(second)

    assert pinged(world) == {first.id}


def test_what_went_away_before_its_ping_is_not_waited_for():
    world = filled(2, ping=True)
    slots = world.upkeep.ping_all()
    for slot in world.take_all():
        world.retire(slot, CloseReason.BROKEN)

    ping_now(world)

    assert pinged(world) == set()
    assert not any(world.upkeep.is_queued(slot) for slot in slots)


def test_a_paused_pool_is_pinged_too():
    world = filled(2, ping=True, keepalive=10.0)
    commands.pause(world.state, world.now, False)

    world.tick(9.0)

    assert len(pinged(world)) == 1


# --- idle timeouts -----------------------------------------------------------------------


def grown(size: int = 4, min_size: int = 1, **options) -> World:
    """A world whose pool has grown to its size on demand, and is idle now."""
    world = opened(size, min_size=min_size, **options)
    waiters = [world.wait() for _ in range(size)]
    world.run()
    for waiter in waiters:
        world.give_back(waiter.slot)
    assert world.counts == {"idle": size}
    return world


def test_what_was_idle_for_too_long_is_closed_down_to_min_size():
    world = grown(idle_timeout=10.0)

    for _ in range(9):
        world.tick()
        assert world.counts == {"idle": 4}
    world.tick()

    assert world.counts == {"idle": 1, "closing": 3}
    assert world.state.counters.closes[CloseReason.IDLE] == 3
    world.run()
    for _ in range(30):
        world.tick()
    assert world.counts == {"idle": 1}


def test_what_is_in_use_is_not_closed_for_being_idle():
    world = grown(idle_timeout=10.0)
    slot = world.take()

    for _ in range(40):
        world.tick()
    world.run()
    assert world.counts == {"active": 1}
    world.state.min_size = 0
    world.give_back(slot)
    for _ in range(9):
        world.tick()
        assert slot.state is IDLE
    for _ in range(2):
        world.tick()

    assert slot.state is CLOSING


def test_what_was_kept_for_min_size_is_closed_soon_after_it_is_not_needed_any_more():
    world = grown(idle_timeout=8.0)
    for _ in range(20):
        world.tick()
    world.run()
    world.state.min_size = 0

    for _ in range(3):
        world.tick()

    assert world.counts == {"closing": 1}


def test_a_closed_pool_closes_nothing_for_being_idle():
    world = grown(idle_timeout=10.0)
    world.state.phase = world.state.phase.CLOSED

    world.tick(20.0)

    assert world.state.counters.closes[CloseReason.IDLE] == 0


# --- lifetimes ---------------------------------------------------------------------------


def aging(size: int, lifetimes: list[float], **options) -> World:
    """A world whose idle connections reach these ages."""
    world = opened(size, max_lifetime=max(lifetimes), **options)
    for lifetime in lifetimes:
        world.connected(world.at_work(Order.CONNECT)[0], retire_at=world.now + lifetime)
    assert world.at_work(Order.CONNECT) == []
    return world


def test_nothing_is_replaced_before_its_time():
    world = aging(2, [10.0, 20.0])

    for _ in range(9):
        world.tick()

    assert world.counts == {"idle": 2}
    world.tick()
    assert world.counts == {"idle": 1, "closing": 1}
    assert world.books.slots[1].fate is CloseReason.EXPIRED


def test_the_replacement_is_opened_first_where_there_is_room():
    world = aging(5, [10.0, 10.0], min_size=2)

    world.tick(10.0)
    world.tick()
    assert world.counts == {"idle": 2, "connecting": 1}
    world.connected(world.at_work(Order.CONNECT)[0])
    world.upkeep.rotate(world.now)
    world.perform()
    assert world.counts == {"idle": 2, "closing": 1, "connecting": 1}
    for _ in range(3):
        world.run()
        world.tick()

    assert world.counts == {"idle": 2}
    assert sorted(world.idle_ids) == [3, 4]
    assert world.state.counters.closes[CloseReason.EXPIRED] == 2


def test_without_room_they_are_replaced_one_at_a_time():
    world = aging(3, [10.0, 10.0, 10.0])
    world.tick(10.0)

    for number in range(3):
        assert world.counts == {"idle": 2, "closing": 1}
        assert world.state.counters.closes[CloseReason.EXPIRED] == number + 1
        world.closed(world.at_work(Order.CLOSE)[0])
        world.tick()
        assert world.counts == {"idle": 2, "connecting": 1}
        world.connected(world.at_work(Order.CONNECT)[0])
        world.upkeep.rotate(world.now)
        world.perform()

    assert sorted(world.idle_ids) == [4, 5, 6]


def test_a_rotation_sees_to_what_it_has_decided():
    world = aging(2, [10.0], min_size=1)
    world.tick(9.0)
    slot = world.books.slots[1]
    world.state.pacer.pause_until(world.now + 1.5)
    world.tick(1.0)
    assert slot.overdue
    assert world.counts == {"idle": 1}

    world.now += 0.5
    world.upkeep.rotate(world.now)

    assert world.counts == {"idle": 1, "connecting": 1}


def test_what_is_past_its_lifetime_needs_a_second_thought():
    world = aging(2, [10.0], min_size=1)
    world.tick(1.0)
    slot = world.books.slots[1]
    assert slot.plain

    world.tick(9.0)

    assert slot.overdue
    assert not slot.plain


def test_while_connects_fail_nothing_is_closed_for_its_age():
    world = aging(3, [10.0, 10.0, 10.0])
    world.tick(10.0)
    world.closed(world.at_work(Order.CLOSE)[0])
    world.connect_failed(world.at_work(Order.CONNECT)[0])

    for _ in range(10):
        world.tick(0.25)
        for slot in world.at_work(Order.CONNECT):
            world.connect_failed(slot)

    assert world.counts == {"idle": 2}
    assert world.state.counters.closes[CloseReason.EXPIRED] == 1


def test_what_nobody_needs_any_more_is_not_replaced():
    world = aging(3, [10.0, 10.0, 10.0])
    world.state.min_size = 1

    world.tick(10.0)

    assert world.counts == {"idle": 1, "closing": 2}


def test_what_is_closed_in_the_meantime_is_forgotten():
    world = aging(3, [10.0], min_size=1)
    slot = world.take()
    world.tick(10.0)
    world.retire(slot, CloseReason.BROKEN)
    world.run()

    world.tick()

    assert slot.state is CLOSED
    assert world.counts == {"idle": 1}
    assert not world.upkeep._overdue


def test_nobody_is_replaced_twice_however_often_it_is_looked_at():
    world = aging(2, [10.0, 10.0], keepalive=1.0, ping=True)
    world.take_all()

    for _ in range(30):
        world.tick()

    assert len(world.upkeep._overdue) == 2


def test_every_slot_that_something_is_to_be_done_with_is_told_of():
    world = filled(2, ping=True, keepalive=10.0)
    slots = world.upkeep.ping_all()

    assert sorted(slot.id for slot in world.upkeep.records()) == [1, 1, 2, 2]
    world.upkeep.start_pings(world.now)
    assert slots[0].state is not slots[1].state
    assert len([*world.upkeep.records()]) == 2
