"""What a pool does to connections with time: pings, checks, resets, ends of lives, leaks."""

from __future__ import annotations

from itertools import pairwise

import gevent
import pytest
from pool_world import NotingPool, PingingPool, at, gauges, outcome_of, story

from geventconnpool import Backoff, ConnectionPool, PoolTimeout, backoff
from geventconnpool.maintenance import pinging
from geventconnpool.testing import FakePeer

STEADY = Backoff(base=0.1, cap=5.0, jitter="none")


def held(pool, seconds, sim, log=None):
    """Hold one of *pool*'s connections for so long, in a greenlet of its own."""

    def hold():
        with pool.get() as c:
            if log is not None:
                log.append((c.number, sim.now))
            sim.sleep(seconds)

    return sim.spawn(hold)


class TestKeepalive:
    @pytest.mark.parametrize("interval", [0.5, 3, 10, 30.5])
    def test_idle_connection_is_pinged_in_time(self, sim, interval):
        class Timed(NotingPool):
            def _keepalive(self, c):
                times.setdefault(c.number, []).append(sim.now)
                c.ping()

        times, peer = {}, FakePeer(latency=0.02)
        pool = Timed(peer, 7, keepalive=interval)
        pool.wait_ready()
        sim.advance(10 * interval)

        tick = min(1.0, interval / 10)
        assert set(times) == set(range(1, 8))
        for stamps in times.values():
            gaps = [after - before for before, after in pairwise([0, *stamps])]
            assert min(gaps) >= interval
            # Several rounds of pings may be needed, each a round trip.
            assert max(gaps) <= interval + tick + 5 * peer.latency

    def test_use_puts_the_ping_off(self, sim):
        pool = PingingPool(FakePeer(), 1, keepalive=10)

        for _ in range(20):
            with pool.get():
                pass
            sim.advance(5)

        assert pool.pinged == []
        sim.advance(7)
        assert pool.pinged == [1]

    def test_held_connection_is_never_pinged(self, sim):
        class Guarded(PingingPool):
            def _keepalive(self, c):
                assert c.holder is None
                with c.taken_by("the pool"):
                    super()._keepalive(c)

        peer = FakePeer(latency=0.3)
        pool = Guarded(peer, 3, keepalive=2)

        def user():
            while sim.now < 60:
                sim.sleep(sim.random.uniform(0, 4))
                with pool.get() as c, c.taken_by(gevent.getcurrent()):
                    sim.sleep(sim.random.uniform(0, 5))

        for _ in range(3):
            sim.spawn(user)
        sim.advance(80)

        assert len(pool.pinged) > 10
        assert peer.complaints == []

    def test_connection_held_for_long_is_pinged_after_it_came_back_only(self, sim):
        pool = PingingPool(FakePeer(), 1, keepalive=3)
        c = pool.acquire()
        sim.advance(20)
        assert pool.pinged == []

        pool.release(c)
        sim.advance(5)
        assert pool.pinged == [1]

    def test_acquire_never_waits_for_a_ping_while_another_could_serve(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 2, keepalive=2, keepalive_timeout=5)
        pool.wait_ready()
        peer.black_hole = True

        waits = []
        while sim.now < 4:
            sim.advance(0.25)
            began = sim.now
            with pool.get():
                waits.append(sim.now - began)

        assert pool.pinged
        assert set(waits) == {0}

    def test_acquire_waits_for_the_ping_of_the_only_connection(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 1, keepalive=5)
        pool.wait_ready()
        peer.latency = 0.5
        sim.sleep(5.75 - sim.now)
        assert gauges(pool) == {"checking": 1}

        with pool.get():
            assert sim.now == 6

    def test_one_hanging_ping_delays_no_other(self, sim):
        class OneHangs(PingingPool):
            def _keepalive(self, c):
                self.pinged.append(c.number)
                if c.number == 1:
                    sim.sleep(1000)

        pool = OneHangs(FakePeer(), 4, keepalive=10, keepalive_timeout=30)
        pool.wait_ready()
        sim.advance(12)

        assert sorted(pool.pinged) == [1, 2, 3, 4]
        assert gauges(pool) == {"idle": 3, "checking": 1}

    def test_connection_that_fails_its_ping_is_replaced_as_unchecked(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 2, keepalive=5)
        pool.wait_ready()
        sim.advance(2)
        peer.cut(min(peer.open, key=lambda c: c.number))
        sim.advance(5)

        assert pool.goodbyes == [(1, "unchecked")]
        assert gauges(pool) == {"idle": 2}
        stats = pool.stats()
        assert (stats.pings, stats.ping_errors) == (2, 1)
        (failed,) = [event for event in pool.events.of("connection_pinged") if event.error]
        assert (failed.connection_id, failed.error) == (1, "ConnectionResetError, errno 104")

    def test_ping_that_takes_too_long_has_failed(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 1, keepalive=5, keepalive_timeout=2)
        pool.wait_ready()
        peer.black_hole = True
        sim.sleep(7.4 - sim.now)
        assert gauges(pool) == {"checking": 1}
        sim.sleep(7.6 - sim.now)

        assert pool.goodbyes == [(1, "unchecked")]

    @pytest.mark.parametrize(
        "error", [KeyError(), gevent.Timeout(1), SystemExit(), KeyboardInterrupt()], ids=repr
    )
    def test_whatever_a_ping_raises_means_broken_and_harms_nobody(self, sim, error):
        class Odd(PingingPool):
            def _keepalive(self, c):
                self.pinged.append(c.number)
                if c.number == 1:
                    raise error

        pool = Odd(FakePeer(), 1, keepalive=5)
        pool.wait_ready()
        sim.advance(30)

        assert pool.goodbyes == [(1, "unchecked")]
        assert pool.pinged.count(2) >= 3

    def test_killed_ping_costs_the_connection_and_nothing_else(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 1, keepalive=5)
        pool.wait_ready()
        peer.black_hole = True
        sim.advance(6.5)
        gevent.killall(sim.alive(), block=False)
        peer.black_hole = False
        sim.advance(1)

        assert pool.goodbyes == [(1, "unchecked")]
        assert gauges(pool) == {"idle": 1}

    def test_whoever_is_killed_before_they_ping_is_replaced_at_once(self, sim):
        class Timed(PingingPool):
            def _keepalive(self, c):
                times.append(sim.now)

        times, due = [], None
        pool = Timed(FakePeer(), 1, keepalive=5)
        pool.wait_ready()

        def kill_newborn(loop):
            nonlocal due
            if gauges(pool) == {"checking": 1}:
                sim.inject, due = None, sim.now
                (newborn,) = sim.alive()
                newborn.kill(block=False)

        sim.inject = kill_newborn
        sim.advance(6)

        assert sim.inject is None
        assert times == [due]  # not on the next tick
        assert pool.goodbyes == []
        assert gauges(pool) == {"idle": 1}

    def test_paused_pool_goes_on_pinging(self, sim):
        pool = PingingPool(FakePeer(), 1, keepalive=5)
        pool.wait_ready()
        pool.pause()
        sim.advance(20)

        assert len(pool.pinged) == 3


