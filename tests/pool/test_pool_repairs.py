"""What an exception of a signal handler tears is mended by the supervisor, counted and logged."""

from __future__ import annotations

import gc
import logging
from contextlib import ExitStack, contextmanager
from typing import Any

import gevent
import pytest
from checkout_support import PeerPool, filled, take_and_hold
from pool_world import NotingPool, gauges

from geventconnpool import CloseReason, PoolError, PoolTimeout
from geventconnpool.core.orders import Order
from geventconnpool.core.slot import ACTIVE, TAKEN
from geventconnpool.maintenance import repairs
from geventconnpool.testing import FakePeer


@pytest.fixture
def pool(sim):
    return filled(sim, PeerPool(2))


@pytest.fixture
def told(caplog):
    """What was logged as a repair, when it is asked for."""
    caplog.set_level(logging.ERROR, "geventconnpool")
    return lambda: [
        record.getMessage().partition("repaired: ")[2]
        for record in caplog.records
        if "repaired: " in record.getMessage()
    ]


class Stops:
    """Raises Ctrl-C instead of *what*, once."""

    def __init__(self, what: Any) -> None:
        self.what = what
        self.has_stopped = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.has_stopped:
            self.has_stopped = True
            raise KeyboardInterrupt
        return self.what(*args, **kwargs)


def engine_of(pool: Any) -> Any:
    return pool._geventconnpool


def whole_again(sim: Any, pool: Any, count: int = 1) -> None:
    """So many repairs are counted, and every place of *pool* can be used at once."""
    assert pool.stats().repairs == count
    out = [pool.acquire(timeout=5) for _ in range(pool.size)]
    assert len(set(map(id, out))) == pool.size
    for each in out:
        pool.release(each)
    sim.advance(2)
    assert gauges(pool) == {"idle": pool.size}
    assert pool.stats().repairs == count
    assert pool.peer.complaints == []
    assert pool.peer.most_open <= pool.size


class TestLeases:
    """A lease that nobody refers to can never come back, so it is not waited for."""

    def test_block_that_was_left_in_vain_costs_no_place(self, sim, pool, told):
        c = pool.get().__enter__()  # as if its exit had ended before it began
        sim.advance(3.5)

        assert gauges(pool) == {"idle": 2}
        assert pool.reasons == ["interrupted"]
        assert c.closed
        assert told() == ["connection 2: nobody could bring it back"]
        whole_again(sim, pool)

    def test_use_of_it_is_counted_and_told(self, sim):
        pool = filled(sim, NotingPool(FakePeer(), 1))
        pool.events.clear()
        pool.get().__enter__()
        sim.advance(3.5)

        assert pool.events.kinds()[2:4] == ["connection_released", "connection_closed"]
        (released,) = pool.events.of("connection_released")
        assert pool.stats().use_seconds == pytest.approx(released.seconds)

    @pytest.mark.parametrize("seconds", [3.0, 300.0])
    def test_block_may_last_as_long_as_it_likes(self, sim, pool, seconds):
        user = sim.spawn(take_and_hold, pool, seconds)
        sim.advance(seconds - 0.1)

        assert pool.stats().active == 1
        sim.advance(1)
        assert not user.value.closed
        whole_again(sim, pool, 0)

    def test_record_in_the_hands_of_a_caller_who_does_without_a_block_stays(self, sim, pool):
        lease = pool.get()
        c = lease.__enter__()
        sim.advance(60)

        assert c.request(1) == 1
        lease.__exit__(None, None, None)
        whole_again(sim, pool, 0)

    def test_block_on_a_stack_of_blocks_stays(self, sim, pool):
        with ExitStack() as stack:
            c = stack.enter_context(pool.get())
            sim.advance(60)
            assert c.request(1) == 1
        whole_again(sim, pool, 0)

    def test_block_of_a_suspended_generator_stays(self, sim, pool):
        @contextmanager
        def borrowed():
            with pool.get() as c:
                yield c

        with borrowed() as c:
            sim.advance(60)
            assert c.request(1) == 1
        whole_again(sim, pool, 0)

    def test_lease_that_was_passed_on_outlives_its_taker(self, sim, pool):
        passed_on: list[Any] = []

        def take() -> None:
            lease = pool.get()
            passed_on.append((lease, lease.__enter__()))

        sim.spawn(take)
        sim.advance(60)
        lease, c = passed_on.pop()

        assert c.request(1) == 1
        lease.__exit__(None, None, None)
        whole_again(sim, pool, 0)

    def test_acquired_by_hand_outlives_its_taker(self, sim, pool):
        taker = sim.spawn(pool.acquire)
        sim.advance(60)

        assert taker.value.request(1) == 1
        pool.release(taker.value)
        whole_again(sim, pool, 0)

    @pytest.mark.parametrize(
        "options",
        [
            {"keepalive": 50.0},
            {"max_lifetime": 70.0},
            {"min_size": 0, "idle_timeout": 1000.0},
            {"order": "fifo"},
        ],
        ids="+".join,
    )
    def test_references_of_the_pool_itself_do_not_count(self, sim, options):
        class Pool(PeerPool):
            def _keepalive(self, c: Any) -> None:
                c.ping()

        pool = Pool(2, **options)
        sim.advance(2.5)
        out = [pool.acquire(), pool.acquire()]
        for c in out:
            pool.release(c)
        sim.advance(40)
        for _ in range(2):
            pool.get().__enter__()
        sim.advance(3.5)

        whole_again(sim, pool, 2)

    def test_traceback_holds_it_until_it_is_let_go(self, sim, pool):
        engine = engine_of(pool)
        stop = Stops(engine.here)
        with pytest.raises(KeyboardInterrupt) as caught:
            lease = pool.get()
            lease.__enter__()
            engine.desk.leave = stop
            lease.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        del lease
        sim.advance(3.5)

        assert caught.value is not None
        whole_again(sim, pool)  # the exit had begun, and said so

    def test_where_references_cannot_be_counted_nothing_is_guessed(self, sim, pool, monkeypatch):
        monkeypatch.setattr(repairs, "_count_references", None)
        c = pool.get().__enter__()
        sim.advance(10)

        assert not c.closed
        assert gauges(pool) == {"idle": 1, "active": 1}
        pool.release(c)
        whole_again(sim, pool, 0)


