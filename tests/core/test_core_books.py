"""The books: which slot is where, how many are where, and what is handed out next."""

from __future__ import annotations

from typing import Any

import pytest
from core_world import Connection

from geventconnpool.core.books import Books
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


def books_with(idle: int, newest_first: bool = True) -> tuple[Books, list[Slot]]:
    """Books with so many idle slots, and these in the order in which they became idle."""
    books = Books(newest_first, Slot)
    slots = [books.add(0.0) for _ in range(idle)]
    for slot in slots:
        books.register(slot, Connection())
        books.move(slot, IDLE)
    return books, slots


def order_of(books: Books) -> list[int]:
    return [slot.id for slot in books.idle_slots()]


def pop_all(books: Books) -> list[int]:
    return [slot.id for slot in iter(books.pop, None)]


# --- counting ----------------------------------------------------------------------------


def test_every_slot_is_counted_where_it_is():
    books, (idle, active, taken, checking, closing) = books_with(5)
    books.add(0.0)
    books.move(taken, TAKEN)
    books.move(active, TAKEN)
    active.become(ACTIVE)
    books.move(checking, CHECKING)
    books.move(closing, CLOSING)

    assert idle.state is IDLE
    assert (books.idle, books.active, books.checking) == (1, 2, 1)
    assert (books.connecting, books.closing) == (1, 1)
    assert books.open == 4
    assert books.live == 5
    assert books.mistakes() == []


def test_ids_count_from_one_and_are_never_used_again():
    books = Books(True, Slot)
    first, second = books.add(0.0), books.add(0.0)
    books.move(second, CLOSED)

    third = books.add(0.0)

    assert [first.id, second.id, third.id] == [1, 2, 3]
    assert books.newest == 3


def test_an_illegal_move_leaves_the_books_as_they_were():
    books, (slot,) = books_with(1)

    with pytest.raises(AssertionError):
        books.move(slot, CLOSED)

    assert books.idle == 1
    assert books.mistakes() == []


def test_uses_count_those_of_slots_that_are_gone():
    books, (one, other) = books_with(2)
    one.uses, other.uses = 3, 4
    books.move(one, CLOSING)
    books.move(one, CLOSED)

    assert books.past_uses + other.uses == 7


def test_a_use_that_came_to_nothing_is_not_counted_even_if_the_slot_is_gone():
    books, (one, other) = books_with(2)
    one.uses, other.uses = 3, 4
    books.move(one, CLOSING)
    books.move(one, CLOSED)

    books.unuse(one)
    books.unuse(other)

    assert books.past_uses == 2
    assert other.uses == 3


# --- the shelf ---------------------------------------------------------------------------


@pytest.mark.parametrize(("newest_first", "order"), [(True, [3, 2, 1]), (False, [1, 2, 3])])
def test_the_newest_or_the_oldest_is_handed_out_first(newest_first, order):
    books, _ = books_with(3, newest_first)

    assert order_of(books) == order
    assert pop_all(books) == order
    assert books.active == 3
    assert books.mistakes() == []


def test_an_empty_shelf_has_nothing_to_hand_out():
    assert Books(True, Slot).pop() is None


@pytest.mark.parametrize("newest_first", [True, False])
def test_what_went_away_from_the_shelf_is_not_handed_out(newest_first):
    books, slots = books_with(4, newest_first)
    for slot in (slots[0], slots[3]):
        books.move(slot, CHECKING)

    assert books.idle == 2
    assert sorted(order_of(books)) == [2, 3]
    assert sorted(pop_all(books)) == [2, 3]
    assert books.pop() is None
    assert books.mistakes() == []


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_ping_does_not_change_the_place_on_the_shelf(newest_first):
    books, slots = books_with(3, newest_first)
    before = order_of(books)

    books.move(slots[1], CHECKING)
    books.move(slots[1], IDLE)

    assert order_of(books) == before
    assert len(books.shelf) == 3
    assert books.mistakes() == []


def test_a_slot_whose_stale_entry_came_off_the_shelf_is_shelved_anew():
    books, (one, other) = books_with(2)
    books.move(other, CHECKING)
    assert books.pop() is one
    assert not other.ghost

    books.move(other, IDLE)

    assert order_of(books) == [2]
    assert books.mistakes() == []