class TestPingsTogether:
    """Quick pings share a greenlet; those that wait for a peer hold up nobody."""

    def test_pings_that_need_not_wait_are_made_by_one_greenlet(self, sim):
        class Quick(PingingPool):
            def _keepalive(self, c):
                self.pinged.append(c.number)
                pingers.add(gevent.getcurrent())

        pingers = set()
        pool = Quick(FakePeer(), 50, keepalive=10)
        pool.wait_ready()
        sim.advance(11)

        assert sorted(pool.pinged) == list(range(1, 51))
        assert len(pingers) == 1
        assert gauges(pool) == {"idle": 50}
        assert pool.stats().pings == 50

    def test_pings_that_wait_are_made_side_by_side(self, sim):
        class Counted(PingingPool):
            def _keepalive(self, c):
                began.append(sim.now)
                super()._keepalive(c)

        began, peer = [], FakePeer()
        pool = Counted(peer, 20, keepalive=10)
        pool.wait_ready()
        peer.latency = 0.5
        sim.advance(12)

        assert began == [began[0]] * 10 + [began[0] + 0.5] * 10  # half of the idle ones at once

    def test_the_deadline_counts_from_the_ping_that_hangs(self, sim):
        class SixthHangs(PingingPool):
            def _keepalive(self, c):
                self.pinged.append(sim.now)
                if len(self.pinged) == 6:
                    sim.sleep(1000)

        pool = SixthHangs(FakePeer(), 10, keepalive=10, keepalive_timeout=2)
        pool.wait_ready()
        sim.advance(14)

        (end,) = [e for e in pool.events.of("connection_pinged") if e.error]
        assert end.seconds == 2
        assert "keepalive_timeout" in end.error
        assert len([at for at in pool.pinged if at == pool.pinged[0]]) == 10

    def test_a_ping_that_is_killed_does_not_end_the_others(self, sim):
        class Suicidal(PingingPool):
            def _keepalive(self, c):
                self.pinged.append(c.number)
                if len(self.pinged) == 2:
                    raise gevent.GreenletExit

        pool = Suicidal(FakePeer(), 10, keepalive=10)
        pool.wait_ready()
        sim.advance(11)

        assert len(pool.pinged) == 10
        assert [reason for _, reason in pool.goodbyes] == ["unchecked"]

    def test_whoever_was_never_started_is_replaced_on_the_next_tick(self, sim):
        pool = PingingPool(FakePeer(), 4, keepalive=10)
        pool.wait_ready()
        pinger = pool._geventconnpool.pinger
        pinger._worker = pinging._Worker()  # and there it was broken off
        sim.advance(12)

        assert len(pool.pinged) == 4

    def test_what_is_to_be_closed_is_not_pinged_first(self, sim):
        class Draining(PingingPool):
            def _keepalive(self, c):
                self.pinged.append(c.number)
                if len(self.pinged) == 1:
                    self.drain()  # the other one is in the line for its ping

        pool = Draining(FakePeer(), 4, keepalive=10)
        pool.wait_ready()
        sim.advance(11.5)

        assert len(pool.pinged) == 1
        assert [reason for _, reason in pool.goodbyes] == ["drained"] * 4

    def test_check_asks_all_with_one_greenlet(self, sim):
        class Quick(PingingPool):
            def _keepalive(self, c):
                pingers.add(gevent.getcurrent())

        pingers = set()
        pool = Quick(FakePeer(), 30)
        pool.wait_ready()

        assert pool.check() == 0
        assert len(pingers) == 1
        assert pool.stats().pings == 30


