"""How a pool opens connections: the start, failures and their one backoff, recovery."""

from __future__ import annotations

import gc
import weakref

import gevent
import pytest
from pool_world import NotingPool, PingingPool, at, gauges, outcome_of, story

from geventconnpool import Backoff, ConnectionPool, PoolClosed, PoolTimeout, PoolUnavailable
from geventconnpool.testing import FakePeer

STEADY = Backoff(base=0.1, cap=5.0, jitter="none")


def full(pool):
    return pool.stats().idle + pool.stats().active == pool.size


class TestStart:
    def test_filling_begins_with_four_and_opens_two_more_for_each_that_succeeds(self, sim):
        peer = FakePeer(latency=1)
        pool = NotingPool(peer, 100)
        under_way = []
        for second in range(5):
            sim.sleep(second + 0.5 - sim.now)
            under_way.append(peer.connecting)

        assert under_way == [4, 8, 16, 32, 32]
        sim.advance(60)
        assert full(pool)

    def test_no_more_than_max_connecting_at_once(self, sim):
        peer = FakePeer(latency=1)
        pool = NotingPool(peer, 50, max_connecting=7)
        pool.wait_ready()

        assert peer.most_connecting == 7

    def test_max_connecting_below_four_bounds_the_start_too(self, sim):
        peer = FakePeer(latency=1)
        pool = NotingPool(peer, 10, max_connecting=2)
        sim.advance(0.5)

        assert peer.connecting == 2
        pool.wait_ready()
        assert peer.most_connecting == 2

    def test_only_min_size_are_opened_ahead_of_need(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 10, min_size=3)
        sim.advance(60)

        assert peer.connects == 3
        assert gauges(pool) == {"idle": 3}

    def test_pool_grows_beyond_min_size_on_demand_only(self, sim):
        peer = FakePeer(latency=0.5)
        pool = NotingPool(peer, 4, min_size=1)
        pool.wait_ready()
        first = pool.acquire()
        assert peer.connects == 1

        began = sim.now
        second = pool.acquire()

        assert sim.now == began + 0.5
        assert (peer.connects, pool.stats().acquires_waited) == (2, 2 if began == 0 else 1)
        for c in (first, second):
            pool.release(c)

    def test_what_grew_on_demand_is_replaced_on_demand_only(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2, min_size=0)
        pool.release(pool.acquire(), discard=True)
        sim.advance(60)

        assert peer.connects == 1
        assert gauges(pool) == {}

    def test_waiter_takes_a_returned_connection_if_that_comes_first(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2, min_size=1)
        c = pool.acquire()
        peer.latency, began = 3, sim.now
        at(sim, began + 1, pool.release, c)

        assert pool.acquire() is c
        assert sim.now == began + 1

    def test_connects_outlive_the_waiters_that_caused_them(self, sim):
        peer = FakePeer(latency=2)
        pool = NotingPool(peer, 3, min_size=0)
        waiter = sim.spawn(pool.acquire)
        sim.advance(1)

        waiter.kill()
        sim.advance(5)

        assert gauges(pool) == {"idle": 1}
        assert peer.connects == 1

    def test_connect_option_is_used_instead_of_the_hook(self, sim):
        peer = FakePeer()
        pool = ConnectionPool(1, connect=peer.connect)

        with pool.get() as c:
            assert c.peer is peer

    def test_pool_without_a_way_to_connect_is_unavailable_at_once(self, sim):
        pool = ConnectionPool(1)

        with pytest.raises(PoolUnavailable) as caught:
            pool.acquire()

        assert isinstance(caught.value.__cause__, NotImplementedError)
        assert sim.now == 0


