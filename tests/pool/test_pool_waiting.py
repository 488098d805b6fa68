"""Waiting for a connection: order, hand-over, interruptions at any moment, bounds, errors."""

from __future__ import annotations

import functools
import gc
import sys

import gevent
import pytest
from checkout_support import (
    INTERRUPTIONS,
    Faults,
    PeerPool,
    filled,
    nothing_else_runs,
    outcome,
    pools_own,
    sweep,
    take_and_hold,
    throw_soon,
    whole,
)

from geventconnpool import (
    PoolClosed,
    PoolError,
    PoolPaused,
    PoolTimeout,
    PoolUnavailable,
    TooManyWaiters,
)
from geventconnpool.testing import FakePeer, RecordingListener, Simulation


@pytest.fixture(params=["calm", "careful"])
def ways(request):
    return {} if request.param == "calm" else {"listeners": [RecordingListener()]}


@pytest.fixture
def pool(sim, ways):
    return filled(sim, PeerPool(1, **ways))


class TestOrder:
    def test_served_in_the_order_of_arrival(self, sim, pool):
        served = []

        def user(n):
            with pool.get():
                served.append(n)
                gevent.sleep(0.1)

        for n in range(50):
            sim.spawn(user, n)
        sim.advance(10)
        assert served == list(range(50))

    def test_whatever_timeout_they_brought(self, sim, pool):
        served = []

        def user(n):
            with pool.get(**({} if n % 3 == 0 else {"timeout": 100 - n})):
                served.append(n)

        c = pool.acquire()
        for n in range(30):
            sim.spawn(user, n)
        sim.settle()
        pool.release(c)
        sim.advance(1)
        assert served == list(range(30))

    def test_nobody_overtakes_not_even_who_gave_it_back_and_takes_it_again(self, sim, pool):
        order = []

        def greedy():
            for n in range(20):
                with pool.get():
                    order.append(("greedy", n))
                    gevent.sleep(0.1)

        def modest():
            with pool.get():
                order.append("modest")

        sim.spawn(greedy)
        sim.settle()
        sim.spawn(modest)
        sim.advance(10)
        assert order.index("modest") == 1

    def test_between_hand_over_and_wake_up_nobody_gets_in(self, sim, pool):
        c = pool.acquire()
        waiter = sim.spawn(pool.acquire)
        sim.settle()
        pool.release(c)
        with nothing_else_runs(sim):
            for take in (pool.get, pool.acquire):
                with pytest.raises(PoolTimeout):
                    take(timeout=0)
        assert pool.stats().active == 1
        assert waiter.get() is c

    def test_who_comes_while_others_wait_stands_behind_them_beside_a_new_connection_too(
        self, sim, ways
    ):
        pool = PeerPool(4, peer=FakePeer(latency=1), **ways)
        order = []

        def user(n):
            with pool.get():
                order.append(n)
                gevent.sleep(0.3)

        for n in range(12):
            gevent.spawn_later(n * 0.01, user, n)
        sim.advance(30)
        assert order == list(range(12))

    def test_a_returned_connection_serves_who_waits_for_a_new_one(self, sim, ways):
        pool = filled(sim, PeerPool(2, min_size=1, **ways))
        pool.peer.latency = 5
        c = pool.acquire()
        waiter = sim.spawn(pool.acquire)
        sim.advance(1)
        assert pool.stats().connecting == 1
        pool.release(c)
        assert waiter.get() is c
        sim.advance(10)
        assert pool.stats().idle == 1

    def test_those_whose_connections_a_drain_took_on_the_way_keep_their_order(self, sim, ways):
        pool = filled(sim, PeerPool(3, **ways))
        held = [pool.acquire() for _ in range(3)]
        served = []

        def user(n):
            with pool.get() as c:
                assert not c.closed
                served.append(n)
                gevent.sleep(1)

        for n in range(6):
            sim.spawn(user, n)
        sim.settle()
        for c in held:
            pool.release(c)
        pool.drain(interrupt=True)
        sim.advance(10)
        assert served == list(range(6))
        assert whole(sim, pool).waiting == 0

    @pytest.mark.parametrize(("end", "error"), [("close", PoolClosed), ("pause", PoolPaused)])
    def test_whose_connection_a_drain_took_learns_at_once_that_the_pool_ended(
        self, sim, pool, end, error
    ):
        c = pool.acquire()
        waiter = sim.spawn(outcome, functools.partial(pool.acquire, timeout=None))
        sim.settle()
        pool.release(c)
        pool.drain(interrupt=True)
        pool.close(0) if end == "close" else pool.pause()
        began = sim.now
        assert waiter.get(timeout=1) is error
        assert sim.now == began

    def test_refused_while_it_lines_up_again_it_keeps_no_wake_up(self, sim):
        armed = []

        def listener(event):
            if armed and event.kind == "connection_created":
                pool.pause()

        def wait_and_sleep():
            assert outcome(pool.acquire) is PoolPaused
            began = sim.now
            gevent.sleep(5)
            return sim.now - began

        # Of its own accord the pool opens nothing: only who waits makes it do so.
        pool = PeerPool(4, min_size=0, listeners=[listener])
        c = pool.acquire()
        pool.peer.latency = 3
        waiter = sim.spawn(wait_and_sleep)
        sim.settle()
        pool.release(c)
        pool.drain(interrupt=True)
        armed.append(True)
        assert waiter.get() == 5