class TestIdleTimeout:
    def test_connections_above_min_size_are_closed_when_idle_for_that_long(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 5, min_size=2, idle_timeout=10)
        users = [held(pool, 1, sim) for _ in range(5)]
        gevent.joinall(users)
        came_back = sim.now
        sim.sleep(9.9)
        assert gauges(pool) == {"idle": 5}
        sim.sleep(came_back + 11.1 - sim.now)

        assert gauges(pool) == {"idle": 2}
        assert [reason for _, reason in pool.goodbyes] == ["idle"] * 3
        sim.advance(100)
        assert gauges(pool) == {"idle": 2}

    def test_connections_in_use_are_not_idle(self, sim):
        pool = NotingPool(FakePeer(), 2, min_size=0, idle_timeout=5)
        for _ in range(20):
            with pool.get():
                sim.sleep(4)
        assert pool.goodbyes == []

        c = pool.acquire()
        sim.advance(20)
        assert gauges(pool) == {"active": 1}
        pool.release(c)
        sim.advance(3)
        assert gauges(pool) == {"idle": 1}

    def test_pings_are_no_use(self, sim):
        pool = PingingPool(FakePeer(), 1, min_size=0, idle_timeout=10, keepalive=2)
        with pool.get():
            pass
        sim.advance(12)

        assert pool.pinged
        assert pool.goodbyes == [(1, "idle")]

    def test_with_min_size_at_size_it_does_nothing_which_is_a_warning(self, sim):
        with pytest.warns(UserWarning, match="idle_timeout does nothing"):
            pool = NotingPool(FakePeer(), 2, idle_timeout=1)
        pool.wait_ready()
        sim.advance(30)

        assert pool.goodbyes == []

    def test_below_it_there_is_no_warning(self, sim, recwarn):
        NotingPool(FakePeer(), 2, min_size=1, idle_timeout=1)

        assert [str(warning.message) for warning in recwarn] == []