class TestTheLimit:
    @pytest.mark.parametrize("seed", range(20))
    def test_peer_never_counts_more_than_size_whatever_happens(self, sim, seed):
        print("seed", seed)
        chance = sim.random
        chance.seed(seed)
        peer = FakePeer(latency=0.05, close_latency=0.5)
        pool = PingingPool(
            peer,
            5,
            min_size=3,
            keepalive=2,
            max_lifetime=6,
            idle_timeout=1,
            backoff=STEADY,
        )

        def user():
            while sim.now < 30:
                sim.sleep(chance.uniform(0, 1))
                try:
                    with pool.get(timeout=1) as c:
                        sim.sleep(chance.uniform(0, 0.5))
                        if chance.random() < 0.2:
                            pool.discard(c)
                        if chance.random() < 0.1:
                            raise OSError
                except (OSError, PoolTimeout, PoolClosed):
                    pass

        def operator():
            while not pool.closed:
                pool.drain()
                sim.sleep(chance.uniform(0, 3))

        for _ in range(8):
            sim.spawn(user)
        sim.spawn(operator)
        while sim.now < 30:
            sim.advance(0.1)
            stats = pool.stats()
            parts = (stats.idle, stats.active, stats.connecting, stats.checking, stats.closing)
            assert sum(parts) <= 5
            assert min(parts) >= 0
        assert peer.most_open == 5
        assert pool.stats().repairs == 0
        assert pool.close() is True
        assert peer.complaints == []

    def test_place_of_a_closing_connection_is_taken_until_the_peer_has_let_go(self, sim):
        peer = FakePeer(close_latency=0.7)
        pool = NotingPool(peer, 1)
        pool.release(pool.acquire(), discard=True)
        sim.settle()
        assert gauges(pool) == {"closing": 1}

        began = sim.now
        pool.acquire()

        assert sim.now == pytest.approx(began + 0.7 + peer.latency)
        assert peer.most_open == 1

    def test_object_that_the_pool_already_has_is_refused(self, sim):
        same = FakePeer().connect()
        pool = ConnectionPool(2, connect=lambda: same, backoff=STEADY)
        sim.advance(1)

        stats = pool.stats()
        assert stats.idle == 1
        assert stats.connect_errors > 0

    def test_none_means_not_now(self, sim):
        answers = [None, None, "connection"]
        pool = ConnectionPool(1, connect=lambda: answers.pop(0), backoff=STEADY)

        assert pool.acquire() == "connection"
        assert sim.now == pytest.approx(0.1 + 0.2)


