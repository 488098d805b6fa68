"""What an operator does to a pool: drain, pause, resume, resize, check, detach."""

from __future__ import annotations

import gc
import weakref

import gevent
import pytest
from pool_world import NotingPool, PingingPool, at, gauges, outcome_of, story

from geventconnpool import Backoff, PoolClosed, PoolError, PoolPaused, PoolTimeout
from geventconnpool.testing import FakePeer

STEADY = Backoff(base=0.1, cap=5.0, jitter="none")


def since(pool, count):
    """The story from the event number *count* on."""
    return story(pool.events[count:])


class TestDrain:
    def test_idle_connections_are_replaced_now(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 3)
        pool.wait_ready()
        pool.drain()
        sim.advance(1)

        assert sorted(pool.goodbyes) == [(1, "drained"), (2, "drained"), (3, "drained")]
        assert gauges(pool) == {"idle": 3}
        assert {c.number for c in peer.open} == {4, 5, 6}

    def test_active_ones_are_replaced_as_they_come_back(self, sim):
        pool = NotingPool(FakePeer(), 1)
        with pool.get() as c:
            pool.drain()
            sim.advance(60)
            assert c.request("q") == "q"
            assert gauges(pool) == {"active": 1}
        sim.advance(1)

        assert pool.goodbyes == [(1, "drained")]
        assert gauges(pool) == {"idle": 1}

    def test_connects_under_way_are_abandoned(self, sim):
        peer = FakePeer(latency=5)
        pool = NotingPool(peer, 2)
        sim.advance(1)
        told = len(pool.events)
        pool.drain()
        sim.advance(0)

        assert since(pool, told) == [
            "pool_drained",
            "connection_closed 1 drained",
            "connection_closed 2 drained",
            "connection_created 3",
            "connection_created 4",
        ]
        sim.advance(6)
        assert peer.accepts == 2
        assert gauges(pool) == {"idle": 2}
        assert pool.stats().connect_errors == 0

    def test_pings_under_way_end_with_the_connection(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 1, keepalive=5)
        pool.wait_ready()
        peer.latency = 2
        sim.sleep(5.6 - sim.now)
        assert gauges(pool) == {"checking": 1}
        pool.drain()
        sim.advance(10)

        assert pool.goodbyes == [(1, "drained")]

    def test_waiters_get_one_of_the_new_connections(self, sim):
        peer = FakePeer(latency=1)
        pool = NotingPool(peer, 1)
        waiter = sim.spawn(pool.acquire)
        sim.advance(0.5)
        pool.drain()

        assert waiter.get().number == 1
        assert sim.now == pytest.approx(1.5)

    def test_interrupt_closes_the_active_ones_under_their_users(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 1)
        c = pool.acquire()
        pool.drain(interrupt=True)
        sim.advance(1)

        assert pool.goodbyes == [(1, "drained")]
        assert gauges(pool) == {"idle": 1}
        assert outcome_of(c.request, "q") is OSError

    @pytest.mark.parametrize("verb", ["release", "discard", "detach"])
    def test_what_was_interrupted_may_be_brought_back_once_and_silently(self, sim, verb):
        pool = NotingPool(FakePeer(), 1)
        c = pool.acquire()
        pool.drain(interrupt=True)
        sim.advance(1)
        told = len(pool.events)

        getattr(pool, verb)(c)

        assert since(pool, told) == []
        assert gauges(pool) == {"idle": 1}
        if verb != "discard":
            with pytest.raises(PoolError):
                pool.release(c)

    def test_block_with_an_interrupted_connection_is_left_silently(self, sim):
        pool = NotingPool(FakePeer(), 1)
        with pool.get():
            pool.drain(interrupt=True)
            sim.advance(1)
            told = len(pool.events)

        assert since(pool, told) == []

    def test_interrupted_connection_is_not_kept_after_its_block(self, sim):
        pool = NotingPool(FakePeer(), 1)
        with pool.get() as c:
            gone = weakref.ref(c)
            pool.drain(interrupt=True)
            sim.advance(1)
        del c
        gc.collect()

        assert gone() is None

    def test_connection_on_its_way_to_a_waiter_is_interrupted_too_and_the_waiter_waits_on(
        self, sim
    ):
        peer = FakePeer()
        pool = NotingPool(peer, 1)
        c = pool.acquire()
        waiters = [sim.spawn(pool.acquire) for _ in range(2)]
        sim.settle()
        pool.release(c)  # it is in the first waiter's hands now
        pool.drain(interrupt=True)
        del c
        sim.advance(1)

        first = waiters[0].get(block=False)
        assert first.number == 2
        assert not waiters[1].ready()
        pool.release(first)
        assert waiters[1].get() is first
        assert pool.stats().acquires == 3
        assert pool.stats().repairs == 0

    def test_it_is_told_each_time_with_its_flag(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.drain()
        pool.drain(interrupt=True)

        assert [event.interrupt for event in pool.events.of("pool_drained")] == [False, True]

    def test_reason_that_was_there_before_stands(self, sim):
        pool = NotingPool(FakePeer(), 1)
        with pool.get() as c:
            pool.discard(c)
            pool.drain()
        sim.advance(1)

        assert pool.goodbyes == [(1, "discarded")]

    def test_of_an_unopened_pool_opens_nothing(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 1, start=False)
        pool.drain()
        sim.advance(5)

        assert peer.connects == 0

    def test_during_an_outage_it_does_not_begin_a_storm(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 5, backoff=STEADY)
        pool.wait_ready()
        peer.up = False
        pool.drain()
        sim.advance(60)

        assert peer.connects < 40


class TestPause:
    def test_waiters_and_newcomers_are_sent_away_at_once(self, sim):
        pool = NotingPool(FakePeer(), 1, timeout=None)
        pool.acquire()
        waiters = [sim.spawn(outcome_of, pool.acquire) for _ in range(3)]
        sim.settle()
        began = sim.now
        pool.pause()
        sim.settle()

        assert [waiter.get() for waiter in waiters] == [PoolPaused] * 3
        assert outcome_of(pool.acquire) is PoolPaused
        assert outcome_of(pool.get) is PoolPaused
        assert sim.now == began

    def test_idle_connections_stay(self, sim):
        pool = NotingPool(FakePeer(), 3)
        pool.wait_ready()
        pool.pause()
        sim.advance(60)

        assert gauges(pool) == {"idle": 3}

    def test_nothing_is_opened(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 3)
        pool.wait_ready()
        c = pool.acquire()
        pool.pause()
        pool.release(c, discard=True)
        sim.advance(60)

        assert peer.connects == 3
        assert gauges(pool) == {"idle": 2}

    def test_connects_under_way_go_on(self, sim):
        peer = FakePeer(latency=2)
        pool = NotingPool(peer, 2)
        sim.advance(1)
        pool.pause()
        sim.advance(2)

        assert gauges(pool) == {"idle": 2}
        assert outcome_of(pool.acquire) is PoolPaused

    def test_interrupt_abandons_the_connects_under_way(self, sim):
        peer = FakePeer(latency=2)
        pool = NotingPool(peer, 2)
        sim.advance(1)
        told = len(pool.events)
        pool.pause(interrupt=True)
        sim.advance(10)

        assert since(pool, told) == [
            "pool_paused",
            "connection_closed 1 drained",
            "connection_closed 2 drained",
        ]
        assert gauges(pool) == {}
        assert peer.open == set()
        assert pool.events.of("pool_paused")[0].interrupt is True

    def test_pausing_a_paused_pool_says_nothing_and_can_still_interrupt(self, sim):
        peer = FakePeer(latency=2)
        pool = NotingPool(peer, 1)
        sim.advance(1)
        pool.pause()
        told = len(pool.events)
        pool.pause()
        assert since(pool, told) == []

        pool.pause(interrupt=True)
        sim.advance(5)
        assert since(pool, told) == ["connection_closed 1 drained"]

    def test_resume_serves_and_fills_again(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 3)
        pool.pause()
        sim.advance(5)
        assert peer.connects == 3  # begun by the first call, before it paused
        told = len(pool.events)
        pool.resume()
        sim.advance(1)

        assert gauges(pool) == {"idle": 3}
        assert since(pool, told)[0] == "pool_resumed"
        assert since(pool, told)[-1] == "pool_ready"
        with pool.get(timeout=0):
            pass

    def test_resuming_what_is_not_paused_says_nothing(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.wait_ready()
        told = len(pool.events)
        pool.resume()
        sim.advance(1)

        assert since(pool, told) == []

    def test_pool_ready_is_told_after_a_resume_that_changed_nothing_else(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.wait_ready()
        pool.pause()
        told = len(pool.events)
        pool.resume()

        assert since(pool, told) == ["pool_resumed", "pool_ready"]

    def test_connections_that_are_out_come_back_as_ever(self, sim):
        pool = NotingPool(FakePeer(), 1)
        with pool.get() as c:
            pool.pause()
            assert c.request("q") == "q"

        assert gauges(pool) == {"idle": 1}

    def test_backoff_pause_that_ends_while_paused_begins_nothing_until_resumed(self, sim):
        peer = FakePeer()
        peer.up = False
        pool = NotingPool(peer, 1, backoff=Backoff(2, 2, jitter="none"))
        sim.advance(1)
        pool.pause()
        peer.up = True
        sim.advance(60)
        assert peer.connects == 1

        pool.resume()
        sim.advance(0.1)
        assert gauges(pool) == {"idle": 1}

    @pytest.mark.parametrize("method", ["pause", "drain"])
    @pytest.mark.parametrize("value", [1, None, "yes"])
    def test_interrupt_must_be_a_bool(self, sim, method, value):
        pool = NotingPool(FakePeer(), 1)

        with pytest.raises(TypeError, match="interrupt"):
            getattr(pool, method)(interrupt=value)


class TestFailover:
    def test_pause_drain_resume_moves_everybody_to_the_new_peer(self, sim):
        old, new = FakePeer("old", close_latency=0.2), FakePeer("new")

        class Moving(NotingPool):
            def _new_connection(self):
                return self.peer.connect()

        pool = Moving(old, 3)
        pool.wait_ready()
        held = pool.acquire()

        pool.pause()
        pool.drain()
        pool.peer = new
        sim.advance(1)
        assert old.open == {held}
        assert new.connects == 0
        assert outcome_of(pool.acquire) is PoolPaused
        pool.resume()
        with pool.get() as c:
            assert c.peer is new
        assert held.request("q") == "q"
        pool.release(held)
        sim.advance(1)

        assert old.open == set()
        assert len(new.open) == 3
        assert gauges(pool) == {"idle": 3}
        assert [kind for kind in pool.events.kinds() if kind.startswith("pool_")] == [
            "pool_opened",
            "pool_ready",
            "pool_paused",
            "pool_drained",
            "pool_resumed",
            "pool_ready",
        ]

    def test_with_interrupt_nobody_is_left_on_the_old_peer(self, sim):
        old, new = FakePeer("old"), FakePeer("new")
        pool = NotingPool(old, 3)
        pool.wait_ready()
        held = pool.acquire()

        pool.pause(interrupt=True)
        pool.drain(interrupt=True)
        pool.peer = new
        pool.resume()
        sim.advance(1)

        assert old.open == set()
        assert len(new.open) == 3
        pool.release(held)


class TestResize:
    def test_growth_opens_more(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2)
        pool.wait_ready()
        pool.resize(5)
        sim.advance(1)

        assert (pool.size, pool.min_size) == (5, 5)
        assert gauges(pool) == {"idle": 5}

    def test_growth_serves_those_who_wait(self, sim):
        pool = NotingPool(FakePeer(), 1)
        first = pool.acquire()
        waiters = [sim.spawn(pool.acquire) for _ in range(2)]
        sim.settle()
        pool.resize(3)
        sim.advance(0.1)

        assert all(waiter.ready() for waiter in waiters)
        for c in (first, waiters[0].get(), waiters[1].get()):
            pool.release(c)

    def test_shrink_closes_idle_ones_at_once(self, sim):
        pool = NotingPool(FakePeer(), 5)
        pool.wait_ready()
        pool.resize(2)
        sim.advance(1)

        assert [reason for _, reason in pool.goodbyes] == ["resized"] * 3
        assert gauges(pool) == {"idle": 2}

    def test_shrink_closes_those_first_that_would_be_handed_out_last(self, sim):
        pool = NotingPool(FakePeer(), 3)
        pool.wait_ready()
        with pool.get() as hot:
            pass
        pool.resize(1)
        sim.advance(1)

        with pool.get() as c:
            assert c is hot

    def test_shrink_below_what_is_out_holds_once_enough_have_come_back(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 4)
        out = [pool.acquire() for _ in range(4)]
        pool.resize(2)
        sim.advance(1)
        assert gauges(pool) == {"active": 4}

        for left, c in zip((3, 2), out[:2], strict=True):
            pool.release(c)
            sim.advance(1)
            assert gauges(pool) == {"active": left}
        pool.release(out[2])
        sim.advance(1)
        assert gauges(pool) == {"active": 1, "idle": 1}
        pool.release(out[3])
        sim.advance(60)

        assert gauges(pool) == {"idle": 2}
        assert [reason for _, reason in pool.goodbyes] == ["resized"] * 2

    def test_surplus_that_comes_back_goes_to_nobody_who_waits(self, sim):
        pool = NotingPool(FakePeer(), 2, timeout=None)
        first, second = pool.acquire(), pool.acquire()
        waiter = sim.spawn(pool.acquire)
        sim.settle()
        pool.resize(1)
        pool.release(first)
        sim.advance(1)
        assert not waiter.ready()

        pool.release(second)
        assert waiter.get() is second

    def test_shrink_abandons_connects_under_way_before_it_closes_anything(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 4, min_size=2)
        pool.wait_ready()
        peer.latency = 3
        out = [pool.acquire() for _ in range(2)]
        waiters = [sim.spawn(outcome_of, pool.acquire, timeout=5) for _ in range(2)]
        sim.advance(1)
        assert gauges(pool) == {"active": 2, "connecting": 2, "waiting": 2}
        told = len(pool.events)
        pool.resize(3)
        sim.advance(0)

        assert since(pool, told) == ["pool_resized", "connection_closed 4 resized"]
        sim.advance(3)
        assert waiters[0].ready()
        assert not waiters[1].ready()
        assert pool.goodbyes == []
        for c in out:
            pool.release(c)

    def test_shrink_abandons_connects_under_way_and_lets_idle_ones_be(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2)
        pool.wait_ready()
        peer.latency = 3
        pool.resize(4)
        sim.advance(1)
        assert gauges(pool) == {"idle": 2, "connecting": 2}
        pool.resize(2)
        sim.advance(5)

        assert gauges(pool) == {"idle": 2}
        assert pool.goodbyes == []
        assert peer.accepts == 2

    def test_shrink_while_pings_are_under_way(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 4, keepalive=5)
        pool.wait_ready()
        peer.latency = 1
        sim.sleep(5.6 - sim.now)
        assert gauges(pool) == {"idle": 2, "checking": 2}
        pool.resize(1)
        sim.advance(5)

        assert gauges(pool) == {"idle": 1}
        assert [reason for _, reason in pool.goodbyes] == ["resized"] * 3

    def test_there_and_back_within_one_turn_changes_nothing_for_those_out(self, sim):
        pool = NotingPool(FakePeer(), 2)
        out = [pool.acquire(), pool.acquire()]
        pool.resize(1)
        pool.resize(2)
        for c in out:
            pool.release(c)
        sim.advance(1)

        assert pool.goodbyes == []
        assert gauges(pool) == {"idle": 2}

    def test_omitted_min_size_follows_size_if_it_was_never_given(self, sim):
        pool = NotingPool(FakePeer(), 4)
        pool.resize(2)
        assert (pool.size, pool.min_size) == (2, 2)
        pool.resize(6)
        assert (pool.size, pool.min_size) == (6, 6)

    def test_omitted_min_size_that_was_given_is_cut_to_fit(self, sim):
        pool = NotingPool(FakePeer(), 4, min_size=3)
        pool.resize(8)
        assert (pool.size, pool.min_size) == (8, 3)
        pool.resize(2)
        assert (pool.size, pool.min_size) == (2, 2)

    def test_min_size_given_to_resize_counts_as_given_from_then_on(self, sim):
        pool = NotingPool(FakePeer(), 4)
        pool.resize(4, min_size=1)
        pool.resize(10)

        assert (pool.size, pool.min_size) == (10, 1)

    def test_min_size_alone_can_be_raised_and_lowered(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 4, min_size=1)
        pool.wait_ready()
        pool.resize(4, min_size=3)
        sim.advance(1)
        assert gauges(pool) == {"idle": 3}

        pool.resize(4, min_size=0)
        sim.advance(60)
        assert gauges(pool) == {"idle": 3}  # nothing says that idle ones have to go

    @pytest.mark.parametrize(
        ("arguments", "kind"),
        [
            ((0,), ValueError),
            ((-1,), ValueError),
            ((True,), TypeError),
            ((2.0,), TypeError),
            ((2, 3), ValueError),
            ((2, -1), ValueError),
            ((2, True), TypeError),
            ((2, None), TypeError),
        ],
    )
    def test_wrong_sizes_are_refused_and_change_nothing(self, sim, arguments, kind):
        pool = NotingPool(FakePeer(), 4)

        with pytest.raises(kind, match="size"):
            pool.resize(*arguments)

        assert (pool.size, pool.min_size) == (4, 4)
        assert pool.events.of("pool_resized") == []

    def test_resizing_to_the_same_size_says_nothing(self, sim):
        pool = NotingPool(FakePeer(), 4)
        pool.resize(4)
        sim.advance(1)

        assert pool.events.of("pool_resized") == []

    def test_paused_pool_can_be_resized_and_opens_nothing(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 2)
        pool.wait_ready()
        pool.pause()
        pool.resize(4)
        sim.advance(5)
        assert gauges(pool) == {"idle": 2}

        pool.resume()
        sim.advance(1)
        assert gauges(pool) == {"idle": 4}


class TestCheck:
    def test_returns_how_many_failed_and_has_them_replaced(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 5)
        pool.wait_ready()
        sim.advance(2)
        for c in sorted(peer.open, key=lambda c: c.number)[:2]:
            peer.cut(c)

        assert pool.check() == 2
        sim.advance(1)

        assert sorted(pool.goodbyes) == [(1, "unchecked"), (2, "unchecked")]
        assert gauges(pool) == {"idle": 5}
        assert sorted(pool.pinged) == [1, 2, 3, 4, 5]

    def test_of_a_healthy_pool_returns_0(self, sim):
        pool = PingingPool(FakePeer(), 3)
        pool.wait_ready()

        assert pool.check() == 0
        assert pool.stats().pings == 3

    def test_of_an_empty_pool_returns_0_at_once(self, sim):
        pool = PingingPool(FakePeer(), 3, min_size=0)

        assert pool.check() == 0
        assert sim.now == 0

    def test_pings_several_at_a_time(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 16)
        pool.wait_ready()
        peer.latency, began = 1, sim.now

        pool.check()

        assert sim.now - began < 5

    def test_pool_stays_in_service(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 4)
        pool.wait_ready()
        peer.latency = 1
        checker = sim.spawn(pool.check)
        waits = []
        while not checker.ready():
            sim.advance(0.1)
            began = sim.now
            with pool.get():
                waits.append(sim.now - began)

        assert len(waits) > 15
        assert set(waits) == {0}
        assert sorted(pool.pinged) == [1, 2, 3, 4]

    def test_two_at_once_both_come_to_their_end(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 4)
        pool.wait_ready()
        peer.latency = 1
        checkers = [sim.spawn(pool.check) for _ in range(2)]
        gevent.joinall(checkers)

        assert [checker.get() for checker in checkers] == [0, 0]
        assert set(pool.pinged) == {1, 2, 3, 4}

    @pytest.mark.parametrize("method", ["close", "drain", "pause"])
    def test_ends_when_something_else_happens_to_the_pool(self, sim, method):
        peer = FakePeer()
        pool = PingingPool(peer, 6, keepalive_timeout=3)
        pool.wait_ready()
        peer.black_hole = True
        checker = sim.spawn(pool.check)
        sim.advance(1)
        getattr(pool, method)()
        peer.black_hole = False
        sim.advance(10)

        assert checker.ready()
        assert checker.successful()

    def test_killed_check_leaves_the_pool_whole(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 4)
        pool.wait_ready()
        peer.latency = 1
        checker = sim.spawn(pool.check)
        sim.advance(0.5)
        checker.kill()
        sim.advance(10)

        assert gauges(pool) == {"idle": 4}

    def test_paused_pool_can_be_checked(self, sim):
        peer = FakePeer()
        pool = PingingPool(peer, 2)
        pool.wait_ready()
        sim.advance(2)
        pool.pause()
        peer.cut_all()

        assert pool.check() == 2
        assert peer.connects == 2

    @pytest.mark.parametrize("place", ["hub", "listener", "hook"])
    def test_where_nothing_can_wait_it_is_one_clear_error(self, sim, place):
        ends = []

        def try_it(event=None):
            if not ends and (event is None or event.kind == "connection_released"):
                ends.append(outcome_of(pool.check))

        class Hooked(PingingPool):
            def _reset_connection(self, c):
                if place == "hook":
                    try_it()

        listeners = [try_it] if place == "listener" else []
        pool = Hooked(FakePeer(), 2, listeners=listeners)
        pool.wait_ready()
        if place == "hub":
            gevent.get_hub().loop.run_callback(try_it)
        with pool.get():
            pass
        sim.advance(1)

        assert ends == [PoolError]


class TestDetach:
    def test_connection_leaves_for_good_and_the_pool_opens_another(self, sim):
        peer = FakePeer()
        pool = NotingPool(peer, 1)
        c = pool.acquire()
        told = len(pool.events)
        pool.detach(c)
        sim.advance(1)

        assert since(pool, told) == [
            "connection_released 1",
            "connection_closed 1 detached",
            "connection_created 2",
            "connection_ready 2",
            "pool_ready",
        ]
        assert pool.goodbyes == []
        assert len(peer.open) == 2  # the pool counts one, its former user the other
        assert c.request("q") == "q"
        assert gauges(pool) == {"idle": 1}

    def test_leaving_the_block_afterwards_does_nothing(self, sim):
        pool = NotingPool(FakePeer(), 1)
        with pool.get() as c:
            pool.detach(c)
            sim.advance(1)
            told = len(pool.events)

        assert since(pool, told) == []
        assert not c.closed

    def test_bringing_it_back_is_an_error(self, sim):
        pool = NotingPool(FakePeer(), 1)
        c = pool.acquire()
        pool.detach(c)

        with pytest.raises(PoolError):
            pool.release(c)
        with pytest.raises(PoolError):
            pool.detach(c)

    def test_of_a_closed_pool_lets_close_come_to_its_end(self, sim):
        pool = NotingPool(FakePeer(), 1)
        c = pool.acquire()
        began = sim.now
        at(sim, began + 1, pool.detach, c)

        assert pool.close() is True
        assert sim.now == began + 1
        assert not c.closed
        assert pool.goodbyes == []

    def test_those_who_wait_get_the_new_one(self, sim):
        pool = NotingPool(FakePeer(), 1)
        c = pool.acquire()
        waiter = sim.spawn(pool.acquire)
        sim.settle()
        pool.detach(c)

        assert waiter.get().number == 2


class TestFromInside:
    @pytest.mark.parametrize(
        "operate",
        [
            lambda pool: pool.drain(),
            lambda pool: pool.drain(interrupt=True),
            lambda pool: (pool.pause(), pool.resume()),
            lambda pool: pool.resize(3),
            lambda pool: pool.stats(),
            repr,
        ],
        ids=["drain", "interrupt", "pause", "resize", "stats", "repr"],
    )
    @pytest.mark.parametrize(
        "hook", ["_new_connection", "_keepalive", "_reset_connection", "_close_connection"]
    )
    def test_hooks_may_call_what_does_not_wait(self, sim, hook, operate):
        calls = []

        class Hooked(PingingPool):
            def _enter(self, name):
                if name == hook and len(calls) < 2:
                    calls.append(name)
                    operate(self)

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

        peer = FakePeer()
        pool = Hooked(peer, 2, keepalive=3, backoff=STEADY)
        for _ in range(4):
            try:
                c = pool.acquire(timeout=20)
                pool.release(c, discard=True)
                with pool.get(timeout=20):
                    pass
            except PoolPaused:  # sent away by the hook
                pass
            sim.advance(5)

        assert calls
        assert gauges(pool) == {"idle": pool.size}
        assert len(peer.open) == pool.size
        assert pool.stats().repairs == 0
        assert peer.complaints == []

    def test_listener_may_drain_while_it_is_told_of_a_checkout(self, sim):
        def listener(event):
            if event.kind == "connection_acquired" and not drained:
                drained.append(event)
                pool.drain(interrupt=True)

        drained = []
        pool = NotingPool(FakePeer(), 1, listeners=[listener])
        c = pool.acquire()
        sim.advance(1)
        pool.release(c)

        assert gauges(pool) == {"idle": 1}
        assert pool.stats().repairs == 0
        assert pool.goodbyes == [(1, "drained")]

    def test_listener_may_drain_while_it_is_told_of_a_checkout_for_a_block(self, sim):
        def listener(event):
            if event.kind == "connection_acquired" and not drained:
                drained.append(event)
                pool.drain(interrupt=True)

        drained = []
        pool = NotingPool(FakePeer(), 1, listeners=[listener])
        with pool.get() as c:
            sim.advance(1)
            assert outcome_of(c.request, "q") is OSError
        sim.advance(1)

        assert gauges(pool) == {"idle": 1}
        assert pool.stats().repairs == 0

    def test_what_a_listener_causes_is_told_after_what_it_was_told(self, sim):
        def first(event):
            if event.kind == "pool_ready":
                pool.pause()

        told = []
        pool = NotingPool(FakePeer(), 1, listeners=[first, lambda event: told.append(event.kind)])
        pool.open()
        sim.advance(1)

        assert told[-2:] == ["pool_ready", "pool_paused"]

    def test_acquire_with_a_pause_in_its_listener_fails_as_paused(self, sim):
        def listener(event):
            if event.kind == "acquire_started":
                pool.pause()

        pool = NotingPool(FakePeer(), 1, listeners=[listener])
        pool.open()

        assert outcome_of(pool.acquire) is PoolPaused

    def test_close_in_a_listener_fails_the_acquire_that_told_it(self, sim):
        def listener(event):
            if event.kind == "acquire_started":
                pool.close()

        pool = NotingPool(FakePeer(), 1, listeners=[listener])
        pool.open()

        assert outcome_of(pool.acquire) is PoolClosed

    def test_timeouts_are_told_after_a_wait_and_at_once(self, sim):
        pool = NotingPool(FakePeer(), 1)
        pool.acquire()
        assert outcome_of(pool.acquire, timeout=2) is PoolTimeout
        assert outcome_of(pool.acquire, timeout=0) is PoolTimeout

        failed = pool.events.of("acquire_failed")
        assert [(event.reason, event.seconds) for event in failed] == [
            ("timeout", 2),
            ("timeout", 0),
        ]