class TestMaxLifetime:
    def test_share_is_drawn_once_for_each(self, sim):
        class Counting:
            draws = 0

            def uniform(self, low, high):
                self.draws += 1
                return high

        source = Counting()
        with backoff.replaced(source):
            pool = NotingPool(FakePeer(), 10, max_lifetime=100)
            pool.wait_ready()
            sim.advance(80)
            assert source.draws == 10
            sim.advance(9)
            assert pool.goodbyes == []
            sim.advance(5)

        # A tenth is the most: all of them have drawn that.
        assert sorted(pool.goodbyes) == [(number, "expired") for number in range(1, 11)]
        assert source.draws == 20
        assert gauges(pool) == {"idle": 10}

    def test_connections_end_between_nine_tenths_of_their_life_and_the_whole(self, sim):
        class Timed(NotingPool):
            def _close_connection(self, c, reason):
                ends[c.number] = sim.now
                super()._close_connection(c, reason)

        ends = {}
        pool = Timed(FakePeer(latency=0), 10, max_lifetime=100)
        pool.wait_ready()
        sim.advance(105)

        first = [ends[number] for number in range(1, 11)]
        # A tick late at most, and one after the other.
        assert min(first) >= 90
        assert max(first) <= 102
        assert max(first) - min(first) > 3

    def test_replacement_is_opened_first_where_size_allows(self, sim):
        peer = FakePeer(latency=0.2)
        pool = NotingPool(peer, 4, min_size=3, max_lifetime=50)
        pool.wait_ready()
        fewest = []
        while sim.now < 200:
            sim.advance(0.1)
            fewest.append(pool.stats().idle)

        assert len(pool.goodbyes) >= 9
        assert min(fewest) == 3
        assert peer.most_open == 4

    def test_full_pool_renews_one_place_at_a_time(self, sim):
        peer = FakePeer(latency=0.2, close_latency=0.3)
        pool = NotingPool(peer, 3, max_lifetime=50)
        pool.wait_ready()
        fewest = []
        while sim.now < 200:
            sim.advance(0.1)
            fewest.append(pool.stats().idle)

        assert len(pool.goodbyes) >= 9
        assert min(fewest) == 2
        assert peer.most_open == 3

    def test_while_connects_fail_expired_connections_serve_on(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 3, max_lifetime=50, backoff=STEADY)
        pool.wait_ready()
        peer.up = False
        sim.advance(300)

        assert len(pool.goodbyes) <= 1  # the one whose replacement showed the outage
        with pool.get(timeout=0) as c:
            assert c.request("q") == "q"

        peer.up = True
        sim.advance(60)
        assert {number for number, _ in pool.goodbyes} >= {1, 2, 3}
        assert gauges(pool)["idle"] >= 2

    def test_with_room_for_a_replacement_none_is_closed_while_connects_fail(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 4, min_size=3, max_lifetime=50, backoff=STEADY)
        pool.wait_ready()
        peer.up = False
        sim.advance(300)

        assert pool.goodbyes == []
        assert pool.stats().idle == 3

    def test_hot_connection_expires_on_its_return(self, sim):
        pool = NotingPool(FakePeer(), 1, max_lifetime=20)

        def use():
            while sim.now < 30:
                with pool.get():
                    sim.sleep(0.7)

        user = sim.spawn(use)
        user.join()

        assert pool.goodbyes == [(1, "expired")]

    def test_connection_that_is_out_is_not_taken_away(self, sim):
        pool = NotingPool(FakePeer(), 1, max_lifetime=5)
        with pool.get() as c:
            sim.sleep(60)
            assert c.request("q") == "q"
        sim.advance(1)

        assert pool.goodbyes == [(1, "expired")]

    def test_above_min_size_an_expired_connection_is_not_replaced(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2, min_size=0, max_lifetime=10)
        with pool.get():
            pass
        sim.advance(30)

        assert pool.goodbyes == [(1, "expired")]
        assert peer.connects == 1

    def test_life_goes_on_while_somebody_waits_all_the_time(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2, max_lifetime=10, timeout=None)

        def use():
            while sim.now < 60:
                with pool.get() as c:
                    c.request("q")
                    sim.sleep(0.3)

        for _ in range(6):
            sim.spawn(use)
        sim.advance(61)

        assert [reason for _, reason in pool.goodbyes].count("expired") >= 8
        assert {reason for _, reason in pool.goodbyes} == {"expired"}


