"""The timing wheel: everything is looked at in the first step at or after its time."""

from __future__ import annotations

import random

from geventconnpool.core.agenda import Agenda
from geventconnpool.core.slot import CLOSED, Slot


def slots(count: int) -> list[Slot]:
    return [Slot(number, 0.0) for number in range(count)]


def test_nothing_is_looked_at_before_its_time():
    agenda, (slot,) = Agenda(100.0, 1.0), slots(1)
    agenda.enter(103.0, slot)

    assert agenda.due(102.5) == []
    assert agenda.due(103.0) == [slot]


def test_what_was_looked_at_is_not_looked_at_again():
    agenda, (slot,) = Agenda(100.0, 1.0), slots(1)
    agenda.enter(103.0, slot)
    agenda.due(103.0)

    assert agenda.due(200.0) == []


def test_what_falls_between_two_steps_is_looked_at_in_the_later_one():
    agenda, (slot,) = Agenda(100.0, 1.0), slots(1)
    agenda.enter(102.1, slot)

    assert agenda.due(102.9) == []
    assert agenda.due(103.0) == [slot]


def test_what_is_past_is_looked_at_in_the_next_step():
    agenda, (slot,) = Agenda(100.0, 1.0), slots(1)
    agenda.enter(42.0, slot)

    assert agenda.due(100.0) == [slot]


def test_a_tick_that_comes_a_little_early_does_not_cost_a_whole_step():
    agenda, (slot,) = Agenda(100.0, 0.1), slots(1)
    agenda.enter(100.3, slot)

    assert agenda.due(100.3 - 0.0005) == [slot]


def test_what_is_due_comes_in_the_order_of_its_steps():
    agenda, all_slots = Agenda(0.0, 1.0), slots(50)
    times = [(random.Random(1).uniform(0, 20), slot) for slot in all_slots]
    for when, slot in times:
        agenda.enter(when, slot)

    found = agenda.due(30.0)

    steps = {slot: -int(-when // 1) for when, slot in times}
    assert sorted(found, key=steps.__getitem__) == found
    assert set(found) == set(all_slots)


def test_whatever_is_entered_is_found_within_one_step_after_its_time():
    agenda, chance = Agenda(1000.0, 0.25), random.Random(2)
    due_at = {slot: 1000.0 + chance.uniform(0, 50) for slot in slots(300)}
    for slot, when in due_at.items():
        agenda.enter(when, slot)

    for step in range(1, 202):
        now = 1000.0 + step * 0.25
        for slot in agenda.due(now):
            when = due_at.pop(slot)
            assert when <= now < when + 0.25

    assert due_at == {}


def test_nobody_looks_at_what_was_closed_in_the_meantime():
    agenda, (one, other) = Agenda(0.0, 1.0), slots(2)
    agenda.enter(1.0, one)
    agenda.enter(1.0, other)

    one.state = CLOSED

    assert agenda.due(1.0) == [other]


def test_every_entry_is_told_of():
    agenda = Agenda(0.0, 1.0)
    one, other = Slot(1, 0.0), Slot(2, 0.0)
    for when, slot in ((1.0, one), (1.0, other), (7.0, one)):
        agenda.enter(when, slot)

    assert [slot.id for slot in agenda.records()] == [1, 2, 1]