def test_a_slot_handed_out_from_a_check_is_on_the_shelf_once_afterwards():
    books, slots = books_with(3)
    books.move(slots[0], CHECKING)
    books.move(slots[0], TAKEN)
    books.move(slots[0], IDLE)

    assert order_of(books) == [1, 3, 2]
    assert len(books.shelf) == 3


@pytest.mark.parametrize("newest_first", [True, False])
def test_any_idle_slot_can_be_claimed(newest_first):
    for number in range(3):
        books, slots = books_with(3, newest_first)

        books.claim(slots[number])

        assert slots[number].state is TAKEN
        assert number + 1 not in order_of(books)
        assert len(books.shelf) == 2
        assert books.mistakes() == []


def test_to_claim_the_next_one_takes_no_sweeping():
    books, slots = books_with(4)
    books.move(slots[1], CHECKING)

    books.claim(slots[3])

    assert list(books.shelf) == slots[:3]
    assert books.mistakes() == []


@pytest.mark.parametrize("newest_first", [True, False])
def test_the_cold_end_is_handed_out_last(newest_first):
    books, slots = books_with(4, newest_first)
    books.move(slots[1], CHECKING)

    for slot in slots[2:]:
        books.to_cold_end(slot)

    assert order_of(books)[1:] == [3, 4]
    assert pop_all(books) == [1, 3, 4]


def test_stale_entries_do_not_outnumber_the_others_for_long():
    books, slots = books_with(100)

    for slot in slots[:90]:
        books.move(slot, CLOSING)
        books.move(slot, CLOSED)
        assert len(books.shelf) <= max(2 * books.idle, books.idle + 16)
        assert books.mistakes() == []

    assert order_of(books) == list(range(100, 90, -1))


def test_the_shelf_stays_the_same_object_when_it_is_swept():
    books, slots = books_with(3)
    shelf = books.shelf
    books.move(slots[0], CHECKING)

    books.lay_ghosts()

    assert books.shelf is shelf
    assert list(shelf) == slots[1:]


# --- connections -------------------------------------------------------------------------


def test_a_connection_is_found_by_identity_whatever_it_says_of_equality():
    books, (one, other) = books_with(2)

    assert one.connection == other.connection
    assert books.find(one.connection) is one
    assert books.find(other.connection) is other
    assert books.find(Connection()) is None


@pytest.mark.parametrize("connection", [0, "", (), [], {}])
def test_a_connection_may_be_false_and_unhashable(connection: Any):
    books = Books(True, Slot)
    slot = books.add(0.0)

    assert books.register(slot, connection)
    assert books.find(connection) is slot


def test_an_object_that_the_pool_has_already_is_refused():
    books, (one,) = books_with(1)
    newcomer = books.add(0.0)

    assert not books.register(newcomer, one.connection)

    assert newcomer.connection is None
    assert books.find(one.connection) is one


def test_a_stale_number_finds_nothing():
    books, (slot,) = books_with(1)
    connection, slot.connection = slot.connection, Connection()

    assert books.find(connection) is None


def test_a_closed_slot_lets_go_of_everything():
    books, (slot,) = books_with(1)
    connection = slot.connection
    slot.holder = slot.descriptor = slot.owner = object()
    books.move(slot, CLOSING)
    assert books.find(connection) is slot

    books.move(slot, CLOSED)

    assert books.slots == {}
    assert books.find(connection) is None
    assert not books._by_connection
    assert slot.connection is slot.holder is slot.descriptor is slot.owner is None
    assert books.register(books.add(0.0), connection)


def test_a_new_record_stands_in_the_place_of_the_old_one():
    books, (slot,) = books_with(1)
    connection = slot.connection
    books.move(slot, TAKEN)

    successor = books.replace(slot, 5.0)

    assert successor is not slot
    assert books.find(connection) is successor
    assert list(books.slots.values()) == [successor]
    assert slot.state is CLOSED
    assert books.active == 1
    assert books.mistakes() == []


# --- mistakes and repair -----------------------------------------------------------------


def counts(books: Books) -> tuple[int, ...]:
    return (books.idle, books.active, books.connecting, books.checking, books.closing)