class TestCheckAfter:
    def test_by_default_nothing_is_checked(self, sim):
        pool = PingingPool(FakePeer(), 1)
        pool.wait_ready()
        sim.advance(1000)
        with pool.get():
            pass

        assert pool.pinged == []

    def test_connection_idle_for_longer_must_pass_first(self, sim):
        peer = FakePeer(latency=0.25)
        pool = PingingPool(peer, 1, check_after=5)
        with pool.get():
            pass
        sim.advance(4.9)
        with pool.get(timeout=0):
            assert pool.pinged == []
        sim.advance(5.1)

        began = sim.now
        with pool.get():
            assert (pool.pinged, sim.now) == ([1], began + 0.25)

    def test_a_recent_ping_is_as_good(self, sim):
        pool = PingingPool(FakePeer(), 1, check_after=5, keepalive=3)
        pool.wait_ready()
        sim.advance(30)

        with pool.get(timeout=0):
            pass

    def test_broken_one_is_replaced_and_the_caller_gets_another(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 2, check_after=5)
        pool.wait_ready()
        sim.advance(10)
        peer.cut_all()

        with pool.get() as c:
            assert c.request("q") == "q"
        assert {reason for _, reason in pool.goodbyes} == {"unchecked"}

    def test_0_checks_always(self, sim):
        pool = PingingPool(FakePeer(), 1, check_after=0)
        for _ in range(3):
            with pool.get():
                pass

        assert pool.pinged == [1, 1, 1]

    def test_0_checks_also_from_hand_to_hand(self, sim):
        pool = PingingPool(FakePeer(latency=0.1), 1, check_after=0, timeout=None)
        log = []
        users = [held(pool, 1, sim, log) for _ in range(3)]
        gevent.joinall(users)

        assert pool.pinged == [1, 1, 1]
        gaps = [b - a for (_, a), (_, b) in pairwise(log)]
        assert gaps == pytest.approx([1.1, 1.1])

    def test_without_waiting_only_what_needs_no_check_is_taken(self, sim):
        pool = PingingPool(FakePeer(), 2, check_after=5)
        pool.wait_ready()
        sim.advance(10)
        log = []
        gevent.spawn(log.append, "switched")

        assert outcome_of(pool.acquire, timeout=0) is PoolTimeout
        assert log == []

    def test_one_deadline_covers_the_check(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 1, check_after=5, keepalive_timeout=30)
        pool.wait_ready()
        sim.advance(10)
        peer.black_hole = True
        began = sim.now

        assert outcome_of(pool.acquire, timeout=3) is PoolTimeout
        assert sim.now == began + 3

    def test_check_hook_is_used_where_there_is_one(self, sim):
        class Checking(PingingPool):
            def _check_connection(self, c):
                checked.append(c.number)

        checked = []
        pool = Checking(FakePeer(), 1, check_after=0)
        with pool.get():
            pass

        assert (checked, pool.pinged) == ([1], [])

    def test_checks_count_as_pings_and_are_told_so(self, sim):
        pool = PingingPool(FakePeer(), 1, check_after=0)
        with pool.get():
            pass

        assert pool.stats().pings == 1
        assert "connection_pinged 1" in story(pool.events)


