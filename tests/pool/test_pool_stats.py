"""What a pool says of itself: gauges, counters, its one-line text, from anywhere."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections import Counter

import pytest
from gevent import monkey
from pool_world import EVERY_GAUGE, NotingPool, PingingPool, gauges, outcome_of

from geventconnpool import Backoff, CloseReason, ConnectionPool, PoolStats, PoolTimeout, WrongHub
from geventconnpool.testing import FakePeer

start_thread = monkey.get_original("_thread", "start_new_thread")
allocate_lock = monkey.get_original("_thread", "allocate_lock")


def in_a_thread(what):
    """What *what* returns in another native thread, or the class of what it raises there."""
    found, done = [], allocate_lock()
    done.acquire()

    def run():
        try:
            found.append(outcome_of(what))
        finally:
            done.release()

    start_thread(run, ())
    done.acquire()
    return found[0]


class TestGauges:
    def test_each_shows_what_it_is_named_after(self, sim):
        peer = FakePeer(latency=0.5, close_latency=0.5)
        pool = PingingPool(peer, 6, min_size=4, check_after=0.001)
        seen = []

        def look(**expected):
            assert gauges(pool) == expected
            seen.extend(expected)

        pool.open()
        look(connecting=4)
        pool.wait_ready()
        look(idle=4)
        sim.advance(1)
        a = pool.acquire()  # after a check
        look(idle=3, active=1)
        waiter = sim.spawn(pool.acquire)
        sim.settle()
        look(idle=2, active=1, checking=1, waiting=1)
        pool.release(a, discard=True)
        # One place is being vacated, and another connection opened in the meantime.
        look(idle=2, closing=1, checking=1, waiting=1, connecting=1)
        sim.advance(2)
        look(idle=3, active=1)
        pool.release(waiter.get())

        assert set(seen) == set(EVERY_GAUGE)

    def test_size_and_min_size_follow_resize(self, sim):
        pool = NotingPool(FakePeer(), 5, min_size=2)
        assert (pool.stats().size, pool.stats().min_size) == (5, 2)
        pool.resize(7, min_size=3)

        assert (pool.stats().size, pool.stats().min_size) == (7, 3)
        assert (pool.size, pool.min_size) == (7, 3)

    def test_waiter_on_its_way_with_a_connection_is_active_and_not_waiting(self, sim):
        pool = NotingPool(FakePeer(), 1)
        c = pool.acquire()
        waiter = sim.spawn(pool.acquire)
        sim.settle()
        pool.release(c)

        assert gauges(pool) == {"active": 1}
        assert not waiter.ready()


class TestCounters:
    def test_acquires_count_every_attempt_however_it_ends(self, sim):
        pool = NotingPool(FakePeer(), 1, max_waiting=1)
        c = pool.acquire()  # waits for the connect
        killed = sim.spawn(pool.acquire)
        sim.settle()
        outcome_of(pool.acquire)  # too many waiters
        killed.kill()
        outcome_of(pool.acquire, timeout=1)  # timeout after a wait
        outcome_of(pool.acquire, timeout=0)  # timeout at once
        pool.pause()
        outcome_of(pool.acquire)  # paused
        pool.resume()
        pool.release(c)
        with pool.get():  # at once
            pass
        pool.close()
        outcome_of(pool.acquire)  # closed

        stats = pool.stats()
        assert stats.acquires == 8
        assert stats.acquires_waited == 3
        assert stats.acquire_timeouts == 2
        assert stats.acquire_errors == 4

    def test_wait_seconds_are_those_of_the_served_and_of_the_others(self, sim):
        peer = FakePeer(latency=0.5)
        pool = NotingPool(peer, 1)
        c = pool.acquire()  # half a second
        outcome_of(pool.acquire, timeout=2)  # two
        killed = sim.spawn(pool.acquire)
        sim.advance(3)
        killed.kill()  # three
        pool.release(c)

        assert pool.stats().wait_seconds == pytest.approx(5.5)

    @pytest.mark.parametrize("quiet", [True, False])
    def test_use_seconds_sum_up_how_long_connections_were_held(self, sim, quiet):
        peer = FakePeer()
        pool = ConnectionPool(2, connect=peer.connect) if quiet else NotingPool(peer, 2)
        pool.wait_ready()
        for seconds in (2, 3, 5):
            with pool.get():
                sim.sleep(seconds)

        assert pool.stats().use_seconds == pytest.approx(10, abs=0.01)

    def test_connects_connect_errors_and_connect_seconds(self, sim):
        peer = FakePeer(latency=0.25)
        peer.up = False
        pool = NotingPool(peer, 1, backoff=Backoff(1, 1, jitter="none"))
        sim.advance(2)  # at 0 and 1.25
        peer.up = True
        sim.advance(1)  # at 2.5

        stats = pool.stats()
        assert (stats.connects, stats.connect_errors) == (3, 2)
        assert stats.connect_seconds == pytest.approx(0.75)

    def test_closes_is_a_mapping_by_every_reason_in_words(self, sim):
        pool = NotingPool(FakePeer(), 2)
        pool.release(pool.acquire(), discard=True)
        sim.advance(1)
        closes = pool.stats().closes

        assert set(closes) == {reason.value for reason in CloseReason}
        assert closes["discarded"] == closes[CloseReason.DISCARDED] == 1
        assert sum(closes.values()) == 1
        with pytest.raises(TypeError):
            closes["discarded"] = 5

    def test_pings_include_checks_and_ping_errors_the_failed_ones(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 2, min_size=1, keepalive=5)
        pool.wait_ready()
        sim.advance(6)
        assert (pool.stats().pings, pool.stats().ping_errors) == (1, 0)
        with pytest.raises(KeyError), pool.get():
            raise KeyError  # asked, since nobody knows
        sim.advance(1)
        assert (pool.stats().pings, pool.stats().ping_errors) == (2, 0)
        peer.cut_all()
        assert pool.check() == 1

        assert (pool.stats().pings, pool.stats().ping_errors) == (3, 1)

    def test_counters_never_go_down(self, sim):
        peer = FakePeer(latency=0.05)
        pool = PingingPool(peer, 2, keepalive=1, backoff=Backoff(0.1, 1), max_waiting=4)
        chance = sim.random
        before = pool.stats()

        def look(loop):
            nonlocal before
            now = pool.stats()
            for field in dataclasses.fields(PoolStats):
                if field.name in (*EVERY_GAUGE, "size", "min_size", "closes"):
                    continue
                assert getattr(now, field.name) >= getattr(before, field.name), field.name
            assert all(now.closes[reason] >= count for reason, count in before.closes.items())
            before = now

        def user():
            while sim.now < 20:
                try:
                    sim.sleep(0.01)
                    with pool.get(timeout=chance.choice([0, 0.1, 1])):
                        sim.sleep(chance.uniform(0, 0.3))
                        if chance.random() < 0.1:
                            raise OSError
                except Exception:
                    pass

        def operator():
            while sim.now < 20:
                sim.sleep(chance.uniform(0, 2))
                chance.choice([pool.pause, pool.drain, peer.cut_all])()
                sim.sleep(0.1)
                pool.resume()
                chance.choice(users).kill(KeyError, block=False)

        users = [sim.spawn(user) for _ in range(6)]
        sim.spawn(operator)
        sim.inject = look
        sim.advance(25)
        sim.inject = None

        assert before.acquires > 100
        assert before.repairs == 0

    def test_counters_agree_with_the_events(self, sim):
        peer = FakePeer(latency=0.05, close_latency=0.1)
        pool = PingingPool(
            peer, 3, min_size=1, keepalive=1, idle_timeout=2, max_lifetime=5, leak_threshold=2
        )
        chance = sim.random

        def user():
            while sim.now < 60:
                sim.sleep(chance.uniform(0, 2))
                try:
                    with pool.get(timeout=chance.choice([0, 0.1, 1])) as c:
                        sim.sleep(chance.expovariate(2))
                        c.request("q")
                        if chance.random() < 0.1:
                            raise ValueError
                except Exception:
                    pass

        for _ in range(5):
            sim.spawn(user)
        for _ in range(6):
            sim.advance(10)
            peer.restart(downtime=0.5)
        sim.advance(10)
        pool.close()

        told, stats = Counter(pool.events.kinds()), pool.stats()
        reasons = Counter(event.reason for event in pool.events.of("acquire_failed"))
        assert told["acquire_started"] == stats.acquires
        assert told["connection_acquired"] + told["acquire_failed"] == stats.acquires
        assert reasons["timeout"] == stats.acquire_timeouts
        assert told["acquire_failed"] - reasons["timeout"] == stats.acquire_errors
        assert told["connection_released"] == told["connection_acquired"]
        assert told["connection_created"] == stats.connects
        assert told["connect_failed"] == stats.connect_errors
        assert told["connection_closed"] == sum(stats.closes.values()) == stats.connects
        ends = Counter(str(event.reason) for event in pool.events.of("connection_closed"))
        assert ends == Counter({reason: n for reason, n in stats.closes.items() if n})
        assert told["connection_pinged"] == stats.pings
        failed_pings = [event for event in pool.events.of("connection_pinged") if event.error]
        assert len(failed_pings) == stats.ping_errors
        assert told["leak_suspected"] == stats.leaks
        assert stats.use_seconds == pytest.approx(
            sum(event.seconds for event in pool.events.of("connection_released"))
        )
        assert stats.connect_seconds == pytest.approx(
            sum(e.seconds for e in pool.events if e.kind in ("connection_ready", "connect_failed"))
        )
        assert stats.repairs == 0
        # Enough must have happened for all this to mean anything.
        assert min(stats.acquire_timeouts, stats.connect_errors, stats.pings, stats.leaks) > 0
        assert {"broken", "idle", "expired", "connect_failed"} <= set(ends)

    def test_unused_lease_counts_as_a_use(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.wait_ready()
        pool.get()
        with pytest.warns(ResourceWarning):
            sim.advance(10)

        (released,) = pool.events.of("connection_released")
        assert pool.stats().use_seconds == pytest.approx(released.seconds)

    def test_repairs_count_what_was_out_of_joint(self, sim):
        pool = NotingPool(FakePeer(), 2)
        pool.wait_ready()
        books = pool._geventconnpool.state.books
        books.shelf.clear()  # as if an exception between two bytecodes had done it
        c = pool.acquire(timeout=3)  # the supervisor looks once a tick

        assert pool.stats().repairs > 0
        pool.release(c)
        assert gauges(pool) == {"idle": 2}


class TestText:
    def test_repr_shows_class_name_and_counts(self, sim):
        pool = NotingPool(FakePeer(), 20, name="orders")
        pool.wait_ready()
        for _ in range(3):
            pool.acquire()

        assert repr(pool) == (
            "<NotingPool 'orders': 3 active, 17 idle, 0 connecting, 0 waiting, size 20>"
        )

    def test_repr_of_a_pool_shows_nothing_of_its_options(self, sim):
        def connect(password="hunter2"):
            return FakePeer().connect()

        pool = ConnectionPool(1, connect=connect)
        assert re.fullmatch(
            r"<ConnectionPool 'pool-\d+': 0 active, 0 idle, 0 connecting, 0 waiting, size 1>",
            repr(pool),
        )

    def test_error_says_what_the_pool_looked_like(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2, name="orders", backoff=Backoff(100, 100, jitter="none"))
        pool.wait_ready()
        sim.advance(1.999)
        pool.acquire()
        peer.up = False
        pool.release(pool.acquire(), discard=True)
        sim.spawn(outcome_of, pool.acquire)
        sim.settle()
        sim.sleep(5)

        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=2.5)

        assert re.fullmatch(
            r"pool 'orders': no connection within 2\.50 s "
            r"\(1 active, 0 idle, 0 connecting, 1 waiting, size 2\); longest held 7\.5 s; "
            r"last connect error 7\.5 s ago: ConnectionRefusedError, errno 111",
            str(caught.value),
        )
        assert caught.value.stats.active == 1
        assert caught.value.stats.size == 2


class TestFromAnywhere:
    def test_everything_readable_can_be_read_in_another_thread(self, sim):
        pool = NotingPool(FakePeer(), 3, min_size=2, name="orders")
        pool.wait_ready()
        c = pool.acquire()

        assert in_a_thread(lambda: pool.stats()) == pool.stats()
        assert in_a_thread(lambda: repr(pool)) == repr(pool)
        assert in_a_thread(lambda: pool.size) == 3
        assert in_a_thread(lambda: pool.min_size) == 2
        assert in_a_thread(lambda: pool.name) == "orders"
        assert in_a_thread(lambda: pool.closed) is False
        pool.release(c)

    @pytest.mark.parametrize(
        "change",
        [
            lambda pool: pool.get(),
            lambda pool: pool.acquire(timeout=0),
            lambda pool: pool.drain(),
            lambda pool: pool.pause(),
            lambda pool: pool.resume(),
            lambda pool: pool.resize(1),
            lambda pool: pool.check(),
            lambda pool: pool.wait_ready(0),
            lambda pool: pool.close(0),
        ],
        ids=["get", "acquire", "drain", "pause", "resume", "resize", "check", "ready", "close"],
    )
    def test_whatever_changes_the_pool_is_refused_in_another_thread(self, sim, change):
        pool = NotingPool(FakePeer(), 2)
        pool.wait_ready()
        told, before = len(pool.events), pool.stats()

        assert in_a_thread(lambda: change(pool)) is WrongHub

        assert (len(pool.events), pool.stats()) == (told, before)
        with pool.get(timeout=0):
            pass

    @pytest.mark.slow
    def test_reading_while_the_pool_works_harms_nobody(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 5, min_size=0, idle_timeout=0.5)
        found, stop, done = [], [], allocate_lock()
        done.acquire()

        def read():
            try:
                while not stop:
                    stats = pool.stats()
                    repr(pool)
                    found.append(stats.idle)
            except BaseException as error:
                found.append(error)
            finally:
                done.release()

        start_thread(read, ())

        def use():
            while sim.now < 0.5:
                with pool.get() as c:
                    c.request("q")
                    if sim.random.random() < 0.3:
                        pool.discard(c)

        for _ in range(10):
            sim.spawn(use)
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            sim.advance(1)
        finally:
            sys.setswitchinterval(before)
            stop.append(True)
            done.acquire()

        assert [error for error in found if isinstance(error, BaseException)] == []
        assert found

    @pytest.mark.parametrize(
        "hook", ["_new_connection", "_keepalive", "_reset_connection", "_close_connection"]
    )
    def test_hooks_see_themselves_at_work(self, sim, hook):
        seen = []

        class Looking(PingingPool):
            def _enter(self, name):
                if name == hook:
                    seen.append((gauges(self), repr(self), self.size, self.closed))

            def _new_connection(self):
                self._enter("_new_connection")
                return super()._new_connection()

            def _keepalive(self, c):
                self._enter("_keepalive")
                super()._keepalive(c)

            def _reset_connection(self, c):
                self._enter("_reset_connection")

            def _close_connection(self, c, reason):
                self._enter("_close_connection")
                super()._close_connection(c, reason)

        pool = Looking(FakePeer(), 1)
        with pool.get():
            pass
        sim.advance(1)
        pool.check()
        pool.drain()
        sim.advance(1)

        expected = {
            "_new_connection": "connecting",
            "_keepalive": "checking",
            "_reset_connection": "checking",
            "_close_connection": "closing",
        }[hook]
        assert seen[0][0].get(expected) == 1
        assert seen[0][2:] == (1, False)

    def test_listeners_see_the_pool_as_it_is_when_they_are_told(self, sim):
        seen = {}

        def listener(event):
            seen.setdefault(event.kind, gauges(pool))

        pool = NotingPool(FakePeer(), 1, listeners=[listener])
        pool.wait_ready()
        with pool.get():
            pass

        assert seen["connection_created"] == {"connecting": 1}
        assert seen["connection_ready"] == {"idle": 1}
        assert seen["connection_acquired"] == {"active": 1}
        assert seen["connection_released"] == {"idle": 1}

    def test_stats_of_a_closed_pool_stay_readable(self, sim):
        pool = NotingPool(FakePeer(), 2)
        with pool.get():
            pass
        pool.close()

        assert gauges(pool) == {}
        assert pool.stats().acquires == 1
        assert pool.stats().closes["closed"] >= 1