def test_a_move_that_was_torn_before_the_count_is_found_and_mended():
    books, (slot, _) = books_with(2)
    slot.state = CHECKING

    assert books.mistakes() == [
        "checking: 1 in the records, 0 counted",
        "idle: 1 in the records, 2 counted",
    ]
    books.repair()

    assert books.mistakes() == []
    assert counts(books) == (1, 0, 0, 1, 0)


def test_an_idle_slot_that_is_not_on_the_shelf_is_put_back_to_the_cold_end():
    books, slots = books_with(3)
    books.shelf.remove(slots[2])

    assert books.mistakes() == [
        "idle: 3 in the records, 2 counted",
        "idle: 3 in the records, 2 on the shelf",
    ]
    books.repair()

    assert books.mistakes() == []
    assert order_of(books) == [2, 1, 3]


def test_a_slot_that_is_on_the_shelf_twice_is_found_and_mended():
    books, slots = books_with(2)
    books.shelf.append(slots[0])
    books._ghosts += 1

    assert books.mistakes() == ["idle: 2 in the records, 3 on the shelf"]
    books.repair()

    assert books.mistakes() == []
    assert order_of(books) == [2, 1]


def test_a_shelf_that_holds_one_twice_and_another_not_at_all_is_found():
    books, slots = books_with(2)
    books.shelf[1] = slots[0]

    assert books.mistakes() == ["idle: 2 in the records, 2 on the shelf"]
    books.repair()

    assert books.mistakes() == []
    assert order_of(books) == [1, 2]


def test_a_closed_slot_that_still_takes_a_place_is_found_and_its_place_is_freed():
    books, (slot, _) = books_with(2)
    connection = slot.connection
    books.move(slot, CLOSING)
    slot.state = CLOSED

    assert books.mistakes() == [
        "closing: 0 in the records, 1 counted",
        "closed: 1 in the records, 0 counted",
    ]
    books.repair()

    assert books.mistakes() == []
    assert counts(books) == (1, 0, 0, 0, 0)
    assert books.find(connection) is None


def test_a_count_that_is_wrong_is_found_and_mended():
    books, _ = books_with(1)
    books.add(0.0)
    books._elsewhere[CONNECTING] = 4

    assert books.mistakes() == ["connecting: 1 in the records, 4 counted"]
    books.repair()

    assert books.mistakes() == []
    assert books.connecting == 1


def test_repairing_right_books_changes_nothing():
    books, slots = books_with(5)
    books.move(slots[2], TAKEN)
    books.move(slots[1], CHECKING)
    assert slots[1].ghost
    before = counts(books), order_of(books)

    books.repair()

    assert (counts(books), order_of(books)) == before
    books.move(slots[1], IDLE)
    assert order_of(books) == [2, 5, 4, 1]
    assert books.mistakes() == []


def test_a_connection_that_is_not_found_is_found_again():
    books, (slot, _) = books_with(2)
    books._by_connection.clear()

    assert books.mistakes() == ["connections: 2 in the records, others known"]
    books.repair()

    assert books.mistakes() == []
    assert books.find(slot.connection) is slot


def test_a_connection_that_leads_to_a_record_of_the_past_leads_to_the_new_one():
    books, (slot,) = books_with(1)
    connection = slot.connection
    books.pop()
    successor = books.replace(slot, 5.0)
    books._by_connection[id(connection)] = slot

    assert books.mistakes() == ["connections: 1 in the records, others known"]
    books.repair()

    assert books.find(connection) is successor


def test_a_record_of_the_past_is_not_handed_out():
    books, (slot,) = books_with(1)
    books.pop()
    successor = books.replace(slot, 5.0)
    slot.state = IDLE
    books.shelf.append(slot)  # brought back by whoever had the old record

    assert books.mistakes() == ["idle: 0 in the records, 1 counted"]
    books.repair()

    assert books.mistakes() == []
    assert books.pop() is None
    assert successor.state is TAKEN


def test_every_reference_to_a_record_is_known():
    books, (slot, other) = books_with(2)
    assert books.pop() is other

    assert [*books.records()].count(slot) == 3
    assert [*books.records()].count(other) == 2