class TestReset:
    class Resetting(NotingPool):
        fails = ()
        reset_seconds = 0.25

        def _reset_connection(self, c):
            self.resets = [*getattr(self, "resets", []), c.number]
            gevent.sleep(self.reset_seconds)
            if c.number in self.fails:
                raise ValueError("cannot be reset")

    def test_runs_after_each_return_and_before_the_next_user(self, sim):
        pool = self.Resetting(FakePeer(), 1, timeout=None)
        log = []
        gevent.joinall([held(pool, 1, sim, log) for _ in range(3)])
        sim.advance(1)

        assert pool.resets == [1, 1, 1]
        assert [b - a for (_, a), (_, b) in pairwise(log)] == pytest.approx([1.25, 1.25])

    def test_runs_in_a_greenlet_of_the_pool_and_costs_the_returner_nothing(self, sim):
        pool = self.Resetting(FakePeer(), 1)
        c = pool.acquire()
        began = sim.now
        pool.release(c)

        assert sim.now == began
        assert gauges(pool) == {"checking": 1}

    def test_does_not_run_on_a_new_connection_or_one_that_is_discarded(self, sim):
        pool = self.Resetting(FakePeer(), 1)
        pool.release(pool.acquire(), discard=True)
        sim.advance(1)

        assert not hasattr(pool, "resets")

    def test_failed_reset_is_a_discard(self, sim):
        pool = self.Resetting(FakePeer(), 1)
        pool.fails = {1}
        with pool.get():
            pass
        sim.advance(2)

        assert pool.goodbyes == [(1, "reset_failed")]
        assert gauges(pool) == {"idle": 1}

    def test_hanging_reset_is_cut_off_at_keepalive_timeout(self, sim):
        pool = self.Resetting(FakePeer(), 1, keepalive_timeout=3)
        pool.reset_seconds = 1000
        with pool.get():
            pass
        sim.advance(2.9)
        assert gauges(pool) == {"checking": 1}
        sim.advance(0.2)

        assert pool.goodbyes == [(1, "reset_failed")]

    def test_is_no_ping(self, sim):
        pool = self.Resetting(FakePeer(), 1)
        with pool.get():
            pass
        sim.advance(1)

        assert pool.stats().pings == 0
        assert "connection_pinged" not in pool.events.kinds()

    def test_without_waiting_a_connection_in_reset_is_not_taken(self, sim):
        pool = self.Resetting(FakePeer(), 1)
        with pool.get():
            pass

        assert outcome_of(pool.acquire, timeout=0) is PoolTimeout


