"""How a pool begins and ends: opened, closed, left, dropped."""

from __future__ import annotations

import gc
import weakref

import gevent
import pytest
from pool_world import NotingPool, PingingPool, at, gauges, outcome_of, story

from geventconnpool import ConnectionPool, PoolClosed, PoolError, PoolPaused, PoolTimeout
from geventconnpool.testing import FakePeer


def nothing_left(sim, pool):
    """No timer, no greenlet and no place in the pool is left."""
    assert sim.timers == []
    assert sim.alive() == []
    assert gauges(pool) == {}


class TestBeginning:
    def test_constructor_opens_nothing_and_switches_to_nobody(self, sim):
        peer, log = FakePeer(), []
        gevent.spawn(log.append, "switched")

        pool = NotingPool(peer, 3)

        assert (peer.connects, log, pool.events, gauges(pool)) == (0, [], [], {})

    def test_pool_opens_at_the_first_turn_of_the_loop(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 3)

        sim.settle()

        assert peer.connects == 3
        assert story(pool.events)[:2] == ["pool_opened", "connection_created 1"]

    def test_subclass_may_set_its_attributes_after_calling_the_constructor(self, sim):
        class Late(ConnectionPool):
            def __init__(self, peer):
                super().__init__(1)
                self.peer = peer

            def _new_connection(self):
                return self.peer.connect()

        pool = Late(FakePeer())
        pool.wait_ready()

        assert gauges(pool) == {"idle": 1}

    def test_unstarted_pool_opens_nothing_until_it_is_opened(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2, start=False)
        sim.advance(60)
        assert (peer.connects, pool.events, sim.timers) == (0, [], [])

        pool.open()
        sim.advance(1)

        assert gauges(pool) == {"idle": 2}

    @pytest.mark.parametrize(
        "use",
        [
            lambda pool: pool.get(),
            lambda pool: pool.acquire(timeout=0),
            lambda pool: pool.wait_ready(),
            lambda pool: pool.check(),
            lambda pool: pool.pause(),
        ],
        ids=["get", "acquire", "wait_ready", "check", "pause"],
    )
    def test_unopened_pool_says_that_it_is_not_open_yet(self, sim, use):
        pool = NotingPool(FakePeer(), 2, start=False)

        with pytest.raises(PoolClosed, match="not open yet"):
            use(pool)

        assert sim.now == 0

    def test_opening_an_open_pool_is_harmless(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2)
        pool.open()
        pool.open()
        sim.advance(1)
        pool.open()

        assert peer.connects == 2
        assert story(pool.events).count("pool_opened") == 1

    def test_opening_before_the_first_turn_opens_once(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.open()
        sim.advance(1)

        assert story(pool.events) == [
            "pool_opened",
            "connection_created 1",
            "connection_ready 1",
            "pool_ready",
        ]

    def test_acquire_opens_a_pool_that_was_just_made(self, sim):
        pool = NotingPool(FakePeer(), 1)

        with pool.get() as c:
            assert c.request("q") == "q"

    def test_pool_dropped_before_the_first_turn_opens_nothing(self, sim):
        peer = FakePeer()
        NotingPool(peer, 1)
        gc.collect()

        sim.advance(5)

        assert peer.connects == 0


class TestClosedForGood:
    def test_closed_pool_cannot_be_opened_again(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.close()

        with pytest.raises(PoolClosed):
            pool.open()
        with pytest.raises(PoolClosed), pool:
            pass

    @pytest.mark.parametrize(
        "method", ["get", "acquire", "wait_ready", "drain", "pause", "resume", "check"]
    )
    def test_closed_pool_refuses_everything(self, sim, method):
        pool = NotingPool(FakePeer(), 1)
        pool.wait_ready()
        pool.close()

        with pytest.raises(PoolClosed):
            getattr(pool, method)()

    def test_closed_pool_cannot_be_resized(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.close()

        with pytest.raises(PoolClosed):
            pool.resize(5)
        assert pool.size == 1

    def test_unopened_pool_can_be_closed_and_is_closed_for_good(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 1, start=False)

        assert pool.close() is True
        assert pool.closed
        with pytest.raises(PoolClosed):
            pool.open()

    def test_pool_closed_before_the_first_turn_opens_nothing(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 3)
        assert pool.close() is True

        sim.advance(60)

        assert peer.connects == 0
        assert story(pool.events) == ["pool_closed"]
        nothing_left(sim, pool)


class TestWithBlock:
    def test_with_block_opens_and_closes(self, sim):
        peer = FakePeer()
        with NotingPool(peer, 2, start=False) as pool:
            pool.wait_ready()
            assert len(peer.open) == 2

        assert pool.closed
        assert peer.open == set()
        nothing_left(sim, pool)

    def test_with_block_left_by_an_error_waits_for_what_is_out(self, sim):
        pool = NotingPool(FakePeer(), 1)

        def hold():
            with pool.get():
                sim.sleep(3)

        with pytest.raises(KeyError), pool:
            pool.wait_ready()
            began = sim.now
            sim.spawn(hold)
            sim.settle()
            raise KeyError

        assert sim.now == began + 3

    @pytest.mark.parametrize("kind", [gevent.GreenletExit, gevent.Timeout, KeyboardInterrupt])
    def test_with_block_left_by_an_interruption_closes_without_waiting(self, sim, kind):
        pool = NotingPool(FakePeer(), 2)

        with pytest.raises(kind), pool:
            pool.wait_ready()
            held = pool.acquire()
            began = sim.now
            raise kind

        assert sim.now == began
        assert pool.closed
        pool.release(held)
        sim.settle()
        assert sorted(pool.goodbyes) == [(1, "closed"), (2, "closed")]
        nothing_left(sim, pool)


class TestClose:
    def test_close_of_an_idle_pool_leaves_nothing(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 3, keepalive=10, max_lifetime=100)
        pool.wait_ready()

        assert pool.close() is True

        assert peer.open == set()
        assert sorted(pool.goodbyes) == [(1, "closed"), (2, "closed"), (3, "closed")]
        nothing_left(sim, pool)

    def test_close_waits_for_a_holder_and_closes_what_comes_back(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 1)
        c = pool.acquire()
        began = sim.now
        at(sim, began + 2, pool.release, c)

        assert pool.close() is True

        assert sim.now == began + 2
        assert pool.goodbyes == [(1, "closed")]
        nothing_left(sim, pool)

    def test_close_gives_up_waiting_for_a_holder_after_its_timeout(self, sim):
        pool = NotingPool(FakePeer(), 1)
        c = pool.acquire()
        began = sim.now

        assert pool.close(3) is False

        assert sim.now == began + 3
        assert gauges(pool) == {"active": 1}
        assert sim.timers == []
        pool.release(c)
        assert pool.close() is True
        assert pool.goodbyes == [(1, "closed")]
        nothing_left(sim, pool)

    def test_close_waits_five_seconds_by_default(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.acquire()
        began = sim.now

        assert pool.close() is False
        assert sim.now == began + 5

    def test_close_without_a_limit_waits_for_ever(self, sim):
        pool = NotingPool(FakePeer(), 1)
        c = pool.acquire()
        at(sim, 1000, pool.release, c)

        assert pool.close(None) is True
        assert sim.now == 1000

    @pytest.mark.parametrize("timeout", [0, -1])
    def test_close_with_timeout_0_does_not_switch(self, sim, timeout):
        peer, log = FakePeer(), []
        pool = NotingPool(peer, 2)
        pool.wait_ready()
        sim.settle()
        gevent.spawn(log.append, "switched")

        assert pool.close(timeout) is False  # the goodbyes are still to be said

        assert log == []
        sim.settle()
        assert pool.close(timeout) is True
        nothing_left(sim, pool)

    def test_close_fails_every_waiter_at_once(self, sim):
        pool = NotingPool(FakePeer(), 1, timeout=None)
        pool.acquire()
        ends = []

        def wait():
            ends.append((outcome_of(pool.acquire), sim.now))

        for _ in range(3):
            sim.spawn(wait)
        sim.settle()
        began = sim.now

        pool.close(1)

        assert ends == [(PoolClosed, began)] * 3

    def test_close_abandons_connects_under_way(self, sim):
        peer = FakePeer(latency=8)
        pool = NotingPool(peer, 3)
        sim.advance(1)

        assert pool.close() is True

        assert sim.now == 1
        assert story(pool.events)[4:] == [
            "connection_closed 1 closed",
            "connection_closed 2 closed",
            "connection_closed 3 closed",
            "pool_closed",
        ]
        nothing_left(sim, pool)

    def test_connect_that_swallows_its_kill_is_closed_when_it_succeeds_after_close(self, sim):
        class Stubborn(NotingPool):
            def _new_connection(self):
                began = sim.now
                while sim.now < began + 3:
                    try:
                        sim.sleep(began + 3 - sim.now)
                    except gevent.GreenletExit:
                        pass
                return self.peer.connect()

        peer = FakePeer(latency=0)
        pool = Stubborn(peer, 1)
        sim.advance(1)

        assert pool.close(1) is False
        assert gauges(pool) == {"closing": 1}
        assert pool.close(5) is True

        assert sim.now == 3
        assert pool.goodbyes == [(1, "closed")]
        assert peer.open == set()
        nothing_left(sim, pool)

    def test_close_ends_pings_under_way(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 1, keepalive=10)
        pool.wait_ready()
        peer.black_hole = True
        sim.advance(12)
        assert gauges(pool) == {"checking": 1}
        began = sim.now

        done = pool.close(2)

        assert sim.now < began + 2.1
        assert done is True
        assert pool.goodbyes == [(1, "closed")]
        nothing_left(sim, pool)

    def test_close_waits_for_goodbyes_under_way(self, sim):
        peer = FakePeer(close_latency=2)
        pool = NotingPool(peer, 2)
        pool.wait_ready()
        began = sim.now

        assert pool.close() is True
        assert sim.now == began + 2
        assert peer.open == set()

    def test_hanging_goodbye_is_cut_off_at_close_timeout(self, sim):
        peer = FakePeer(close_latency=1000)
        pool = NotingPool(peer, 1, close_timeout=3)
        pool.wait_ready()
        began = sim.now

        assert pool.close() is True

        assert sim.now == began + 3
        nothing_left(sim, pool)

    def test_goodbye_longer_than_the_wait_is_reported_as_something_left(self, sim):
        pool = NotingPool(FakePeer(close_latency=3), 1)
        pool.wait_ready()

        assert pool.close(1) is False
        assert gauges(pool) == {"closing": 1}
        assert pool.close(5) is True
        nothing_left(sim, pool)

    def test_goodbye_to_what_is_not_healthy_takes_a_second_at_most(self, sim):
        peer = FakePeer(close_latency=1000)
        pool = NotingPool(peer, 1, min_size=0, close_timeout=30)
        c = pool.acquire()
        pool.release(c, discard=True)
        began = sim.now

        assert pool.close(30) is True
        assert sim.now == began + 1

    def test_goodbye_that_raises_counts_as_said(self, sim):
        class Rude(NotingPool):
            def _close_connection(self, c, reason):
                super()._close_connection(c, reason)
                raise RuntimeError("rude")

        pool = Rude(FakePeer(), 2)
        pool.wait_ready()

        assert pool.close() is True
        assert len(pool.goodbyes) == 2
        nothing_left(sim, pool)

    def test_killed_goodbye_is_not_lost(self, sim):
        peer = FakePeer(close_latency=1)
        pool = NotingPool(peer, 1)
        pool.wait_ready()
        pool.close(0)
        gevent.killall(sim.alive(), block=False)

        assert pool.close() is True
        assert peer.open == set()
        assert pool.goodbyes == [(1, "closed")]
        nothing_left(sim, pool)

    def test_pool_closed_is_told_last_and_once(self, sim):
        pool = NotingPool(FakePeer(), 1)
        c = pool.acquire()
        at(sim, 2, pool.release, c)
        pool.close()
        pool.close()

        assert story(pool.events)[-3:] == [
            "connection_released 1",
            "connection_closed 1 closed",
            "pool_closed",
        ]
        assert story(pool.events).count("pool_closed") == 1

    def test_idle_connections_are_told_closed_before_pool_closed_even_without_waiting(self, sim):
        pool = NotingPool(FakePeer(), 2)
        pool.wait_ready()

        pool.close(0)

        *closed, last = story(pool.events)[-3:]
        assert set(closed) == {"connection_closed 1 closed", "connection_closed 2 closed"}
        assert last == "pool_closed"

    def test_close_with_a_nan_timeout_is_refused_and_changes_nothing(self, sim):
        pool = NotingPool(FakePeer(), 1)

        with pytest.raises(ValueError, match="timeout"):
            pool.close(float("nan"))
        assert not pool.closed

    def test_close_of_a_paused_pool_leaves_nothing(self, sim):
        pool = NotingPool(FakePeer(), 2)
        pool.wait_ready()
        pool.pause()

        assert pool.close() is True
        nothing_left(sim, pool)

    def test_close_during_a_backoff_pause_leaves_nothing(self, sim):
        peer = FakePeer()
        peer.up = False
        pool = NotingPool(peer, 2)
        sim.advance(7)

        assert pool.close() is True
        connects = peer.connects
        nothing_left(sim, pool)
        sim.advance(60)
        assert peer.connects == connects

    def test_connection_with_a_descriptor_that_is_out_at_close_is_closed_when_it_comes_back(
        self, sim
    ):
        import socket

        ours, theirs = socket.socketpair()
        pool = ConnectionPool(1, connect=lambda: ours)
        c = pool.acquire()
        assert pool.close(0) is False

        pool.release(c)
        sim.settle()

        assert pool.close(0) is True
        assert ours.fileno() == -1
        theirs.close()


class TestCloseFromOddPlaces:
    def test_two_at_once_both_wait_and_both_tell_the_truth(self, sim):
        pool = NotingPool(FakePeer(), 1)
        c = pool.acquire()
        began, ends = sim.now, []

        def close(timeout):
            ends.append((timeout, pool.close(timeout), sim.now - began))

        sim.spawn(close, 2)
        sim.spawn(close, 10)
        at(sim, began + 4, pool.release, c)
        sim.advance(20)

        assert ends == [(2, False, 2), (10, True, 4)]
        assert story(pool.events).count("pool_closed") == 1
        nothing_left(sim, pool)

    def test_killed_while_it_waits_the_pool_is_closed_all_the_same(self, sim):
        pool = NotingPool(FakePeer(), 1)
        c = pool.acquire()
        closer = sim.spawn(pool.close, None)
        sim.advance(1)

        closer.kill()

        assert pool.closed
        assert sim.timers == []
        assert story(pool.events)[-1] == "pool_closed"
        pool.release(c)
        sim.settle()
        assert pool.goodbyes == [(1, "closed")]
        nothing_left(sim, pool)

    def test_in_the_hub_it_does_not_wait(self, sim):
        pool = NotingPool(FakePeer(close_latency=1), 2)
        pool.wait_ready()
        ends, began = [], sim.now

        gevent.get_hub().loop.run_callback(lambda: ends.append((pool.close(), sim.now)))
        sim.settle()

        assert ends == [(False, began)]
        sim.advance(1)
        nothing_left(sim, pool)

    def test_in_a_listener_it_does_not_wait(self, sim):
        ends = []

        def listener(event):
            if event.kind == "connection_released":
                ends.append((pool.close(), sim.now))

        pool = NotingPool(FakePeer(close_latency=1), 2, listeners=[listener])
        pool.wait_ready()
        began = sim.now
        with pool.get():
            pass

        assert ends == [(False, began)]
        sim.advance(1)
        assert pool.close() is True
        assert story(pool.events).count("pool_closed") == 1
        nothing_left(sim, pool)

    @pytest.mark.parametrize("hook", ["_new_connection", "_keepalive", "_close_connection"])
    def test_in_a_hook_it_does_not_wait(self, sim, hook):
        ends = []

        class Suicidal(PingingPool):
            armed = False

            def _enter(self, name):
                if name == hook and self.armed:
                    began = sim.now
                    ends.append((self.close(), sim.now - began))

            def _new_connection(self):
                self._enter("_new_connection")
                return super()._new_connection()

            def _keepalive(self, c):
                self._enter("_keepalive")
                super()._keepalive(c)

            def _close_connection(self, c, reason):
                self._enter("_close_connection")
                super()._close_connection(c, reason)

        peer = FakePeer()
        pool = Suicidal(peer, 2, keepalive=10)
        pool.wait_ready()
        c = pool.acquire()
        pool.armed = True
        pool.release(c, discard=True)  # one goodbye, then one connect
        sim.advance(12)  # then pings

        assert ends
        assert set(ends) == {(False, 0)}
        assert pool.close() is True
        assert peer.open == set()
        nothing_left(sim, pool)

    def test_by_somebody_who_holds_a_connection_it_gives_up_after_its_timeout(self, sim):
        pool = NotingPool(FakePeer(), 1)
        with pool.get():
            assert pool.close(2) is False

        assert pool.close() is True
        nothing_left(sim, pool)


class TestWaitReady:
    def test_returns_when_min_size_are_open(self, sim):
        peer = FakePeer(latency=1)
        pool = NotingPool(peer, 10, min_size=4)

        pool.wait_ready()

        assert sim.now == 1
        assert gauges(pool) == {"idle": 4}

    def test_of_an_empty_pool_opens_one(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 3, min_size=0)
        sim.advance(5)
        assert peer.connects == 0

        pool.wait_ready()

        assert gauges(pool) == {"idle": 1}
        sim.advance(60)
        assert peer.connects == 1

    def test_counts_connections_that_are_out(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.acquire()
        began = sim.now

        pool.wait_ready(5)

        assert sim.now == began

    def test_times_out_with_the_connect_error_as_its_cause(self, sim):
        peer = FakePeer()
        peer.up = False
        pool = NotingPool(peer, 1, timeout=7)

        with pytest.raises(PoolTimeout) as caught:
            pool.wait_ready()

        assert sim.now == 7
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)
        peer.up = True
        pool.wait_ready(10)

    def test_that_does_not_want_to_wait_does_not_switch(self, sim):
        log = []
        pool = NotingPool(FakePeer(), 1)
        gevent.spawn(log.append, "switched")

        with pytest.raises(PoolTimeout):
            pool.wait_ready(0)
        assert (log, sim.now) == ([], 0)

    def test_on_a_paused_pool_fails_at_once(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.pause()

        with pytest.raises(PoolPaused):
            pool.wait_ready()
        assert sim.now == 0

    @pytest.mark.parametrize(("method", "kind"), [("pause", PoolPaused), ("close", PoolClosed)])
    def test_ends_when_it_cannot_come_true_any_more(self, sim, method, kind):
        peer = FakePeer(black_hole=True)
        pool = NotingPool(peer, 1)
        at(sim, 2, getattr(pool, method))

        with pytest.raises(kind):
            pool.wait_ready()
        assert sim.now == 2

    def test_for_ever_during_a_backoff_pause_does_not_end_in_a_loop_exit(self, sim):
        peer = FakePeer()
        peer.restart(downtime=30)
        pool = NotingPool(peer, 1)

        pool.wait_ready(None)

        assert 30 <= sim.now <= 36

    def test_where_nothing_can_wait_it_is_one_clear_error(self, sim):
        pool, ends = NotingPool(FakePeer(), 1), []

        def in_the_hub():
            try:
                pool.wait_ready()
            except Exception as error:
                ends.append(error)

        gevent.get_hub().loop.run_callback(in_the_hub)
        sim.settle()

        assert [type(error) for error in ends] == [PoolError]
        assert "wait_ready" in str(ends[0])


class TestDropped:
    def test_pool_that_nobody_refers_to_is_collected_and_its_connections_closed(self, sim):
        goodbyes = []

        class Droppable(ConnectionPool):
            def _close_connection(self, c, reason):
                goodbyes.append((c.number, str(reason)))
                c.close()

            def _keepalive(self, c):
                c.ping()

        peer = FakePeer()
        pool = Droppable(2, keepalive=10, connect=peer.connect)
        pool.wait_ready()
        sim.advance(25)
        gone = weakref.ref(pool)

        del pool
        gc.collect()
        sim.advance(1)
        gc.collect()

        assert gone() is None
        assert sorted(goodbyes) == [(1, "closed"), (2, "closed")]
        assert peer.open == set()
        assert (sim.timers, sim.alive()) == ([], [])

    def test_held_connection_of_a_dropped_pool_is_closed_when_it_comes_back(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2)
        pool.wait_ready()
        goodbyes = pool.goodbyes

        with pool.get() as c:
            del pool
            gc.collect()
            sim.advance(1)
            assert [number for number, _ in goodbyes] == [3 - c.number]
            assert c.request("still usable") == "still usable"
        sim.advance(1)

        assert sorted(goodbyes) == [(1, "closed"), (2, "closed")]
        assert peer.open == set()
        assert (sim.timers, sim.alive()) == ([], [])

    def test_pool_dropped_during_an_outage_stops_trying(self, sim):
        peer = FakePeer()
        peer.up = False
        pool = ConnectionPool(2, connect=peer.connect)
        sim.advance(10)
        assert pool.stats().connect_errors > 2

        del pool
        gc.collect()
        sim.advance(1)
        connects = peer.connects
        sim.advance(100)

        assert peer.connects == connects
        assert (sim.timers, sim.alive()) == ([], [])

    def test_connect_under_way_of_a_dropped_pool_leaves_no_connection(self, sim):
        peer = FakePeer(latency=3)
        pool = ConnectionPool(2, connect=peer.connect)
        sim.advance(1)

        del pool
        gc.collect()
        sim.advance(10)

        assert peer.open == set()
        assert (sim.timers, sim.alive()) == ([], [])

    def test_closed_pool_is_collected(self, sim):
        pool = NotingPool(FakePeer(), 2)
        with pool.get():
            pass
        pool.close()
        gone = weakref.ref(pool)

        del pool
        gc.collect()

        assert gone() is None

    def test_connection_of_a_closed_pool_is_not_kept(self, sim):
        pool = NotingPool(FakePeer(), 1)
        with pool.get() as c:
            gone = weakref.ref(c)
        del c
        pool.close()
        gc.collect()

        assert gone() is None