class TestInterruptedWaiters:
    @pytest.mark.parametrize("error", INTERRUPTIONS)
    def test_who_is_interrupted_leaves_the_line_with_that_very_error(self, sim, pool, error):
        c = pool.acquire()
        mine = error()

        def wait():
            with pytest.raises(error) as caught:
                pool.acquire()
            assert caught.value is mine
            return "gone"

        victim, next_one = sim.spawn(wait), sim.spawn(pool.acquire)
        sim.advance(1)
        assert pool.stats().waiting == 2
        throw_soon(victim, mine)
        assert victim.get() == "gone"
        assert pool.stats().waiting == 1
        assert pool.stats().acquire_errors == 1
        pool.release(c)
        assert next_one.get() is c
        pool.release(c)
        assert whole(sim, pool).idle == 1

    @pytest.mark.parametrize("error", INTERRUPTIONS)
    @pytest.mark.parametrize("followed", [True, False])
    def test_in_the_turn_of_the_hand_over_the_connection_is_passed_on(
        self, sim, pool, error, followed
    ):
        c = pool.acquire()
        victim = sim.spawn(outcome, pool.acquire)
        sim.settle()
        if followed:
            next_one = sim.spawn(pool.acquire)
            sim.settle()
        throw_soon(victim, error())
        pool.release(c)
        assert victim.get() is error
        if followed:
            assert next_one.get() is c
            assert pool.stats().active == 1
            pool.release(c)
        else:
            assert pool.acquire(timeout=0) is c
            pool.release(c)
        assert pool.reasons == []
        assert whole(sim, pool).acquire_errors == 1

    def test_kill_with_its_own_means_is_no_different(self, sim, pool):
        c = pool.acquire()
        for block in (True, False):
            for handed_over in (True, False):
                victim = sim.spawn(pool.acquire)
                sim.settle()
                if handed_over:
                    sim.loop.run_callback(pool.release, c)
                victim.kill(block=block)
                sim.settle()
                assert pool.stats().idle == handed_over
                if handed_over:
                    assert pool.acquire(timeout=0) is c
        pool.release(c)
        assert whole(sim, pool).acquire_errors == 4

    def test_gevent_timeout_around_the_call_comes_through_as_it_is(self, sim, pool):
        pool.acquire()
        with gevent.Timeout(3) as timer:
            with pytest.raises(gevent.Timeout) as caught:
                pool.acquire(timeout=5)
        assert caught.value is timer
        with gevent.Timeout(3, False):
            pool.acquire(timeout=5)
        with pytest.raises(ZeroDivisionError), gevent.Timeout(3, ZeroDivisionError):
            pool.acquire(timeout=5)
        assert pool.stats().waiting == 0
        assert pool.stats().acquire_timeouts == 0

    def test_timeout_of_others_at_the_very_same_time_as_ours_is_one_of_both(self, sim, pool):
        c = pool.acquire()
        with gevent.Timeout(5):
            assert outcome(functools.partial(pool.acquire, timeout=5)) in (
                PoolTimeout,
                gevent.Timeout,
            )
        assert pool.stats().waiting == 0
        pool.release(c)
        assert whole(sim, pool).idle == 1

    @pytest.mark.parametrize("error", INTERRUPTIONS)
    def test_no_wake_up_stays_behind_to_hit_what_the_victim_does_next(self, sim, pool, error):
        c = pool.acquire()

        def wait_and_sleep():
            assert outcome(pool.acquire) is error
            began = sim.now
            gevent.sleep(5)
            return sim.now - began

        victim = sim.spawn(wait_and_sleep)
        sim.settle()
        throw_soon(victim, error())
        pool.release(c)
        assert victim.get() == 5

    def test_stale_wake_up_of_somebody_else_is_no_connection(self, sim, pool):
        c = pool.acquire()
        waiter = sim.spawn(pool.acquire)
        sim.settle()
        for _ in range(3):
            gevent.get_hub().loop.run_callback(waiter.switch)
        sim.advance(1)
        assert not waiter.ready()
        pool.release(c)
        assert waiter.get() is c

    @pytest.mark.slow
    def test_thousands_of_killed_waiters_leave_nothing_behind(self, sim, pool):
        c = pool.acquire()
        for kwargs in ({}, {"timeout": 50}, {"timeout": None}):
            waiters = [sim.spawn(outcome, functools.partial(pool.acquire, **kwargs))
                       for _ in range(3000)]  # fmt: skip
            sim.settle()
            assert pool.stats().waiting == 3000
            gevent.killall(waiters[::2])
            gevent.killall(waiters[1::2])
        line = pool._geventconnpool.state.line
        assert pool.stats().waiting == 0
        del waiters
        gc.collect()
        assert sum(sys.getsizeof(part) for part in vars(line).values()) < 5000
        pool.release(c)
        assert pool.acquire(timeout=0) is c

    def test_waiters_killed_one_by_one_while_others_stay_cost_no_memory_either(self, sim, pool):
        c = pool.acquire()
        stayer = sim.spawn(pool.acquire, timeout=10**5)
        for n in range(2000):
            victim = sim.spawn(outcome, functools.partial(pool.acquire, timeout=1000 + n))
            sim.settle()
            victim.kill()
        line = pool._geventconnpool.state.line
        assert sum(sys.getsizeof(part) for part in vars(line).values()) < 5000
        pool.release(c)
        assert stayer.get() is c