class TestLeaks:
    def test_leak_is_reported_once_with_the_stack_of_who_took_it(self, sim):
        pool = NotingPool(FakePeer(), 2, leak_threshold=10)
        pool.wait_ready()

        def the_function_that_took_it():
            return pool.acquire()

        c = the_function_that_took_it()
        taken = sim.now
        sim.sleep(10)
        assert pool.events.of("leak_suspected") == []
        sim.advance(60)

        (event,) = pool.events.of("leak_suspected")
        assert 10 < event.seconds <= 11.1
        assert event.connection_id == pool.events.of("connection_acquired")[0].connection_id
        last = event.stack.rstrip().splitlines()[-2:]
        assert "the_function_that_took_it" in "".join(last)
        assert "test_pool_upkeep.py" in "".join(last)
        assert pool.stats().leaks == 1
        assert sim.now > taken
        pool.release(c)

    def test_it_is_reported_once_more_when_it_comes_back_after_all(self, sim):
        pool = NotingPool(FakePeer(), 1, leak_threshold=10)
        c = pool.acquire()
        taken = sim.now
        sim.advance(30)
        pool.release(c)

        (event,) = pool.events.of("leak_returned")
        assert (event.connection_id, event.seconds) == (1, pytest.approx(sim.now - taken))
        with pool.get():
            pass
        assert len(pool.events.of("leak_returned")) == 1

    def test_what_comes_back_in_time_is_no_leak(self, sim):
        pool = NotingPool(FakePeer(), 1, leak_threshold=10)
        for _ in range(10):
            with pool.get():
                sim.sleep(9)

        assert pool.stats().leaks == 0

    def test_connection_stays_out_when_the_greenlet_that_took_it_has_ended(self, sim):
        pool = NotingPool(FakePeer(), 1, leak_threshold=10)
        taken = []

        def take_and_die():
            taken.append(pool.acquire())

        sim.spawn(take_and_die).join()
        sim.advance(60)

        assert gauges(pool) == {"active": 1}
        assert "take_and_die" in pool.events.of("leak_suspected")[0].stack
        pool.release(taken[0])
        assert gauges(pool) == {"idle": 1}

    def test_acquire_as_the_whole_of_a_greenlet_works_too(self, sim):
        pool = NotingPool(FakePeer(), 1, leak_threshold=10)
        taker = sim.spawn(pool.acquire)
        sim.advance(30)

        assert taker.successful()
        assert len(pool.events.of("leak_suspected")) == 1
        pool.release(taker.get())

    def test_blocks_are_watched_like_acquires(self, sim):
        pool = NotingPool(FakePeer(), 1, leak_threshold=10)

        def the_block():
            with pool.get():
                sim.sleep(20)

        the_block()

        (event,) = pool.events.of("leak_suspected")
        assert "the_block" in event.stack

    def test_listeners_are_not_needed(self, sim, caplog):
        pool = ConnectionPool(1, connect=FakePeer().connect, leak_threshold=1)
        c = pool.acquire()
        sim.advance(3)

        assert pool.stats().leaks == 1
        assert "test_listeners_are_not_needed" in caplog.text
        pool.release(c)


class TestUnusedLease:
    def test_one_that_was_got_and_never_entered_is_taken_back(self, sim):
        pool = NotingPool(FakePeer(), 1)
        lease = pool.get()
        with pytest.warns(ResourceWarning, match="without a with block"):
            sim.advance(5)

        assert gauges(pool) == {"idle": 1}
        assert story(pool.events)[-2:] == ["connection_acquired 1", "connection_released 1"]
        assert outcome_of(lease.__enter__).__name__ == "PoolError"
        with pool.get(timeout=0) as c:
            assert c.request("q") == "q"

    def test_one_that_is_entered_a_moment_later_is_not(self, sim):
        pool = NotingPool(FakePeer(), 1)
        lease = pool.get()
        sim.advance(0.5)
        with lease:
            sim.advance(30)
            assert gauges(pool) == {"active": 1}


class TestTicks:
    def test_tick_is_a_second_or_a_tenth_of_the_shortest_interval(self, sim):
        periods = {}
        for keepalive in (30, 5, 0.5, 0.01):
            pool = PingingPool(FakePeer(), 1, min_size=0, keepalive=keepalive)
            before = set(sim.timers)
            pool.open()
            (tick,) = set(sim.timers) - before
            periods[keepalive] = tick.repeat
            pool.close()

        assert periods == {30: 1.0, 5: 0.5, 0.5: 0.05, 0.01: 0.01}

    def test_tick_keeps_no_loop_going(self, sim):
        pool = PingingPool(FakePeer(), 2, keepalive=5)
        pool.wait_ready()

        gevent.wait()

        assert sim.now < 10

    def test_thousand_idle_connections_cost_no_timer_each(self, sim):
        pool = PingingPool(FakePeer(), 1000, keepalive=30)
        pool.wait_ready()
        sim.settle()

        assert len(sim.timers) == 1
        at(sim, sim.now + 5, pool.close)
        sim.advance(10)


def test_lifetimes_go_on_after_a_replacement_could_not_be_opened(sim):
    peer = FakePeer()
    pool = ConnectionPool(3, connect=peer.connect, max_lifetime=10, min_size=2)
    sim.advance(5)
    peer.down()
    sim.advance(10)
    assert pool.stats().closes["expired"] == 0, "an old connection is better than none"

    peer.up = True
    sim.advance(100)

    assert pool.stats().closes["expired"] >= 10
    pool.close()
