"""What an operator orders: open, pause, resume, drain, resize, close."""

from __future__ import annotations

import pytest
from core_world import World, filled, opened

from geventconnpool.core import commands
from geventconnpool.core.condition import Phase
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import CHECKING, CLOSED, CLOSING, IDLE
from geventconnpool.events import CloseReason


def closes(world: World) -> dict[str, int]:
    return {str(reason): n for reason, n in world.state.counters.closes.items() if n}


def pause(world: World, interrupt: bool = False) -> None:
    commands.pause(world.state, world.now, interrupt)
    world.perform()


def drain(world: World, interrupt: bool = False) -> None:
    commands.drain(world.state, world.now, interrupt)
    world.perform()


def resize(world: World, size: int, min_size: int) -> None:
    commands.resize(world.state, world.now, size, min_size)
    world.perform()


def close(world: World) -> None:
    commands.close(world.state, world.now)
    world.perform()


def resume(world: World) -> None:
    commands.resume(world.state, world.now)
    world.perform()


# --- open --------------------------------------------------------------------------------


def test_opening_fills_the_pool_and_is_told():
    world = opened(2, listening=True)

    assert world.state.phase is Phase.OPEN
    assert world.state.refusal(world.now) is None
    assert world.counts == {"connecting": 2}
    assert world.told()[0].kind == "pool_opened"


# --- pause and resume --------------------------------------------------------------------


def test_a_paused_pool_sends_everybody_away_and_keeps_what_is_idle():
    world = filled(2, check_after=1.0)
    world.now += 2.0
    waiters = [world.wait() for _ in range(3)]
    world.run()

    pause(world)

    assert [waiter.refusal for waiter in waiters] == [None, None, "paused"]
    assert world.woken == waiters
    assert world.state.refusal(world.now) == "paused"
    assert world.counts == {"active": 2}
    for waiter in waiters[:2]:
        world.give_back(waiter.slot)
    assert world.counts == {"idle": 2}


def test_a_paused_pool_opens_nothing():
    world = filled(2)
    slot = world.take()
    pause(world)

    world.retire(slot, CloseReason.BROKEN)
    world.run()
    world.tick()

    assert world.counts == {"idle": 1}
    assert world.state.next_alarm(world.now) == float("inf")


def test_a_connect_that_was_under_way_at_the_pause_ends_in_an_idle_connection():
    world = opened(1)

    pause(world)
    world.run()

    assert world.counts == {"idle": 1}


def test_an_interrupting_pause_gives_up_the_connects_under_way():
    world = opened(2)
    (first, second) = world.at_work(Order.CONNECT)
    world.connected(first)

    pause(world, interrupt=True)

    assert world.abandoned == {second}
    assert second.state is CLOSING
    assert second.fate is CloseReason.DRAINED
    assert first.state is IDLE


def test_a_paused_pool_can_be_paused_harder():
    world = opened(1)
    pause(world)

    pause(world, interrupt=True)

    assert len(world.abandoned) == 1


def test_resuming_fills_and_serves_again():
    world = filled(2)
    pause(world)
    world.retire(world.books.slots[1], CloseReason.LOST)
    world.run()

    resume(world)

    assert world.state.refusal(world.now) is None
    assert world.counts == {"idle": 1, "connecting": 1}


def test_a_pool_that_is_not_paused_cannot_be_resumed():
    world = filled(1, listening=True)
    close(world)

    resume(world)

    assert world.state.phase is Phase.CLOSED
    assert world.told("pool_resumed") == []


def test_changes_are_told_once_and_readiness_anew():
    world = filled(1, listening=True)
    pause(world)
    pause(world, interrupt=True)
    resume(world)
    resume(world)

    kinds = ("pool_paused", "pool_resumed", "pool_ready")
    assert [(event.kind, event.interrupt) for event in world.told(*kinds)] == [
        ("pool_ready", None),
        ("pool_paused", False),
        ("pool_resumed", None),
        ("pool_ready", None),
    ]


