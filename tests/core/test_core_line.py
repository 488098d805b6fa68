"""The line of those who wait: first come, first served, and nobody waits too long."""

from __future__ import annotations

import random

import pytest

from geventconnpool.core.slot import Slot
from geventconnpool.core.waiting import Line, Waiter


def join(line: Line, *deadlines: float | None, common: bool = False) -> list[Waiter]:
    waiters = [Waiter(deadline) for deadline in deadlines]
    for waiter in waiters:
        line.enter(waiter, common)
    return waiters


def serve(line: Line) -> Waiter | None:
    waiter = line.first()
    if waiter is not None:
        line.serve(waiter, Slot(1, 0.0))
    return waiter


def all_served(line: Line) -> list[Waiter]:
    return list(iter(lambda: serve(line), None))


def entries(line: Line) -> int:
    return len(line.order) + len(line._common) + len(line.special)


# --- the order of service ----------------------------------------------------------------


def test_who_came_first_is_served_first():
    line = Line()
    first, second, third = join(line, None, 5.0, None)

    assert all_served(line) == [first, second, third]


def test_nobody_is_served_where_nobody_waits():
    assert Line().first() is None


def test_whoever_is_served_has_a_slot_and_waits_no_more():
    line, slot = Line(), Slot(1, 0.0)
    (waiter,) = join(line, None)

    line.serve(waiter, slot)

    assert waiter.slot is slot
    assert waiter.refusal is None
    assert not waiter.waiting
    assert line.count == 0


def test_whoever_left_is_passed_over():
    line = Line()
    first, second, third = join(line, None, None, None)

    line.leave(second)

    assert line.count == 2
    assert all_served(line) == [first, third]


def test_whoever_left_last_leaves_an_empty_line():
    line = Line()
    (waiter,) = join(line, None)

    line.leave(waiter)

    assert line.count == 0
    assert line.first() is None
    assert entries(line) == 0


def test_the_dead_are_passed_over_at_the_end_too():
    line = Line()
    first, second = join(line, None, None)
    serve(line)
    second.waiting = False  # torn out of the line without leaving it

    assert line.first() is None
    assert first.slot is not None


# --- standing in line once more ----------------------------------------------------------


def stand_again(line: Line, waiter: Waiter) -> None:
    waiter.slot, waiter.waiting = None, True
    line.enter_first(waiter)


def test_whoever_was_served_in_vain_comes_before_those_who_came_later():
    line = Line()
    first, second = join(line, None, None)
    serve(line)

    stand_again(line, first)

    assert line.count == 2
    assert all_served(line) == [first, second]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_several_who_were_served_in_vain_stand_in_the_order_of_their_arrival(order):
    line = Line()
    waiters = join(line, None, None, None, None)
    for _ in range(3):
        serve(line)

    for number in order:
        stand_again(line, waiters[number])

    assert all_served(line) == waiters


def test_whoever_stands_in_line_again_keeps_the_deadline():
    line = Line()
    waiter, _ = join(line, 5.0, 9.0, common=True)
    serve(line)
    assert line.next_deadline() == 9.0

    stand_again(line, waiter)

    assert line.next_deadline() == 5.0
    assert list(line.expire(5.0)) == [waiter]
    assert list(line.expire(8.0)) == []


def test_whoever_has_no_deadline_has_none_the_second_time():
    line = Line()
    (waiter,) = join(line, None)
    serve(line)

    stand_again(line, waiter)

    assert line.next_deadline() is None


# --- deadlines ---------------------------------------------------------------------------


def test_without_deadlines_nobody_is_ever_sent_away():
    line = Line()
    join(line, None, None)

    assert line.next_deadline() is None
    assert list(line.expire(1e12)) == []
    assert line.count == 2


def test_whoever_waited_too_long_is_sent_away_with_the_reason():
    line = Line()
    (waiter,) = join(line, 5.0)

    assert list(line.expire(4.999)) == []
    assert list(line.expire(5.0)) == [waiter]
    assert waiter.refusal == "timeout"
    assert waiter.slot is None
    assert not waiter.waiting
    assert line.count == 0


def test_mixed_timeouts_expire_in_the_order_of_their_deadlines():
    line = Line()
    common = join(line, 3.0, 6.0, common=True)
    special = join(line, 7.0, 1.0, 3.0, 2.0)

    assert line.next_deadline() == 1.0
    late = list(line.expire(6.5))

    assert [waiter.deadline for waiter in late] == [1.0, 2.0, 3.0, 3.0, 6.0]
    assert late[2:4] == [common[0], special[2]]
    assert line.next_deadline() == 7.0
    assert all_served(line) == [special[0]]


def test_waiters_with_the_same_deadline_expire_in_the_order_of_their_arrival():
    line = Line()
    waiters = join(line, *[4.0] * 20)

    assert list(line.expire(4.0)) == waiters


def test_the_deadline_of_somebody_who_is_gone_counts_no_more():
    line = Line()
    common = join(line, 1.0, 5.0, common=True)
    special = join(line, 2.0, 6.0)

    line.leave(common[0])
    line.leave(special[0])

    assert line.next_deadline() == 5.0
    line.leave(common[1])
    assert line.next_deadline() == 6.0