class TestFailure:
    @pytest.mark.parametrize(
        "error",
        [
            OSError("no"),
            KeyError("no"),
            gevent.Timeout(1),
            gevent.GreenletExit(),
            GeneratorExit(),
            SystemExit(1),
            KeyboardInterrupt(),
        ],
        ids=repr,
    )
    def test_whatever_the_hook_raises_no_place_is_lost(self, sim, error):
        peer, attempts = FakePeer(), []

        def connect():
            attempts.append(sim.now)
            if len(attempts) <= 5:
                raise error
            return peer.connect()

        pool = ConnectionPool(3, connect=connect)
        sim.advance(60)

        assert gauges(pool) == {"idle": 3}

    def test_killed_connects_cost_no_place(self, sim):
        peer = FakePeer(latency=1)
        pool = NotingPool(peer, 3)
        for _ in range(5):
            sim.advance(0.3)
            gevent.killall(sim.alive(), block=False)
        sim.advance(60)

        assert gauges(pool) == {"idle": 3}
        assert len(peer.open) == 3

    def test_connects_killed_before_they_began_cost_no_place(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 3)
        pool.open()
        gevent.killall(sim.alive(), block=False)
        sim.advance(60)

        assert gauges(pool) == {"idle": 3}

    def test_while_connects_fail_a_single_one_is_under_way(self, sim):
        peer = FakePeer(latency=0.3)
        peer.up = False
        with NotingPool(peer, 20, backoff=STEADY):
            sim.advance(2)
            peer.most_connecting = 0
            before = peer.connects
            sim.advance(60)

        assert peer.most_connecting == 1
        assert peer.connects > before + 5

    def test_connects_that_fail_together_are_one_failure(self, sim):
        peer = FakePeer(latency=0.5)
        peer.up = False
        with NotingPool(peer, 4, backoff=STEADY):
            sim.advance(3)

        # Four at once; then one at a time, after 0.1, 0.2, 0.4 s from when the last one failed.
        assert peer.connect_times == pytest.approx([0, 0, 0, 0, 0.6, 1.3, 2.2])

    def test_pauses_double_up_to_the_cap_for_the_pool_as_a_whole(self, sim):
        peer = FakePeer(latency=0)
        peer.up = False
        with NotingPool(peer, 5, max_connecting=1, backoff=Backoff(1, 8, jitter="none")):
            sim.advance(32)

        assert peer.connect_times == pytest.approx([0, 1, 3, 7, 15, 23, 31])

    def test_backoff_of_nothing_tries_again_at_once(self, sim):
        peer = FakePeer(latency=0.25)
        peer.up = False
        with NotingPool(peer, 1, backoff=Backoff(0, 0)):
            sim.advance(0.9)

        assert peer.connect_times == pytest.approx([0, 0.25, 0.5, 0.75])

    def test_backoff_that_fails_pauses_for_a_second(self, sim, caplog):
        class Odd:
            cap = 5.0

            def delay(self, failures):
                raise RuntimeError("odd")

        peer = FakePeer(latency=0)
        peer.up = False
        with NotingPool(peer, 1, backoff=Odd()):
            sim.advance(3.5)

        assert peer.connect_times == pytest.approx([0, 1, 2, 3])
        assert "the backoff failed (RuntimeError)" in caplog.text

    def test_connect_that_takes_too_long_fails_with_an_error_that_names_the_option(self, sim):
        peer = FakePeer(black_hole=True)
        pool = NotingPool(peer, 1, connect_timeout=3, backoff=Backoff(0, 0))

        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=4)

        assert isinstance(caught.value.__cause__, PoolTimeout)
        assert "connect_timeout (3 s)" in str(caught.value.__cause__)
        assert peer.connect_times == pytest.approx([0, 3])

    def test_hook_that_swallows_its_deadline_keeps_its_place_and_that_is_logged(self, sim, caplog):
        def connect():
            peer.connects += 1
            began = sim.now
            while sim.now < began + 10:
                try:
                    sim.sleep(began + 10 - sim.now)
                except gevent.Timeout:
                    pass
            return peer.connect()

        peer = FakePeer()
        pool = ConnectionPool(1, connect=connect, connect_timeout=2)
        sim.advance(9)
        assert gauges(pool) == {"connecting": 1}
        assert "goes on" in caplog.text

        sim.advance(2)
        assert gauges(pool) == {"idle": 1}
        assert "swallowed its deadline" in caplog.text

    def test_outage_is_logged_once_and_its_end_too(self, sim, caplog):
        caplog.set_level("INFO")
        peer = FakePeer()
        peer.restart(downtime=30)
        with NotingPool(peer, 3):
            sim.advance(60)

        texts = [record.getMessage() for record in caplog.records]
        assert sum("cannot connect (ConnectionRefusedError, errno 111)" in t for t in texts) == 1
        assert sum("connects succeed again" in t for t in texts) == 1
        assert len(texts) == 2

    def test_kept_error_keeps_nothing_of_the_hook_alive(self, sim):
        halves = []

        class Half:
            pass

        def connect():
            half_made = Half()
            halves.append(weakref.ref(half_made))
            try:
                raise ConnectionResetError("hidden cause")
            except OSError:
                raise ConnectionRefusedError("no") from KeyError("cause")

        pool = ConnectionPool(1, connect=connect)
        gc.disable()
        try:
            with pytest.raises(PoolTimeout) as caught:
                pool.acquire(timeout=0.05)
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)
            assert halves
            assert [half() for half in halves] == [None] * len(halves)
        finally:
            gc.enable()

    def test_connect_that_timed_out_leaves_nothing_half_made(self, sim):
        halves = []

        class Half:
            pass

        def connect():
            half_made = Half()
            halves.append(weakref.ref(half_made))
            sim.sleep(100)

        pool = ConnectionPool(1, connect=connect, connect_timeout=1)
        gc.disable()
        try:
            sim.advance(1.05)
            assert pool.stats().connect_errors == 1
            assert halves[0]() is None
        finally:
            gc.enable()