@pytest.mark.slow
class TestAtEveryStep:
    """Somebody is hit at each step of the loop; afterwards nothing is missing."""

    @pytest.mark.parametrize("error", INTERRUPTIONS)
    @pytest.mark.parametrize("who", ["first", "second", "third", "all"])
    @pytest.mark.parametrize("listeners", [0, 1])
    def test_users_hit_anywhere_cost_nobody_anything(self, error, who, listeners):
        def scenario(sim):
            pool = PeerPool(1, listeners=[RecordingListener()] * listeners)
            users = [sim.spawn(use, pool, n) for n in range(3)]
            chosen = {"first": users[:1], "second": users[1:2], "third": users[2:], "all": users}

            def rest():
                sim.advance(3)
                results = [user.value for user in users]
                assert results.count("ok") >= 3 - len(chosen[who])
                assert whole(sim, pool).size == 1

            return lambda: chosen[who], rest

        def use(pool, n):
            try:
                with pool.get(timeout=20) as c, c.taken_by(n):
                    assert c.request(n) == n
                    gevent.sleep(0.01)
                    assert c.request(-n) == -n
            except BaseException as caught:
                if type(caught) is not error:
                    raise
                return "hit"
            return "ok"

        assert sweep(scenario, error) > 5

    @pytest.mark.parametrize("choose", [lambda n: n - 1, lambda n: 0, lambda n: n // 2])
    def test_waiters_hit_in_any_order_of_callbacks(self, choose):
        def scenario(sim):
            pool = PeerPool(2)
            users = [sim.spawn(outcome, functools.partial(take_and_hold, pool, 0.01))
                     for _ in range(5)]  # fmt: skip

            def rest():
                sim.advance(3)
                assert whole(sim, pool).size == 2

            return lambda: users[1:3], rest

        assert sweep(scenario, gevent.GreenletExit, choose=choose) > 5


class TestHandOverMeetsDeadline:
    def meet(self, early, **simulation):
        """The holder gives back at the very moment at which the waiter's time is over."""
        with Simulation(**simulation) as sim:
            pool = filled(sim, PeerPool(1))
            c = pool.acquire()
            if early == "holder":
                gevent.spawn_later(5, pool.release, c)
            waiter = sim.spawn(outcome, functools.partial(pool.acquire, timeout=5))
            sim.settle()
            if early == "waiter":
                gevent.spawn_later(5, pool.release, c)
            sim.advance(10)
            assert sim.errors == []
            result = waiter.value
            if result is PoolTimeout:
                assert pool.stats().idle == 1
                kind = "timeout"
            else:
                assert result is c
                assert pool.stats().active == 1
                kind = "served"
                pool.release(c)
            stats = whole(sim, pool)
            assert stats.acquire_timeouts == (kind == "timeout")
            return kind

    def test_it_is_one_or_the_other_and_the_connection_is_never_lost(self):
        results = {
            self.meet(early, choose=choose)
            for early in ("holder", "waiter")
            for choose in (None, lambda n: n - 1, lambda n: 0)
        }
        seeds = {
            self.meet(e, seed=s, shuffle=True) for e in ("holder", "waiter") for s in range(20)
        }
        assert results | seeds == {"served", "timeout"}

    @pytest.mark.parametrize("order", ["release first", "expire first"])
    def test_in_one_turn_whoever_comes_first_wins(self, order):
        with Simulation() as sim:
            pool = filled(sim, PeerPool(1))
            c = pool.acquire()
            waiter = sim.spawn(outcome, functools.partial(pool.acquire, timeout=5))
            sim.settle()
            engine = pool._geventconnpool

            def both():
                steps = [lambda: pool.release(c), engine._on_deadline]
                for step in steps if order == "release first" else reversed(steps):
                    step()

            sim.loop.timer(5, priority=sim.loop.MAXPRI).start(both)
            sim.advance(6)
            if order == "release first":
                assert waiter.value is c
                pool.release(c)
            else:
                assert waiter.value is PoolTimeout
            assert whole(sim, pool).waiting == 0

    def test_kill_meets_deadline_in_one_turn(self):
        for choose in (None, lambda n: n - 1, lambda n: 0):
            with Simulation(choose=choose) as sim:
                pool = filled(sim, PeerPool(1))
                pool.acquire()
                waiter = sim.spawn(outcome, functools.partial(pool.acquire, timeout=5))
                gevent.spawn_later(5, waiter.kill)
                sim.advance(10)
                assert waiter.value in (PoolTimeout, gevent.GreenletExit)
                stats = pool.stats()
                assert stats.acquire_timeouts + stats.acquire_errors == 1
                assert stats.waiting == 0
                assert stats.acquires == 2


class TestCounting:
    def test_every_attempt_is_counted_once_however_it_ends(self, sim, ways):
        pool = filled(sim, PeerPool(1, max_waiting=3, **ways))
        c = pool.acquire()
        for take in (
            functools.partial(pool.acquire, timeout=1),
            functools.partial(pool.acquire, timeout=0),
            functools.partial(pool.get, timeout=2),
        ):
            assert outcome(take) is PoolTimeout
        waiters = [sim.spawn(outcome, pool.acquire) for _ in range(3)]
        sim.settle()
        assert outcome(pool.acquire) is TooManyWaiters
        assert pool.stats().acquires == 8
        waiters[0].kill()
        assert pool.stats().acquires == 8
        pool.release(c)
        assert pool.stats().acquires == 8
        pool.pause()
        assert waiters[2].get() is PoolPaused
        stats = pool.stats()
        assert stats.acquires == 8
        assert stats.acquire_timeouts == 3
        assert stats.acquire_errors == 3
        assert stats.acquires_waited == 5
        assert stats.wait_seconds == 3


class TestTimers:
    def deadlines(self, sim, before):
        return [t for t in sim.timers if t not in before]

    def test_equal_timeouts_share_one_timer(self, sim, pool):
        pool.acquire()
        before = sim.timers
        waiters = [sim.spawn(outcome, pool.acquire) for _ in range(1000)]
        sim.settle()
        assert len(self.deadlines(sim, before)) == 1
        for _ in range(10):
            sim.advance(1)
            waiters.append(sim.spawn(outcome, pool.acquire))
            sim.settle()
        assert len(self.deadlines(sim, before)) == 1
        sim.advance(60)
        assert {w.value for w in waiters} == {PoolTimeout}
        assert self.deadlines(sim, before) == []

    def test_mixed_timeouts_all_end_on_time(self, sim, pool):
        pool.acquire()
        ended = {}

        def wait(timeout):
            began = sim.now
            kwargs = {} if timeout == 30 else {"timeout": timeout}
            assert outcome(functools.partial(pool.acquire, **kwargs)) is PoolTimeout
            ended.setdefault(timeout, []).append(sim.now - began)

        before = sim.timers
        timeouts = [30, 5, 7.25, 30, 0.5, 60, 5, 0.001]
        for delay in (0, 0.3, 3):
            for timeout in timeouts:
                gevent.spawn_later(delay, wait, timeout)
        sim.advance(0.2)
        assert len(self.deadlines(sim, before)) <= 1 + 2 * len(timeouts)
        sim.advance(100)
        assert sum(map(len, ended.values())) == 3 * len(timeouts)
        for timeout, seconds in ended.items():
            assert seconds == pytest.approx([timeout] * len(seconds))

    def test_time_over_is_told_to_the_second_even_if_those_before_have_left(self, sim, pool):
        c = pool.acquire()
        first = sim.spawn(outcome, functools.partial(pool.acquire, timeout=2))
        second = sim.spawn(outcome, functools.partial(pool.acquire, timeout=4))
        sim.advance(1)
        first.kill()
        began = sim.now
        assert second.get() is PoolTimeout
        assert sim.now - began == 3
        pool.release(c)

    def test_a_free_connection_arms_no_timer(self, sim, pool):
        before = sim.timers
        with pool.get(timeout=3):
            assert sim.timers == before

    def test_wait_without_an_end_needs_no_timer_to_keep_the_program_alive(self, sim, ways):
        pool = PeerPool(1, peer=FakePeer(latency=0), timeout=None, **ways)
        pool.peer.up = False
        waiter = sim.spawn(pool.acquire)
        sim.advance(100)
        pool.peer.up = True
        assert waiter.get().peer is pool.peer

    def test_main_greenlet_may_wait_for_ever_through_an_outage(self, sim, ways):
        pool = PeerPool(1, **ways)
        pool.peer.restart(1000)
        assert pool.acquire(timeout=None).peer is pool.peer
        assert sim.now > 999


class TestMaxWaiting:
    def test_one_more_is_refused_at_once(self, sim, ways):
        pool = filled(sim, PeerPool(1, max_waiting=2, **ways))
        c = pool.acquire()
        waiters = [sim.spawn(pool.acquire) for _ in range(2)]
        sim.settle()
        for take in (pool.get, pool.acquire):
            with nothing_else_runs(sim), pytest.raises(TooManyWaiters, match="too many wait"):
                take()
        waiters[0].kill()
        waiters.append(sim.spawn(pool.acquire))
        sim.settle()
        assert pool.stats().waiting == 2
        pool.release(c)
        assert waiters[1].get() is c
        pool.release(c)
        assert waiters[2].get() is c

    def test_zero_means_nobody_waits_but_a_free_one_is_served(self, sim, ways):
        pool = filled(sim, PeerPool(1, max_waiting=0, **ways))
        with pool.get():
            assert outcome(pool.acquire) is TooManyWaiters
        assert pool.stats().acquire_errors == 1


class TestWithoutWaiting:
    @pytest.mark.parametrize("state", ["free", "taken", "empty", "down", "waiting"])
    def test_nothing_switches(self, sim, ways, state):
        peer = FakePeer()
        peer.up = state != "down"
        pool = PeerPool(1, peer=peer, **ways)
        if state != "empty":
            sim.advance(3)
        if state in ("taken", "waiting"):
            pool.acquire()
        if state == "waiting":
            sim.spawn(outcome, pool.acquire)
            sim.settle()
        with nothing_else_runs(sim):
            for take in (
                functools.partial(pool.acquire, timeout=0),
                functools.partial(pool.acquire, blocking=False),
                functools.partial(pool.get, 0),
            ):
                result = outcome(take)
                assert (result is PoolTimeout) == (state != "free")
                if state == "free":
                    result = result if not hasattr(result, "__enter__") else result.__enter__()
                    pool.release(result)


class TestErrors:
    def test_timeout_tells_what_the_pool_looked_like(self, sim, ways):
        peer = FakePeer(latency=0)
        pool = filled(sim, PeerPool(20, peer=peer, name="orders", **ways))
        held = [pool.acquire() for _ in range(20)]
        peer.up = False
        pool.release(held.pop(), discard=True)
        sim.advance(1)
        waiters = [sim.spawn(outcome, functools.partial(pool.acquire, timeout=None))
                   for _ in range(38)]  # fmt: skip
        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=5)
        pacer = pool._geventconnpool.state.pacer
        assert str(caught.value) == (
            "pool 'orders': no connection within 5.00 s (19 active, 0 idle, "
            f"{caught.value.stats.connecting} connecting, 38 waiting, size 20); "
            f"longest held {sim.now - 2.5:.1f} s; last connect error "
            f"{sim.now - pacer.failed_at:.1f} s ago: ConnectionRefusedError, errno 111"
        )
        assert type(caught.value.__cause__) is ConnectionRefusedError
        assert caught.value.stats.waiting == 38
        assert caught.value.stats == pool.stats()
        assert not isinstance(caught.value, OSError)
        gevent.killall(waiters)

    def test_the_example_of_the_contract_word_for_word(self, sim, ways):
        peer = FakePeer(latency=0)
        pool = filled(sim, PeerPool(20, peer=peer, name="orders", **ways))
        for _ in range(20):
            pool.acquire()
        pacer = pool._geventconnpool.state.pacer
        sim.advance(7.4)
        for _ in range(38):
            sim.spawn(outcome, functools.partial(pool.acquire, timeout=None))
        sim.settle()
        pacer.error, pacer.error_at = ConnectionRefusedError(111, "secret"), sim.now + 1.9
        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=5)
        assert str(caught.value) == (
            "pool 'orders': no connection within 5.00 s (20 active, 0 idle, 0 connecting, "
            "38 waiting, size 20); longest held 12.4 s; last connect error 3.1 s ago: "
            "ConnectionRefusedError, errno 111"
        )
        assert caught.value.__cause__ is pacer.error

    def test_without_a_current_connect_error_there_is_no_cause(self, sim, ways):
        pool = PeerPool(2, **ways)
        pool.peer.restart(1)
        sim.advance(20)
        for _ in range(2):
            pool.acquire()
        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=0)
        assert caught.value.__cause__ is None
        assert "connect error" not in str(caught.value)

    def test_nothing_held_and_nothing_open_is_told_too(self, sim, ways):
        pool = PeerPool(1, name="p", peer=FakePeer(latency=100), **ways)
        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=1.5)
        assert str(caught.value) == (
            "pool 'p': no connection within 1.50 s (0 active, 0 idle, 1 connecting, "
            "0 waiting, size 1)"
        )

    def test_every_other_refusal_names_the_pool_and_carries_its_stats(self, sim, ways):
        def refuse(message, error, **options):
            pool = filled(sim, PeerPool(1, name="p", **options, **ways))
            return pool, message, error

        closed, paused = PeerPool(1, name="p", **ways), PeerPool(1, name="p", **ways)
        closed.close()
        paused.pause()
        full = filled(sim, PeerPool(1, name="p", max_waiting=0, **ways))
        full.acquire()
        new = PeerPool(1, name="p", start=False, **ways)
        for pool, error, text in (
            (closed, PoolClosed, "pool 'p': closed ("),
            (paused, PoolPaused, "pool 'p': paused ("),
            (full, TooManyWaiters, "pool 'p': too many wait already ("),
            (new, PoolClosed, "pool 'p': not open yet ("),
        ):
            with pytest.raises(error) as caught:
                pool.acquire()
            assert type(caught.value) is error
            assert str(caught.value).startswith(text)
            assert caught.value.stats.size == 1
            assert caught.value.__cause__ is None

    def test_fatally_refused_the_cause_is_the_connect_error(self, sim, ways):
        class WrongPasswordError(Exception):
            pass

        def connect():
            raise WrongPasswordError("hunter2")

        pool = PeerPool(1, connect=connect, fatal_exc_classes=WrongPasswordError, **ways)
        waiter = sim.spawn(pool.acquire)
        waiter.join()
        for error in (waiter.exception, outcome_error(pool.acquire)):
            assert type(error) is PoolUnavailable
            assert type(error.__cause__) is WrongPasswordError
            assert "WrongPasswordError" in str(error)
            assert "hunter2" not in str(error)
        sim.errors.clear()

    def test_one_connect_error_as_the_cause_of_many_collects_no_tracebacks(self, sim, ways):
        peer = FakePeer()
        peer.up = False
        pool = PeerPool(1, peer=peer, **ways)
        sim.advance(2)
        depths = []
        for _ in range(5):
            error = outcome_error(lambda: pool.acquire(timeout=0))
            depth, trace = 0, error.__cause__.__traceback__
            while trace is not None:
                depth, trace = depth + 1, trace.tb_next
            depths.append(depth)
        assert len(set(depths)) == 1


def outcome_error(action):
    with pytest.raises(PoolError) as caught:
        action()
    return caught.value


@pytest.mark.slow
class TestPoolsOwnGreenletsHit:
    """While somebody waits, the greenlets that work for him die; he is served all the same."""

    @pytest.mark.parametrize("error", [gevent.GreenletExit, KeyboardInterrupt, BaseException])
    def test_waiters_are_served_whatever_happens_to_connects(self, error):
        def scenario(sim):
            pool = PeerPool(2)
            users = [sim.spawn(take_and_hold, pool, 0.05, timeout=None) for _ in range(4)]

            def rest():
                sim.advance(60)
                assert [u.successful() for u in users] == [True] * 4
                assert whole(sim, pool).size == 2

            return pools_own(sim, users), rest

        assert sweep(scenario, error) > 3

    def test_faults_helper_hits_whom_it_says(self, sim):
        victim = sim.spawn(gevent.sleep, 10)
        faults = Faults(sim, 2, lambda: [victim], gevent.GreenletExit)
        sim.advance(1)
        assert faults.hits == 1
        assert victim.ready()