class TestReturns:
    """A return that was broken off is one: the connection is closed, its place is free."""

    def test_block(self, sim, pool, told):
        engine_of(pool).desk._hand_in = Stops(engine_of(pool).desk._hand_in)
        with pytest.raises(KeyboardInterrupt):
            with pool.get() as c:
                raise LookupError
        sim.advance(3.5)

        assert c.closed
        assert pool.reasons == ["interrupted"]
        assert told() == ["connection 2: its return was broken off"]
        whole_again(sim, pool)

    @pytest.mark.parametrize("verb", ["release", "detach"])
    def test_by_hand(self, sim, pool, told, verb):
        engine_of(pool).desk._tell_released = Stops(engine_of(pool).desk._tell_released)
        c = pool.acquire()
        with pytest.raises(KeyboardInterrupt):
            getattr(pool, verb)(c)
        sim.advance(3.5)

        assert c.closed
        assert told() == ["connection 2: its return was broken off"]
        whole_again(sim, pool)
        with pytest.raises(PoolError):
            pool.release(c)

    def test_by_hand_may_be_tried_again(self, sim, pool):
        engine_of(pool).desk._tell_released = Stops(engine_of(pool).desk._tell_released)
        c = pool.acquire()
        with pytest.raises(KeyboardInterrupt):
            pool.release(c)
        pool.release(c)
        sim.advance(3.5)

        assert pool.reasons == ["interrupted"]
        whole_again(sim, pool, 0)

    def test_with_a_reason_to_close_it_has_that_reason(self, sim, pool):
        engine_of(pool).desk._tell_released = Stops(engine_of(pool).desk._tell_released)
        with pytest.raises(KeyboardInterrupt):
            pool.release(pool.acquire(), discard=True)
        sim.advance(3.5)

        assert pool.reasons == ["discarded"]
        whole_again(sim, pool, 0)

    @pytest.mark.parametrize("wrong", ["stranger", "flag"])
    def test_refused_changes_nothing(self, sim, pool, wrong):
        c = pool.acquire()
        with pytest.raises((PoolError, TypeError)):
            if wrong == "stranger":
                pool.release(object())
            else:
                pool.release(c, discard=1)
        sim.advance(5)

        assert not c.closed
        pool.release(c)
        whole_again(sim, pool, 0)

    def test_whoever_was_served_with_it_is_woken(self, sim):
        pool = filled(sim, PeerPool(1))
        engine = engine_of(pool)
        lease = pool.get()
        c = lease.__enter__()
        waiter = sim.spawn(take_and_hold, pool, 0.1)
        sim.settle()
        engine.desk._run_callback, schedule = Stops(None), engine.desk._run_callback
        calls = [engine.desk._run_callback, schedule]
        engine.desk._run_callback = lambda *args: calls.pop(0)(*args)
        with pytest.raises(KeyboardInterrupt):
            lease.__exit__(None, None, None)
        sim.advance(0.2)

        assert waiter.value is c
        whole_again(sim, pool, 0)