class TestRecovery:
    def test_pool_is_full_again_after_an_outage_with_nobody_asking(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 10, keepalive=5)
        pool.wait_ready()
        peer.down()
        sim.advance(60)
        assert gauges(pool) in ({}, {"connecting": 1})

        peer.up = True
        sim.advance(10)

        assert gauges(pool) == {"idle": 10}
        assert len(peer.open) == 10

    def test_connects_during_an_outage_are_bounded(self, sim):
        peer = FakePeer()
        peer.up = False
        with NotingPool(peer, 50, backoff=STEADY):
            sim.advance(600)

        # 4 at first, about 6 until the cap of 5 s is reached, then one in 5 s.
        assert 100 < peer.connects < 140

    def test_backoff_ends_with_a_clean_first_return(self, sim):
        peer = FakePeer()
        peer.up = False
        pool = NotingPool(peer, 10, backoff=Backoff(2, 2, jitter="none"), timeout=None)
        sim.advance(1)
        peer.up = True
        with pool.get() as c:
            began = sim.now
            assert c.request("q") == "q"
            assert peer.connects == 5
        sim.settle()
        assert peer.connecting == 4
        sim.advance(0.1)

        assert sim.now < began + 1
        assert full(pool)

    def test_backoff_does_not_end_with_what_was_opened_before_it_began(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2, min_size=1, backoff=Backoff(9, 9, jitter="none"))
        old = pool.acquire()
        peer.up = False
        waiter = sim.spawn(pool.acquire)
        sim.advance(0.1)
        peer.up = True
        pool.release(old)  # clean, and its first
        sim.advance(0.1)
        assert waiter.get() is old
        late = sim.spawn(lambda: (pool.acquire(), sim.now))
        sim.advance(15)

        assert late.get()[1] == pytest.approx(9, abs=0.01)
        assert len(peer.connect_times) == 3

    def test_backoff_ends_with_a_passed_ping(self, sim):
        peer = FakePeer()
        peer.up = False
        pool = PingingPool(peer, 10, backoff=Backoff(2, 2, jitter="none"))
        sim.advance(1)
        peer.up = True
        sim.sleep(2.5 - sim.now)
        assert gauges(pool) == {"idle": 1}

        assert pool.check() == 0
        sim.advance(0.1)

        assert full(pool)

    def test_backoff_ends_with_one_second_open(self, sim):
        peer = FakePeer(latency=0)
        peer.up = False
        pool = NotingPool(peer, 10, backoff=Backoff(2, 2, jitter="none"))
        sim.advance(1)
        peer.up = True
        sim.sleep(2.9 - sim.now)
        assert gauges(pool) == {"idle": 1}
        sim.sleep(3 - sim.now)
        sim.settle()

        assert full(pool)

    @pytest.mark.parametrize("start", [0.0, 0.1, 0.3, 1.7, 4.2005, 123.456, 98765.4321])
    def test_second_ends_whatever_the_rounding_of_the_clock(self, start):
        from geventconnpool.testing import Simulation

        for step in range(40):
            with Simulation(start=start, max_steps_at_once=2000) as sim:
                peer = FakePeer(latency=0.001 + 0.0013 * step)
                peer.up = False
                pool = NotingPool(peer, 3, backoff=STEADY)
                sim.sleep(0.33)
                peer.up = True
                sim.sleep(5)
                assert full(pool), (start, step)
                pool.close()

    def test_peer_that_accepts_and_hangs_up_is_a_failing_peer(self, sim):
        peer = FakePeer(hang_up_on_accept=True)
        pool = PingingPool(peer, 10, check_after=0, backoff=STEADY, timeout=None)
        waiters = [sim.spawn(pool.acquire) for _ in range(10)]
        sim.advance(120)

        assert peer.connects < 50
        stats = pool.stats()
        assert stats.connect_errors == 0
        assert stats.closes["unchecked"] > 10
        peer.hang_up_on_accept = False
        sim.advance(10)
        assert all(waiter.successful() for waiter in waiters)

    def test_block_left_broken_before_anything_was_proved_backs_off(self, sim):
        peer = FakePeer(hang_up_on_accept=True)
        pool = NotingPool(peer, 4, backoff=STEADY, timeout=None)

        def insist():
            while sim.now < 60:
                try:
                    with pool.get() as c:
                        c.request("q")
                except OSError:
                    pass

        for _ in range(4):
            sim.spawn(insist)
        sim.advance(60)

        assert 10 < peer.connects < 40

    def test_discard_and_interruption_say_nothing_of_the_peer(self, sim):
        peer = FakePeer(latency=0.01)
        pool = NotingPool(peer, 1, backoff=Backoff(5, 5, jitter="none"))
        for leave in (lambda c: pool.discard(c), lambda c: (_ for _ in ()).throw(SystemExit)):
            try:
                with pool.get() as c:
                    leave(c)
            except SystemExit:
                pass
        pool.wait_ready()

        assert sim.now == pytest.approx(0.03)

    def test_proven_connection_that_broke_is_replaced_without_backoff(self, sim):
        peer = FakePeer(latency=0.01, close_latency=0.3)
        pool = NotingPool(peer, 1, backoff=Backoff(5, 5, jitter="none"))
        with pool.get():
            pass
        with pytest.raises(OSError), pool.get():
            raise OSError
        began = sim.now
        pool.wait_ready()

        # As soon as the old one is closed.
        assert sim.now == pytest.approx(began + 0.3 + 0.01)

    def test_unproven_connection_that_broke_is_replaced_after_the_backoff(self, sim):
        peer = FakePeer(latency=0.01)
        pool = NotingPool(peer, 1, backoff=Backoff(5, 5, jitter="none"))
        with pytest.raises(OSError), pool.get():
            raise OSError
        began = sim.now
        pool.wait_ready()

        assert sim.now == pytest.approx(began + 5 + 0.01)
        assert pool.stats().connect_errors == 0

    def test_all_proven_connections_that_break_together_are_replaced_together(self, sim):
        peer = FakePeer(latency=0.01)
        pool = PingingPool(peer, 8, backoff=Backoff(5, 5, jitter="none"))
        pool.wait_ready()
        sim.advance(2)
        peer.cut_all()

        assert pool.check() == 8
        sim.advance(0.1)

        assert full(pool)

    def test_main_greenlet_that_waits_for_ever_sees_the_end_of_the_outage(self, sim):
        peer = FakePeer()
        peer.restart(downtime=100)
        pool = NotingPool(peer, 1)

        c = pool.acquire(timeout=None)

        assert 100 <= sim.now <= 106
        pool.release(c)

    def test_main_greenlet_that_waits_for_proof_for_ever_gets_it(self, sim):
        peer = FakePeer(latency=0)
        peer.up = False
        pool = NotingPool(peer, 2, backoff=STEADY)
        sim.advance(0.05)
        peer.up = True
        pool.acquire(timeout=None)
        began = sim.now

        pool.acquire(timeout=None)  # one at a time until the first has been open for a second

        assert sim.now == pytest.approx(began + 1)


