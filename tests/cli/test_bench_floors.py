"""What our figures are held against: floors that do what they claim, and pools that starve."""

from __future__ import annotations

import gevent
import pytest

from geventconnpool.cli.bench.ancestor import AncestorPool
from geventconnpool.cli.bench.careful import CarefulPool
from geventconnpool.cli.bench.floors import BareLine
from geventconnpool.cli.bench.peers import Door, gevent_classes
from geventconnpool.cli.bench.stubs import StubPool, ready
from geventconnpool.cli.bench.workloads import Crowd, Waits, alternates

CROWD = Crowd(greenlets=20, pauses=False)
EACH = 10


def semaphore_pool(size):
    (peer,) = [peer for peer in gevent_classes.PEERS if "Semaphore" in peer.name]
    return peer.make(size)


class TestFloorOfACorrectPool:
    def test_it_lends_what_is_idle_and_takes_it_back(self):
        pool = CarefulPool(2)
        with pool.get() as a, pool.get() as b:
            assert a is not b
            assert not pool.idle
        assert len(pool.idle) == 2

    def test_a_lease_is_for_one_block(self):
        pool = CarefulPool(1)
        lease = pool.get()
        with lease, pytest.raises(RuntimeError, match="one block"):
            lease.__enter__()
        with pytest.raises(RuntimeError, match="one block"):
            lease.__enter__()

    def test_another_thread_is_refused(self):
        pool = CarefulPool(1)

        with pytest.raises(RuntimeError, match="another thread"):
            gevent.get_hub().threadpool.apply(pool.get)

    def test_whoever_waits_is_served_in_order_and_a_killed_one_costs_nothing(self):
        pool, served = CarefulPool(1), []

        def use(name):
            with pool.get():
                served.append(name)
                gevent.sleep(0)

        with pool.get():
            users = [gevent.spawn(use, name) for name in "abc"]
            gevent.sleep(0)
            users[1].kill()
            users[0].kill(block=False)  # which it hears of before it wakes with a connection
        gevent.joinall(users)

        assert served == ["c"]
        assert len(pool.idle) == 1

    def test_waiting_ends_at_the_deadline(self):
        pool = CarefulPool(1, timeout=0.01)
        with pool.get():
            late = gevent.spawn(pool.get)
            late.join(30)
        assert isinstance(late.exception, TimeoutError)
        assert not pool.waiting


class TestWhoStarves:
    """By hand-offs to others while one waits: the measure must tell fair pools from others."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Door(BareLine(2).get),
            lambda: Door(CarefulPool(2).get),
            lambda: Door(ready(StubPool(2)).get),
        ],
        ids=["bare", "careful", "ours"],
    )
    def test_first_come_first_served_makes_nobody_wait_for_more_than_the_others(self, make):
        waits = Waits.of(make(), CROWD, EACH)

        assert max(waits.hand_offs) <= CROWD.greenlets - 1
        assert waits.slowest >= EACH - 1
        assert len(waits.hand_offs) == CROWD.greenlets * EACH

    def test_a_semaphore_lets_whoever_has_it_have_it_again(self):
        waits = Waits.of(semaphore_pool(2), CROWD, EACH)

        assert max(waits.hand_offs) > 5 * CROWD.greenlets
        assert waits.slowest == 0

    def test_so_did_0_2_1(self):
        pool = AncestorPool(2, between_connects=0)
        gevent.sleep(0.01)
        waits = Waits.of(Door(pool.get), CROWD, EACH)

        assert max(waits.hand_offs) > 5 * CROWD.greenlets

    def test_only_where_returns_hand_over_do_two_take_turns(self):
        assert alternates(Door(BareLine(1).get))
        assert alternates(Door(ready(StubPool(1)).get))
        assert not alternates(semaphore_pool(1))
