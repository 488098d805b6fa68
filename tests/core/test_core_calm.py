"""The short way of a calm day: open only while nobody can lose anything by it."""

from __future__ import annotations

import pytest
from core_world import World, filled, opened

from geventconnpool.core import commands
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import IDLE
from geventconnpool.core.waiting import Waiter
from geventconnpool.events import CloseReason


def is_open(world: World) -> bool:
    calm = world.state.calm
    if calm.is_open:
        assert calm.now is world.state.now
    return calm.is_open and calm.shelf is world.books.shelf


def test_a_full_pool_without_waiters_is_calm():
    assert is_open(filled(2))


def test_a_pool_that_is_not_open_is_not_calm():
    calm = World(2).state.calm

    assert not calm.is_open
    assert not calm.shelf


@pytest.mark.parametrize(
    "option",
    [
        {"listening": True},
        {"reset": True},
        {"check_after": 1.0},
        {"check_after": 0.0},
        {"leak_threshold": 5.0},
    ],
)
def test_an_option_that_asks_for_a_second_look_leaves_no_day_calm(option):
    world = filled(2, **option)
    waiter = world.wait()
    world.run()
    assert not is_open(world)

    world.give_back(waiter.slot)

    assert not is_open(world)
    assert not world.state.calm.shelf


@pytest.mark.parametrize(("order", "expected"), [("lifo", 3), ("fifo", 1)])
def test_the_short_way_hands_out_what_the_long_way_would(order, expected):
    world = filled(3, order=order)

    assert world.state.calm.shelf.pop().id == expected


def test_what_is_put_back_the_short_way_is_on_the_shelf():
    world = filled(2)
    calm = world.state.calm
    slot = calm.shelf.pop()

    calm.put(slot)

    assert world.books.mistakes() == []
    assert world.idle_ids == [2, 1]


def test_while_somebody_waits_nothing_can_be_taken_or_brought_back_without_a_thought():
    world = filled(1)
    (slot,) = world.take_all()
    assert is_open(world)

    waiter = world.wait()
    assert not world.state.calm.is_open
    world.give_back(slot)

    assert waiter.slot is slot
    assert is_open(world)


def test_it_is_not_calm_while_a_connection_is_opened_for_somebody_who_waits():
    world = filled(2, min_size=1)
    slot = world.take()

    waiter = world.wait()
    assert world.at_work(Order.CONNECT)
    assert not world.state.calm.is_open
    assert not world.state.calm.shelf
    world.give_back(slot)

    assert waiter.slot is slot


def test_the_shortest_way_makes_it_calm_again_only_when_nobody_waits_any_more():
    world = filled(1)
    (slot,) = world.take_all()
    slot.refresh_plain()
    world.wait()
    world.wait()

    world.state.pass_to_next(slot, world.now)
    assert not world.state.calm.is_open
    world.state.pass_to_next(slot, world.now)

    assert is_open(world)


def test_handing_over_to_one_of_several_leaves_it_shut():
    world = filled(1)
    (slot,) = world.take_all()
    world.wait()
    world.wait()

    world.give_back(slot)

    assert not world.state.calm.is_open


@pytest.mark.parametrize(
    "stop", [lambda state, now: commands.pause(state, now, False), commands.close]
)
def test_a_pool_that_serves_nobody_is_not_calm(stop):
    world = filled(2)

    stop(world.state, world.now)
    world.run()

    assert not world.state.calm.is_open
    assert not world.state.calm.shelf


def test_a_pool_with_too_many_out_is_not_calm_before_enough_have_come_back():
    world = filled(3)
    slots = world.take_all()
    commands.resize(world.state, world.now, 1, 1)
    assert not is_open(world)

    world.give_back(slots[0])
    assert not is_open(world)
    world.give_back(slots[1])

    assert is_open(world)
    assert world.state.was_shrunk is False


def test_taking_one_makes_the_day_calm_again_after_a_tick():
    world = filled(2)
    world.state.calm.shut()

    world.take()

    assert is_open(world)


def test_a_pool_that_was_shrunk_stays_shut_when_one_is_taken_from_too_many():
    world = filled(3)
    world.take_all()
    commands.resize(world.state, world.now, 1, 1)
    slot = world.books.slots[1]
    world.books.move(slot, IDLE)

    world.take()

    assert not is_open(world)


def test_a_pool_without_room_does_not_look_for_more_when_somebody_waits():
    world = filled(1)
    (slot,) = world.take_all()

    assert not world.state.enter(Waiter(None), world.now, common=True)

    world.retire(slot, CloseReason.BROKEN)
    world.closed(slot)
    assert world.at_work(Order.CONNECT)
    assert world.state.enter(Waiter(None), world.now, common=True) is False


def test_a_pool_with_room_opens_more_when_somebody_waits():
    world = opened(2, min_size=0)
    assert world.state.enter(Waiter(None), world.now, common=True)

    assert len(world.at_work(Order.CONNECT)) == 1


def test_it_is_well_while_it_serves_and_the_peer_does_not_fail():
    world = opened(1)
    assert world.state.is_well

    world.connect_failed(world.at_work(Order.CONNECT)[0])
    assert not world.state.is_well
    world.alarm(world.pause)
    world.run()
    assert world.state.is_well
    commands.pause(world.state, world.now, False)

    assert not world.state.is_well