# --- drain -------------------------------------------------------------------------------


def busy_world(**options) -> World:
    """One idle, one active, one checked, one on its way."""
    world = filled(4, ping=True, listening=True, **options)
    active, checked, closed = (world.take() for _ in range(3))
    world.state.doubt(checked, world.now)
    world.retire(closed, CloseReason.BROKEN)
    world.closed(closed)
    world.active, world.checked = active, checked
    (world.connecting,) = world.at_work(Order.CONNECT)
    (world.idle,) = world.books.idle_slots()
    assert world.counts == {"idle": 1, "active": 1, "connecting": 1, "checking": 1}
    return world


def test_a_drain_replaces_what_is_idle_or_under_way_at_once_and_the_rest_as_it_comes_back():
    world = busy_world()

    drain(world)

    assert world.counts == {"closing": 2, "active": 1, "checking": 1}
    assert world.idle.fate is world.connecting.fate is CloseReason.DRAINED
    assert world.abandoned == {world.connecting}
    world.give_back(world.active)
    world.vetted(world.checked)
    assert world.counts == {"closing": 4}
    world.run()
    assert world.counts == {"idle": 4}
    assert closes(world) == {"broken": 1, "drained": 4}


def test_an_interrupting_drain_closes_the_active_ones_under_their_users():
    world = busy_world()

    drain(world, interrupt=True)

    assert world.interrupted == [world.active]
    assert world.counts == {"closing": 3, "checking": 1}
    assert world.told("pool_drained")[0].interrupt is True


def test_what_is_taken_and_not_entered_is_drained_as_it_comes_back():
    world = filled(1)
    slot = world.get()

    drain(world)
    assert slot.fate is CloseReason.DRAINED
    assert not slot.plain
    world.give_back(slot)

    assert slot.state is CLOSING


def test_a_drain_does_not_change_the_fate_of_what_is_to_be_closed_anyway():
    world = filled(1)
    slot = world.take()
    slot.fate = CloseReason.DISCARDED

    drain(world)

    assert slot.fate is CloseReason.DISCARDED


def test_whoever_waits_during_a_drain_is_served_by_a_new_connection():
    world = filled(2)
    slots = world.take_all()
    waiter = world.wait()
    drain(world)

    for slot in slots:
        world.give_back(slot)
    world.run()

    assert waiter.slot.id > 2


def test_a_drain_of_a_paused_pool_opens_nothing():
    world = filled(2)
    pause(world)

    drain(world)
    world.run()

    assert world.counts == {}


def test_what_is_closing_already_is_left_alone_by_a_drain():
    world = filled(1, listening=True)
    world.retire(world.take(), CloseReason.BROKEN)

    drain(world, interrupt=True)

    assert len(world.told("connection_closed")) == 1


# --- resize ------------------------------------------------------------------------------


def test_a_pool_grows_at_once():
    world = filled(2, listening=True)

    resize(world, 4, 3)
    assert world.counts == {"idle": 2, "connecting": 1}
    world.run()
    world.take_all()
    world.wait()

    assert world.counts == {"active": 3, "connecting": 1}
    assert len(world.told("pool_resized")) == 1


def test_those_who_wait_profit_from_a_larger_size():
    world = filled(1)
    world.take()
    waiter = world.wait()

    resize(world, 2, 1)
    world.run()

    assert waiter.slot is not None


def test_a_resize_that_changes_nothing_is_not_told():
    world = filled(2, listening=True)

    resize(world, 2, 2)

    assert world.told("pool_resized") == []
    assert world.state.was_shrunk is False


def test_a_shrink_gives_up_connects_first_newest_first():
    world = opened(4)
    first, second, third, fourth = world.at_work(Order.CONNECT)
    world.connected(first)

    resize(world, 2, 2)

    assert world.abandoned == {third, fourth}
    assert first.state is IDLE
    assert second.fate is None
    assert closes(world) == {"resized": 2}