class TestFailFast:
    def test_off_by_default_waiters_wait_their_time(self, sim):
        peer = FakePeer()
        peer.up = False
        pool = NotingPool(peer, 1)

        assert outcome_of(pool.acquire, timeout=20) is PoolTimeout
        assert sim.now == 20

    def test_at_0_everybody_fails_once_one_connect_has_failed(self, sim):
        peer = FakePeer(latency=0.5)
        peer.up = False
        pool = NotingPool(peer, 1, fail_fast_after=0)
        waiter = sim.spawn(outcome_of, pool.acquire)
        assert outcome_of(pool.acquire) is PoolUnavailable
        assert sim.now == 0.5
        assert waiter.get() is PoolUnavailable

        assert outcome_of(pool.acquire) is PoolUnavailable
        assert sim.now == 0.5

    def test_after_so_many_seconds_waiters_and_newcomers_fail_at_once(self, sim):
        peer = FakePeer(latency=0)
        peer.up = False
        pool = NotingPool(peer, 2, fail_fast_after=5)
        waiter = sim.spawn(lambda: (outcome_of(pool.acquire), sim.now))

        assert waiter.get() == (PoolUnavailable, 5)
        assert outcome_of(pool.acquire) is PoolUnavailable
        assert sim.now == 5

    def test_error_has_the_connect_error_as_its_cause_and_shows_no_text_of_it(self, sim):
        def connect():
            raise ConnectionRefusedError(111, "password is hunter2")

        pool = ConnectionPool(1, connect=connect, fail_fast_after=0)

        with pytest.raises(PoolUnavailable) as caught:
            pool.acquire()

        assert isinstance(caught.value.__cause__, ConnectionRefusedError)
        assert "ConnectionRefusedError, errno 111" in str(caught.value)
        assert "hunter2" not in str(caught.value)
        assert caught.value.stats.size == 1

    def test_pool_goes_on_trying_and_the_next_connection_ends_it(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 1, fail_fast_after=0)
        peer.restart(downtime=20)
        sim.advance(10)
        assert outcome_of(pool.acquire) is PoolUnavailable
        sim.advance(16)

        with pool.get(timeout=0) as c:
            assert c.request("q") == "q"

    def test_while_something_is_open_waiters_wait(self, sim):
        peer = FakePeer(latency=0)
        pool = NotingPool(peer, 2, fail_fast_after=5, timeout=None)
        pool.wait_ready()
        sim.advance(2)
        kept, broken = pool.acquire(), pool.acquire()
        peer.up = False
        pool.release(broken, discard=True)
        waiter = sim.spawn(outcome_of, pool.acquire)
        steps = sim.steps
        sim.advance(60)
        assert not waiter.ready()
        assert sim.steps < steps + 500  # and the loop is not kept busy

        pool.discard(kept)
        pool.release(kept)
        assert waiter.get() is PoolUnavailable

    def test_it_does_not_look_at_connections_that_break_early(self, sim):
        peer = FakePeer(hang_up_on_accept=True)
        pool = PingingPool(peer, 1, check_after=0, fail_fast_after=0)

        assert outcome_of(pool.acquire, timeout=10) is PoolTimeout
        assert sim.now == 10


