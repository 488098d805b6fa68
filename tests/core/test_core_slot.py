"""The record of one connection: where it may go, and what it knows of itself."""

from __future__ import annotations

import itertools

import pytest

from geventconnpool.core.slot import (
    ACTIVE,
    CHECKING,
    CLOSED,
    CLOSING,
    CONNECTING,
    IDLE,
    TAKEN,
    Slot,
    SlotState,
)
from geventconnpool.events import CloseReason

LEGAL = {
    "connecting": "idle taken checking closing closed",
    "idle": "taken checking closing",
    "taken": "active idle checking closing closed",
    "active": "taken idle checking closing closed",
    "checking": "checking idle taken closing",
    "closing": "closed",
    "closed": "",
}


def slot_in(state: SlotState) -> Slot:
    slot = Slot(7, 1.0)
    slot.state = state
    return slot


def is_legal(move: tuple[SlotState, SlotState]) -> bool:
    before, after = move
    return after.value in LEGAL[before.value].split()


MOVES = list(itertools.product(SlotState, SlotState))
LEGAL_MOVES = [move for move in MOVES if is_legal(move)]
ILLEGAL_MOVES = [move for move in MOVES if not is_legal(move)]


@pytest.mark.parametrize(("before", "after"), LEGAL_MOVES)
def test_a_legal_move_is_made(before, after):
    slot = slot_in(before)

    slot.become(after)

    assert slot.state is after


@pytest.mark.parametrize(("before", "after"), ILLEGAL_MOVES)
def test_an_illegal_move_is_refused_and_changes_nothing(before, after):
    slot = slot_in(before)

    with pytest.raises(AssertionError, match=f"^connection 7: {before.value} -> {after.value}$"):
        slot.become(after)

    assert slot.state is before


def test_a_slot_begins_with_the_attempt_to_connect():
    slot = Slot(7, 1.0)

    assert slot.state is CONNECTING
    assert slot.started == slot.opened == slot.since == slot.proved == 1.0
    assert not slot.proven
    assert slot.connection is None


@pytest.mark.parametrize("state", SlotState)
def test_taken_and_active_are_out(state):
    assert slot_in(state).is_out == (state in {TAKEN, ACTIVE})


@pytest.mark.parametrize("state", SlotState)
def test_what_holds_a_usable_connection_is_open(state):
    assert slot_in(state).is_open == (state in {IDLE, TAKEN, ACTIVE, CHECKING})


def test_it_can_be_told_apart_in_a_log():
    assert repr(slot_in(IDLE)) == "<Slot 7 idle>"


# --- what needs no second thought --------------------------------------------------------


def plain_slot() -> Slot:
    slot = slot_in(ACTIVE)
    slot.proven = True
    slot.refresh_plain()
    assert slot.plain
    return slot


def test_a_slot_is_not_plain_before_it_has_proved_itself():
    slot = slot_in(ACTIVE)

    slot.refresh_plain()

    assert not slot.plain


@pytest.mark.parametrize(
    ("name", "value"),
    [("fate", CloseReason.DISCARDED), ("overdue", True), ("descriptor", object())],
)
def test_a_slot_that_needs_a_second_thought_is_not_plain(name, value):
    slot = plain_slot()

    setattr(slot, name, value)
    slot.refresh_plain()

    assert not slot.plain


def test_a_slot_whose_descriptor_can_be_asked_for_is_plain():
    slot = plain_slot()

    slot.descriptor, slot.owner = object(), lambda: 3
    slot.refresh_plain()

    assert slot.plain


# --- a new record for the same connection ------------------------------------------------


def test_a_successor_takes_over_everything():
    old, new = plain_slot(), Slot(7, 50.0)
    old.connection, old.descriptor, old.owner = connection, descriptor, fileno = (
        object(),
        object(),
        object(),
    )
    old.job, old.holder = job, holder = object(), object()
    old.since, old.opened, old.retire_at, old.uses = 5.0, 2.0, 99.0, 12

    new.succeed(old)

    assert new.state is ACTIVE
    assert (new.id, new.since, new.opened, new.retire_at, new.uses) == (7, 5.0, 2.0, 99.0, 12)
    assert (new.connection, new.descriptor, new.owner) == (connection, descriptor, fileno)
    assert (new.job, new.holder) == (job, holder)
    assert new.plain


def test_a_record_that_lets_go_knows_of_no_connection():
    slot = plain_slot()
    slot.connection = slot.descriptor = slot.owner = slot.job = slot.holder = object()

    slot.let_go()

    assert slot.connection is slot.descriptor is slot.owner is slot.job is slot.holder is None


def test_a_successor_finds_out_anew_that_it_is_overdue():
    old, new = plain_slot(), Slot(7, 50.0)
    old.overdue = True

    new.succeed(old)

    assert not new.overdue


def test_closing_is_the_only_way_on_from_closing():
    assert [after for after in SlotState if is_legal((CLOSING, after))] == [CLOSED]