@pytest.mark.parametrize(("order", "left"), [("lifo", [4, 3]), ("fifo", [1, 2])])
def test_a_shrink_closes_the_idle_ones_that_would_be_handed_out_last(order, left):
    world = filled(4, order=order)

    resize(world, 2, 0)

    assert world.idle_ids == left
    assert closes(world) == {"resized": 2}


def test_after_a_shrink_active_ones_are_closed_as_they_come_back_until_few_enough_are_left():
    world = filled(3)
    slots = world.take_all()
    resize(world, 2, 2)
    assert world.counts == {"active": 3}

    world.give_back(slots[0])
    assert slots[0].fate is CloseReason.RESIZED
    world.give_back(slots[1])
    world.run()

    assert world.counts == {"idle": 1, "active": 1}


def test_after_a_shrink_checked_ones_are_closed_too():
    world = filled(2, ping=True)
    checked, _ = world.take_all()
    world.state.doubt(checked, world.now)
    world.perform()
    resize(world, 1, 1)

    world.vetted(checked)

    assert checked.fate is CloseReason.RESIZED


def test_those_who_wait_are_not_served_by_one_too_many():
    world = filled(2)
    one, other = world.take_all()
    waiter = world.wait()
    resize(world, 1, 1)

    world.give_back(one)
    assert waiter.waiting
    world.give_back(other)

    assert waiter.slot is other


def test_places_that_are_still_closing_count_after_a_shrink_and_a_growth():
    world = filled(4)
    resize(world, 1, 1)
    resize(world, 4, 4)

    assert world.counts == {"idle": 1, "closing": 3}
    world.closed(world.at_work(Order.CLOSE)[0])
    assert world.counts == {"idle": 1, "closing": 2, "connecting": 1}


# --- close -------------------------------------------------------------------------------


def test_closing_sends_everybody_away_and_closes_what_is_idle():
    world = busy_world()
    world.take()
    waiter = world.wait()

    close(world)

    assert waiter.refusal == "closed"
    assert world.state.refusal(world.now) == "closed"
    assert world.counts == {"active": 2, "checking": 1, "closing": 1}
    assert world.abandoned == {world.connecting, world.checked}
    world.vetted(world.checked, CloseReason.UNCHECKED)
    assert world.checked.fate is CloseReason.CLOSED
    for slot in (world.active, world.idle):
        world.give_back(slot)
    world.run()
    assert world.counts == {}
    assert closes(world) == {"broken": 1, "closed": 4}


def test_closing_closes_the_idle_ones_at_once():
    world = filled(3)

    close(world)

    assert world.counts == {"closing": 3}
    world.run()
    assert world.counts == {}


def test_what_is_on_its_way_to_somebody_is_closed_when_it_comes_back():
    world = filled(1)
    (slot,) = world.take_all()
    waiter = world.wait()
    world.give_back(slot)

    close(world)
    world.state.leave(waiter, world.now)
    world.run()

    assert slot.state is CLOSED
    assert world.counts == {}


def test_what_comes_back_to_a_closed_pool_by_a_gap_is_closed_all_the_same():
    world = filled(1)
    slot = world.take()
    close(world)
    slot.fate = None  # as if the close had been torn before it came to this one

    world.give_back(slot)

    assert slot.fate is CloseReason.CLOSED
    assert slot.state is CLOSING


def test_closing_says_nothing_of_the_peer():
    world = opened(2, ping=True)
    world.run()
    world.state.doubt(world.take(), world.now)
    world.perform()

    close(world)
    world.run()

    assert world.pauses == []
    assert world.state.unproven == set()


def test_a_check_that_a_drain_had_doomed_keeps_its_reason_when_the_pool_closes():
    world = busy_world()
    drain(world)

    close(world)

    assert world.checked.fate is CloseReason.DRAINED
    assert world.checked.state is CHECKING
