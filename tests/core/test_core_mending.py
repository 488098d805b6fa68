"""What an exception between two instructions has torn in two is found, and mended."""

from __future__ import annotations

import math

import pytest
from core_world import World, filled, opened

from geventconnpool.core.mending import give_up, mend
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import CLOSED, CLOSING, CONNECTING, IDLE, Slot
from geventconnpool.events import CloseReason


def at_work(world: World) -> None:
    """Let the slots know of those at work on them, as the performing side does."""
    world.perform()
    for slot in world.books.slots.values():
        slot.job = world.jobs.get(slot)


def mended(world: World) -> list[str]:
    """What was mended; after that, nothing is left to mend."""
    found = mend(world.state, world.now)
    assert mend(world.state, world.now) == []
    return found


def torn(world: World, slot: Slot) -> None:
    """Whoever was at work on *slot*, or was to be, is gone."""
    world.state.orders.clear()
    world.state.pings.clear()
    world.jobs.pop(slot, None)
    slot.job = None


def test_nothing_is_mended_in_a_healthy_life():
    world = filled(5, ping=True)
    one, other, third = world.take(), world.take(), world.take()
    world.state.retire(one, CloseReason.BROKEN, world.now)
    world.state.doubt(other, world.now)
    world.state.start_ping(world.take_idle(), world.now)

    assert mend(world.state, world.now) == []  # all of it is ordered
    at_work(world)
    assert mend(world.state, world.now) == []
    assert third.is_out


def test_a_connect_that_nobody_is_at_work_on_begins_again():
    world = opened(1)
    (slot,) = world.books.slots.values()
    torn(world, slot)

    assert mended(world) == ["connection 1: connecting, by nobody"]

    assert list(world.state.orders) == [(Order.CONNECT, slot)]
    world.run()
    assert slot.state is IDLE


def test_a_connection_that_is_registered_and_nothing_more_is_closed():
    world = opened(1)
    (slot,) = world.books.slots.values()
    torn(world, slot)
    world.books.register(slot, object())

    assert mended(world) == ["connection 1: connecting, by nobody"]

    assert slot.state is CLOSING
    assert slot.fate is CloseReason.INTERRUPTED
    assert world.at_work(Order.CLOSE) == [slot]


def test_a_check_that_nobody_is_at_work_on_ends_with_a_close():
    world = filled(1)
    slot = world.take_idle()
    world.state.start_ping(slot, world.now)
    torn(world, slot)

    assert mended(world) == [
        "connection 1: checking, by nobody",
        "connection 1: its ping was over",
    ]

    assert slot.fate is CloseReason.INTERRUPTED
    assert world.at_work(Order.CLOSE) == [slot]
    assert not world.state.pinging


def test_a_goodbye_that_nobody_is_at_work_on_is_said():
    world = filled(1)
    slot = world.take()
    world.retire(slot, CloseReason.DISCARDED)
    torn(world, slot)

    assert mended(world) == ["connection 1: closing, by nobody"]

    assert slot.fate is CloseReason.DISCARDED
    assert world.at_work(Order.CLOSE) == [slot]


def test_a_goodbye_without_a_reason_has_one_afterwards():
    world = filled(1)
    slot = world.take()
    world.books.move(slot, CLOSING)

    mended(world)

    assert slot.fate is CloseReason.INTERRUPTED


def test_a_connect_that_was_given_up_and_is_over_frees_its_place():
    world = opened(1)
    (slot,) = world.books.slots.values()
    world.state.abandon(slot, CloseReason.DRAINED)
    torn(world, slot)

    assert mended(world) == ["connection 1: closing, by nobody"]

    assert slot.state is CLOSED
    assert [slot.state for slot in world.books.slots.values()] == [CONNECTING]


def test_a_ping_that_is_over_is_forgotten():
    world = filled(2)
    slot = world.take_idle()
    world.state.pinging.add(slot)

    assert mended(world) == [f"connection {slot.id}: its ping was over"]

    assert not world.state.pinging


def test_a_pause_that_nobody_draws_is_drawn():
    world = opened(1)
    (slot,) = world.books.slots.values()
    world.finish(slot)
    world.state.connect_failed(slot, OSError(), "OSError", world.now, False)
    assert world.state.pacer.resume_at == math.inf
    assert mend(world.state, world.now) == []  # it is ordered
    world.state.orders.clear()
    world.state.pings.clear()

    assert mended(world) == ["the pause after a failed connect had no end"]

    assert list(world.state.orders) == [(Order.PAUSE, 1)]


def test_the_count_of_those_who_wait_is_mended():
    world = filled(1)
    world.take()
    waiter = world.wait()
    world.state.line.count = 3

    assert mended(world) == ["1 wait, 3 counted"]

    assert world.state.line.count == 1
    assert world.state.line.first() is waiter


def test_the_books_are_mended():
    world = filled(2)
    world.books.shelf.clear()

    assert "idle: 2 in the records, 0 counted" in mended(world)

    assert len(world.idle_ids) == 2


@pytest.mark.parametrize(
    ("fate", "reason"),
    [(None, CloseReason.INTERRUPTED), (CloseReason.DISCARDED, CloseReason.DISCARDED)],
)
def test_what_nobody_can_bring_back_is_closed(fate, reason):
    world = filled(1)
    slot = world.take()
    slot.fate = fate

    give_up(world.state, slot, world.now)

    assert slot.state is CLOSING
    assert world.state.counters.closes[reason] == 1


# --- a change that stops half-way leaves nothing worse behind ------------------------------


def test_a_count_that_is_too_high_hands_nothing_to_nobody():
    world = filled(2)
    slot = world.take()
    slot.refresh_plain()
    world.state.line.count = 1

    assert world.state.pass_to_next(slot, world.now) is None
    world.give_back(slot)

    assert slot.state is IDLE
    assert not world.woken


def test_whoever_is_interrupted_before_standing_in_line_is_not_counted():
    world = filled(1)
    world.take()
    waiter = world.wait()
    world.state.leave(type(waiter)(None), world.now)

    assert world.state.line.count == 1


def test_whoever_was_served_half_way_waits_on_and_is_refused_like_everybody():
    world = filled(1)
    slot = world.take()
    waiter = world.wait(timeout=1.0)
    waiter.slot = slot  # and there it stopped

    world.now += 2.0
    world.state.expire(world.now)
    world.perform()

    assert (waiter.slot, waiter.refusal) == (None, "timeout")
    assert world.woken == [waiter]


def test_the_shelf_is_shut_before_anything_is_put_on_it_while_somebody_waits():
    world = filled(1)
    slot = world.take()
    world.state.calm.open(world.now)
    world.wait()
    assert not world.state.calm.is_open

    world.books.move(slot, IDLE)  # and there it stopped

    assert not world.state.calm.shelf