class WrongPasswordError(Exception):
    pass


class TestFatal:
    def refusing(self, sim, **options):
        peer = FakePeer(latency=0)
        attempts = []

        def connect():
            attempts.append(sim.now)
            if refuse:
                raise WrongPasswordError
            return peer.connect()

        refuse = [True]
        options = {"fatal_exc_classes": WrongPasswordError, **options}
        return ConnectionPool(2, connect=connect, **options), refuse, attempts

    def test_everybody_gets_it_at_once(self, sim):
        pool, _, _ = self.refusing(sim)
        waiter = sim.spawn(outcome_of, pool.acquire)

        with pytest.raises(PoolUnavailable) as caught:
            pool.acquire()

        assert isinstance(caught.value.__cause__, WrongPasswordError)
        assert waiter.get() is PoolUnavailable
        assert sim.now == 0

    def test_it_is_tried_again_every_cap_seconds_only(self, sim):
        pool, _, attempts = self.refusing(
            sim, max_connecting=1, backoff=Backoff(0.1, 7, jitter="none")
        )
        with pool:
            sim.advance(30)

        assert attempts == pytest.approx([0, 7, 14, 21, 28])

    def test_full_jitter_does_not_shorten_that(self, sim):
        pool, _, attempts = self.refusing(sim, max_connecting=1, backoff=Backoff(0.1, 7))
        with pool:
            sim.advance(30)

        assert attempts == pytest.approx([0, 7, 14, 21, 28])

    def test_it_heals(self, sim):
        pool, refuse, _ = self.refusing(sim, backoff=Backoff(0.1, 7))
        sim.advance(1)
        assert outcome_of(pool.acquire) is PoolUnavailable
        refuse.clear()
        sim.advance(9)

        assert gauges(pool) == {"idle": 2}

    def test_other_errors_are_not_fatal(self, sim):
        peer = FakePeer()
        peer.up = False
        pool = NotingPool(peer, 1, fatal_exc_classes=WrongPasswordError)

        assert outcome_of(pool.acquire, timeout=3) is PoolTimeout

    def test_while_something_is_open_it_changes_nothing_for_those_who_wait(self, sim):
        pool, refuse, _ = self.refusing(sim)
        refuse.clear()
        pool.wait_ready()
        kept, broken = pool.acquire(), pool.acquire()
        refuse.append(True)
        pool.release(broken, discard=True)
        sim.advance(5)

        waiter = sim.spawn(pool.acquire)
        sim.advance(5)
        assert not waiter.ready()
        pool.release(kept)
        assert waiter.get() is kept


class TestEvents:
    def test_failed_connect_tells_of_the_failure_and_then_of_the_end(self, sim):
        peer = FakePeer(latency=0.25)
        peer.up = False
        pool = NotingPool(peer, 1, backoff=Backoff(100, 100, jitter="none"))
        sim.advance(1)

        assert story(pool.events) == [
            "pool_opened",
            "connection_created 1",
            "connect_failed 1",
            "connection_closed 1 connect_failed",
        ]
        (failed,) = pool.events.of("connect_failed")
        assert (failed.error, failed.seconds) == ("ConnectionRefusedError, errno 111", 0.25)
        assert pool.goodbyes == []

    def test_ready_connection_tells_how_long_it_took(self, sim):
        pool = NotingPool(FakePeer(latency=0.25), 1)
        pool.wait_ready()

        (ready,) = pool.events.of("connection_ready")
        assert (ready.connection_id, ready.seconds) == (1, 0.25)

    def test_pool_ready_is_told_once_after_each_loss_of_everything(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 3)
        pool.wait_ready()
        sim.advance(2)
        assert pool.events.kinds().count("pool_ready") == 1
        peer.cut(next(iter(peer.open)))
        pool.check()
        sim.advance(2)
        assert pool.events.kinds().count("pool_ready") == 1

        peer.cut_all()
        pool.check()
        sim.advance(2)

        assert pool.events.kinds().count("pool_ready") == 2