class TestAcquires:
    """What was interrupted on its way to the caller is taken back."""

    def test_calm_one_between_the_shelf_and_the_hand(self, sim, pool, told):
        engine_of(pool).state.books.shelf.pop()
        sim.advance(2)

        assert told() != []
        whole_again(sim, pool, pool.stats().repairs)

    @pytest.mark.parametrize("by_hand", [False, True])
    def test_taken_and_never_arrived(self, sim, pool, by_hand):
        slot = engine_of(pool).desk.acquire(1.0)
        slot.by_hand = by_hand
        with pytest.warns(ResourceWarning):
            sim.advance(5)

        assert slot.connection is None
        whole_again(sim, pool, 0)
        with pool.get():
            pass
        assert gauges(pool) == {"idle": 2}

    def test_whoever_is_interrupted_in_the_middle_of_entering_a_block_has_nothing(self, sim, pool):
        lease = pool.get()
        lease.state = ACTIVE
        engine_of(pool).desk.broken_off(lease)
        assert lease.state is TAKEN
        sim.advance(5)

        assert pool.reasons == ["interrupted"]
        whole_again(sim, pool)

    def test_deadline_that_nobody_watches_is_watched_again(self, sim, pool):
        holders = [sim.spawn(take_and_hold, pool, 30) for _ in range(2)]
        sim.settle()
        waiter = sim.spawn(take_and_hold, pool, 0, timeout=5)
        sim.settle()
        engine_of(pool).deadline.stop()
        sim.advance(6)

        assert isinstance(waiter.exception, PoolTimeout)
        assert not any(holder.ready() for holder in holders)
        sim.errors.clear()