# --- sending everybody away --------------------------------------------------------------


def test_everybody_is_sent_away_in_order():
    line = Line()
    first, second, third = join(line, None, 5.0, None)
    line.leave(second)

    assert list(line.refuse_all("closed")) == [first, third]
    assert [waiter.refusal for waiter in (first, second, third)] == ["closed", None, "closed"]
    assert line.count == 0
    assert list(line.refuse_all("closed")) == []


def test_those_who_were_sent_away_are_counted_until_they_know_it():
    line = Line()
    join(line, 1.0, None, None)

    list(line.expire(1.0))
    list(line.refuse_all("paused"))

    assert line.sent_away == 3


# --- what the dead cost ------------------------------------------------------------------


@pytest.mark.parametrize("deadline", [None, 100.0])
@pytest.mark.parametrize("common", [True, False])
def test_the_dead_do_not_pile_up_behind_one_who_stays(deadline, common):
    line = Line()
    (patient,) = join(line, None)

    for _ in range(1000):
        line.leave(*join(line, deadline, common=common))
        assert entries(line) < 80

    assert all_served(line) == [patient]


@pytest.mark.parametrize("common", [True, False])
def test_the_served_do_not_pile_up_in_a_line_that_is_never_empty(common):
    line, chance = Line(), random.Random(5)
    join(line, 1000.0)

    for number in range(1000):
        spread = 0.0 if common else chance.uniform(0.0, 1e6)
        join(line, 1001.0 + number + spread, common=common)
        serve(line)
        assert entries(line) < 80

    assert line.count == 1


def test_the_deadlines_of_those_who_stay_survive_the_sweeping():
    line = Line()
    stay = [*join(line, 500.0, common=True), *join(line, 400.0, 300.0)]

    for _ in range(200):
        line.leave(*join(line, 600.0, common=True))
        line.leave(*join(line, 600.0))

    assert list(line.expire(599.0)) == [stay[2], stay[1], stay[0]]


def test_the_earliest_deadline_is_known_after_a_sweeping_too():
    line = Line()
    first, *_ = join(line, 1.0, 10.0, 2.0, 11.0, 12.0, 3.0, 4.0)
    crowd = join(line, *[100.0] * 40)

    for waiter in (first, *crowd):
        line.leave(waiter)

    assert line.next_deadline() == 2.0


@pytest.mark.parametrize("seed", range(5))
def test_a_line_behaves_as_a_plain_list_would(seed):
    line, chance, now = Line(), random.Random(seed), 0.0
    waiting: list[Waiter] = []
    for _ in range(2000):
        now += chance.choice([0.0, 0.01])
        what = chance.random()
        if what < 0.5 or not waiting:
            common = chance.random() < 0.5
            timeout = 1.0 if common else chance.choice([None, chance.uniform(0.0, 2.0)])
            waiting += join(line, None if timeout is None else now + timeout, common=common)
        elif what < 0.7:
            assert serve(line) is waiting.pop(0)
        elif what < 0.9:
            line.leave(waiting.pop(chance.randrange(len(waiting))))
        else:
            late = [each for each in waiting if each.deadline is not None and each.deadline <= now]
            assert set(line.expire(now)) == set(late)
            waiting = [each for each in waiting if each not in late]
        deadlines = [each.deadline for each in waiting if each.deadline is not None]
        assert line.next_deadline() == min(deadlines, default=None)
        assert line.count == len(waiting)
    assert all_served(line) == waiting


# --- proof ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [-1, 0, 2])
def test_a_wrong_count_is_found_and_mended(count):
    line = Line()
    (waiter,) = join(line, 5.0)
    line.count = count

    assert line.mistakes() == [f"1 wait, {count} counted"]
    line.repair()

    assert line.mistakes() == []
    assert (line.count, line.first()) == (1, waiter)
    assert list(line.expire(5.0)) == [waiter]


def test_everybody_is_told_of_before_they_are_sent_away():
    line = Line()
    waiters = join(line, 1.0, 2.0)
    expiring = line.expire(3.0)

    assert next(expiring) is waiters[0]
    assert waiters[0].waiting
    assert next(expiring) is waiters[1]
    assert [waiter.waiting for waiter in waiters] == [False, True]


def test_what_they_were_served_with_is_told_once_for_each():
    line = Line()
    first, second = join(line, 5.0, None)
    slot = Slot(1, 0.0)
    first.serve(slot)
    assert first in line.order
    assert first is line.special[0][2]

    assert list(line.records()) == [slot]
    assert second.waiting


def test_a_waiter_is_due_once_its_waiting_is_over_and_until_it_is_woken():
    line = Line()
    waiter = Waiter(None, wake=print)
    line.enter(waiter, True)
    assert not waiter.is_due

    waiter.serve(Slot(1, 0.0))
    assert waiter.is_due
    waiter.callback = object()
    assert not waiter.is_due


def test_a_waiter_who_has_left_is_not_due():
    line = Line()
    waiter = Waiter(None, wake=print)
    line.enter(waiter, True)
    waiter.refuse("closed")

    waiter.wake = None

    assert not waiter.is_due