class TestPerforming:
    def test_somebody_who_performs_no_more_is_not_waited_for(self, sim, pool, told):
        engine = engine_of(pool)
        c = pool.acquire()
        engine._settling = True
        pool.release(c, discard=True)
        assert gauges(pool) == {"idle": 1, "closing": 1}
        sim.advance(3)

        assert told() == ["what was decided was not performed"]
        whole_again(sim, pool)

    @pytest.mark.parametrize("how", [Order.CLOSE, Order.CONNECT])
    def test_order_that_was_broken_off_is_given_again(self, sim, pool, told, how):
        engine = engine_of(pool)
        bodies = engine._start

        def start(slot: Any, what: Order) -> None:
            if what is how and not stop.has_stopped:
                stop()
            bodies(slot, what)

        stop = Stops(None)
        engine._start = start
        c = pool.acquire()
        if how is Order.CLOSE:
            with pytest.raises(KeyboardInterrupt):
                pool.release(c, discard=True)
        else:
            gevent.get_hub().SYSTEM_ERROR = ()  # it does not take the test with it
            pool.release(c, discard=True)
            sim.advance(0.1)
            assert [type(error) for error in sim.errors] == [KeyboardInterrupt]
            sim.errors.clear()
        sim.advance(3)

        state = {Order.CLOSE: "closing", Order.CONNECT: "connecting"}[how]
        assert [text.partition(": ")[2] for text in told()] == [f"{state}, by nobody"]
        whole_again(sim, pool)

    def test_job_whose_greenlet_never_began_is_given_to_another(self, sim, pool, told):
        engine = engine_of(pool)
        loop = engine.hub.loop
        c = pool.acquire()
        loop.run_callback = Stops(None)
        with pytest.raises(KeyboardInterrupt):
            pool.release(c, discard=True)
        del loop.run_callback
        sim.advance(3)

        assert told() == ["connection 2: close was never begun", "connection 2: closing, by nobody"]
        whole_again(sim, pool, 2)

    def test_waiter_whose_wake_up_was_broken_off_is_woken(self, sim):
        pool = filled(sim, PeerPool(1, check_after=100))
        engine = engine_of(pool)
        c = pool.acquire()
        waiter = sim.spawn(take_and_hold, pool, 0.1)
        sim.settle()
        engine.wake = Stops(engine.wake)
        with pytest.raises(KeyboardInterrupt):
            pool.release(c)
        sim.advance(0.2)

        assert waiter.value is c
        whole_again(sim, pool, 0)

    def test_waiter_who_was_woken_all_the_same_is_not_disturbed(self, sim):
        pool = filled(sim, PeerPool(1, check_after=100))
        engine = engine_of(pool)
        c = pool.acquire()
        waiter = sim.spawn(take_and_hold, pool, 0.1)
        sim.settle()

        def wake(served: Any) -> None:
            engine.run_callback(served.wake)
            raise KeyboardInterrupt

        engine.wake, real = wake, engine.wake
        with pytest.raises(KeyboardInterrupt):
            pool.release(c)
        engine.wake = real
        sim.advance(0.05)
        assert not waiter.ready()
        sim.advance(0.1)

        assert waiter.value is c
        whole_again(sim, pool, 0)

    def test_whoever_is_dead_is_not_woken(self, sim, pool):
        class Dead:
            wake = gevent.Greenlet().switch

        repairs.rouse(Dead)  # type: ignore[arg-type]

    def test_change_that_somebody_waits_for_is_told_again(self, sim):
        pool = filled(sim, PeerPool(1))
        c = pool.acquire()
        closing = sim.spawn(pool.close, None)
        sim.settle()
        engine = engine_of(pool)
        engine._changed.set()  # and there it was broken off
        sim.settle()
        pool.release(c)
        sim.advance(1)

        assert closing.value is True


class TestTelling:
    def test_somebody_who_speaks_no_more_is_not_waited_for(self, sim, told):
        pool = filled(sim, NotingPool(FakePeer(), 1))
        engine = engine_of(pool)
        engine.herald.speaker = gevent.getcurrent()
        pool.events.clear()
        pool.release(pool.acquire())
        assert pool.events == []
        sim.advance(2)

        assert pool.events.kinds()[:3] == [
            "acquire_started",
            "connection_acquired",
            "connection_released",
        ]
        assert "what has happened was not told" in told()
        assert engine.herald.speaker is None

    def test_somebody_who_is_held_up_while_speaking_speaks_on(self, sim):
        held_up = gevent.event.Event()

        def listener(event: Any) -> None:
            if event.kind == "pool_drained":
                held_up.wait(10)

        pool = filled(sim, NotingPool(FakePeer(), 1, listeners=[listener]))
        speaker = sim.spawn(pool.drain)
        sim.advance(5)

        assert engine_of(pool).herald.speaker is speaker
        assert pool.stats().repairs == 0
        held_up.set()
        sim.advance(2)
        assert engine_of(pool).herald.speaker is None


def test_nothing_is_mended_in_a_busy_life(sim):
    pool = filled(sim, PeerPool(2))
    users = [sim.spawn(take_and_hold, pool, 1.7) for _ in range(12)]
    sim.advance(60)

    assert all(user.ready() for user in users)
    assert gc.isenabled()
    whole_again(sim, pool, 0)


def test_reasons_of_a_connection_that_nobody_brings_back(sim, pool):
    c = pool.get().__enter__()
    pool.discard(c)
    sim.advance(3.5)

    assert pool.reasons == [str(CloseReason.DISCARDED)]
    whole_again(sim, pool)
