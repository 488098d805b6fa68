"""Taking connections and bringing them back: the methods, leases, odd connections, events."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
import logging
import math
import pickle
import warnings
import weakref
from contextlib import contextmanager

import gevent
import pytest
from checkout_support import PeerPool, Wire, WirePool, filled, nothing_else_runs, outcome, whole

from geventconnpool import (
    ConnectionPool,
    PoolClosed,
    PoolError,
    PoolPaused,
    PoolTimeout,
)
from geventconnpool.testing import FakePeer, RecordingListener


@pytest.fixture(params=["calm", "careful"])
def ways(request):
    """The options of a pool on either path of a checkout: the short one and the long one."""
    return {} if request.param == "calm" else {"listeners": [RecordingListener()]}


@pytest.fixture
def pool(sim, ways):
    return filled(sim, PeerPool(3, **ways))


class TestGet:
    def test_as_gives_the_connection_itself(self, sim, pool):
        with pool.get() as c:
            assert c in pool.peer.open
            assert pool.stats().active == 1
        assert pool.stats().idle == 3

    def test_nothing_switches_where_a_connection_is_free(self, sim, pool):
        with nothing_else_runs(sim):
            for _ in range(5):
                with pool.get():
                    with pool.get(timeout=0):
                        pass

    def test_the_connection_is_taken_by_get_not_by_with(self, sim, pool):
        leases = [pool.get() for _ in range(3)]

        assert pool.stats().active == 3
        assert outcome(functools.partial(pool.get, 0)) is PoolTimeout
        for lease in leases:
            with lease:
                pass
        assert pool.stats().idle == 3

    def test_two_never_have_the_same_connection(self, sim, pool):
        def user(n):
            for k in range(50):
                with pool.get() as c, c.taken_by(n):
                    assert c.request((n, k)) == (n, k)

        users = [sim.spawn(user, n) for n in range(10)]
        gevent.joinall(users, raise_error=True)

        assert pool.peer.complaints == []
        assert pool.peer.accepts == 3

    def test_newest_is_handed_out_first_by_default(self, sim, pool):
        a, b, c = (pool.acquire() for _ in range(3))
        for each in (b, c, a):
            pool.release(each)

        assert [pool.acquire() for _ in range(3)] == [a, c, b]

    def test_oldest_is_handed_out_first_with_fifo(self, sim, ways):
        pool = filled(sim, PeerPool(3, order="fifo", **ways))
        a, b, c = (pool.acquire() for _ in range(3))
        for each in (b, c, a):
            pool.release(each)

        taken = []
        for _ in range(3):
            with pool.get() as each:
                taken.append(each)
        assert taken == [b, c, a]


class TestTimeouts:
    @pytest.mark.parametrize("timeout", [0, -1, -0.0, -math.inf, 0.0])
    def test_zero_or_less_does_not_wait(self, sim, pool, timeout):
        held = [pool.acquire() for _ in range(3)]

        for take in (pool.get, functools.partial(pool.acquire, True)):
            with nothing_else_runs(sim), pytest.raises(PoolTimeout):
                take(timeout)
        pool.release(held.pop())
        with nothing_else_runs(sim):
            assert pool.acquire(timeout=timeout) is not None

    @pytest.mark.parametrize("timeout", [None, math.inf])
    def test_none_and_infinity_wait_for_ever(self, sim, pool, timeout):
        held = [pool.acquire() for _ in range(3)]
        waiter = sim.spawn(pool.acquire, timeout=timeout)
        sim.advance(5000)

        assert not waiter.ready()
        pool.release(held[0])
        assert waiter.get() is held[0]

    def test_time_given_to_the_call_goes_before_the_pools_own(self, sim, pool):
        for _ in range(3):
            pool.acquire()
        before = sim.now

        assert outcome(functools.partial(pool.acquire, timeout=2)) is PoolTimeout
        assert sim.now == before + 2
        assert outcome(pool.acquire) is PoolTimeout
        assert sim.now == before + 32

    def test_pools_own_timeout_may_be_none_or_zero(self, sim, ways):
        patient = PeerPool(1, timeout=None, **ways)
        hasty = filled(sim, PeerPool(1, timeout=0, **ways))
        for each in (patient, hasty):
            each.acquire()
        waiter = sim.spawn(patient.acquire)
        with nothing_else_runs(sim), pytest.raises(PoolTimeout):
            hasty.acquire()
        with nothing_else_runs(sim), pytest.raises(PoolTimeout):
            hasty.get()
        sim.advance(5000)
        assert not waiter.ready()

    @pytest.mark.parametrize(
        ("timeout", "error"),
        [(math.nan, ValueError), ("1", TypeError), (True, TypeError), (1j, TypeError)],
    )
    def test_nonsense_is_refused_and_costs_nothing(self, sim, pool, timeout, error):
        for take in (pool.get, functools.partial(pool.acquire, True)):
            with pytest.raises(error, match=r"^timeout must be None or a number of seconds"):
                take(timeout)
        assert pool.stats().acquires == 0
        assert pool.stats().idle == 3

    def test_without_blocking_nothing_is_waited_for(self, sim, pool):
        held = [pool.acquire(blocking=False) for _ in range(3)]

        with nothing_else_runs(sim), pytest.raises(PoolTimeout):
            pool.acquire(blocking=False)
        assert len(set(held)) == 3

    @pytest.mark.parametrize("timeout", [None, 0, 1.5])
    def test_not_blocking_with_a_timeout_is_a_contradiction(self, sim, pool, timeout):
        with pytest.raises(ValueError, match=r"timeout .* blocking=False"):
            pool.acquire(blocking=False, timeout=timeout)
        with pytest.raises(ValueError, match=r"timeout .* blocking=False"):
            pool.acquire(False, timeout)
        assert pool.stats().idle == 3

    def test_without_waiting_only_what_needs_no_check_is_taken(self, sim):
        class Checked(PeerPool):
            def _check_connection(self, c):
                c.ping()

        pool = filled(sim, Checked(2, check_after=0))

        with nothing_else_runs(sim), pytest.raises(PoolTimeout):
            pool.acquire(timeout=0)
        assert pool.acquire(timeout=1).peer is pool.peer

    def test_without_waiting_the_error_of_a_full_line_is_the_timeout(self, sim):
        # Whoever does not want to wait is not one too many who waits.
        pool = filled(sim, PeerPool(1, max_waiting=0))
        pool.acquire()

        assert outcome(functools.partial(pool.acquire, timeout=0)) is PoolTimeout
        assert outcome(functools.partial(pool.acquire, blocking=False)) is PoolTimeout


class TestRelease:
    def test_a_released_connection_is_free_for_others(self, sim, pool):
        held = [pool.acquire() for _ in range(3)]
        with nothing_else_runs(sim):
            pool.release(held[1])

        assert pool.acquire(timeout=0) is held[1]

    def test_with_discard_it_is_closed_and_replaced(self, sim, pool):
        c = pool.acquire()
        with nothing_else_runs(sim):
            pool.release(c, discard=True)
        sim.advance(1)

        assert pool.goodbyes == [(c, "discarded")]
        assert pool.stats().idle == 3
        assert c not in pool.peer.open

    def test_twice_is_an_error_that_changes_nothing(self, sim, pool):
        c = pool.acquire()
        pool.release(c)
        before = pool.stats()

        for verb in (pool.release, pool.discard, pool.detach):
            with pytest.raises(PoolError, match=r"is not out") as caught:
                verb(c)
            assert type(caught.value) is PoolError
            assert caught.value.stats == before
        assert pool.stats() == before

    def test_twice_is_an_error_also_if_somebody_else_has_it_by_then_by_another_name(self, sim):
        # The second holder may release it; the first one cannot be told from it by the object.
        pool = filled(sim, PeerPool(1))
        c = pool.acquire()
        pool.release(c)
        with pool.get() as again:
            assert again is c
        with pytest.raises(PoolError):
            pool.release(c)

    @pytest.mark.parametrize("stranger", [None, 0, "c", object(), [], ConnectionPool])
    def test_of_what_was_never_here_is_an_error_that_changes_nothing(self, sim, pool, stranger):
        before = pool.stats()

        for verb in (pool.release, pool.discard, pool.detach):
            with pytest.raises(PoolError, match=r"belongs to another pool"):
                verb(stranger)
        assert pool.stats() == before

    def test_of_another_pools_connection_is_an_error_in_both(self, sim, pool):
        other = filled(sim, PeerPool(1))
        c = other.acquire()
        before = pool.stats(), other.stats()

        for verb in (pool.release, pool.discard, pool.detach):
            with pytest.raises(PoolError, match=r"belongs to another pool"):
                verb(c)
        assert (pool.stats(), other.stats()) == before

    def test_what_was_closed_meanwhile_is_not_out_any_more(self, sim, pool):
        c = pool.acquire()
        pool.release(c, discard=True)
        with pytest.raises(PoolError):
            pool.release(c)
        sim.advance(5)
        with pytest.raises(PoolError):
            pool.release(c)
        assert whole(sim, pool).closes["discarded"] == 1

    def test_inside_the_block_leaving_it_does_nothing(self, sim, pool):
        with pool.get() as c:
            pool.release(c)
            assert pool.stats().idle == 3
            with pool.get() as d:
                assert d is c
        assert pool.stats().idle == 3
        assert whole(sim, pool).closes["broken"] == 0

    def test_inside_the_block_the_error_that_leaves_it_does_not_hit_the_next_holder(
        self, sim, pool
    ):
        with pytest.raises(OSError):
            with pool.get() as c:
                pool.release(c)
                again = pool.acquire()
                raise OSError
        sim.settle()

        assert again is c
        assert not c.closed
        assert pool.stats().active == 1
        pool.release(again)
        assert whole(sim, pool).closes["broken"] == 0

    def test_inside_the_block_its_end_does_not_bring_back_what_the_next_block_has(self, sim, pool):
        with pool.get() as c:
            pool.release(c)
            after = pool.get()
            again = after.__enter__()
        assert again is c
        assert pool.stats().active == 1
        after.__exit__(None, None, None)
        whole(sim, pool)

    def test_after_drain_with_interrupt_is_silent_once(self, sim, pool):
        held = [pool.acquire() for _ in range(3)]
        pool.drain(interrupt=True)
        sim.advance(1)
        assert [reason for _, reason in pool.goodbyes] == ["drained"] * 3

        pool.release(held[0])
        pool.discard(held[1])
        pool.release(held[1], discard=True)
        pool.detach(held[2])

        for each in held:
            with pytest.raises(PoolError):
                pool.release(each)
        assert whole(sim, pool).closes["drained"] == 3

    def test_after_drain_with_interrupt_the_block_is_left_silently(self, sim, pool):
        with pool.get() as c:
            pool.drain(interrupt=True)
            pool.discard(c)
            sim.advance(1)
            assert c.closed
        with pytest.raises(PoolError):
            pool.release(c)
        assert whole(sim, pool).closes["drained"] == 3

    def test_what_drain_took_from_a_block_is_not_kept(self, sim, pool):
        with pool.get() as c:
            pool.drain(interrupt=True)
        gone = weakref.ref(c)
        del c
        sim.advance(5)
        pool.goodbyes.clear()
        gc.collect()

        assert gone() is None


class TestDiscard:
    def test_inside_the_block_closes_at_its_end(self, sim, pool):
        with pool.get() as c:
            with nothing_else_runs(sim):
                pool.discard(c)
                pool.discard(c)
            sim.advance(1)
            assert not c.closed
            assert pool.stats().active == 1
        sim.advance(1)

        assert pool.goodbyes == [(c, "discarded")]
        assert pool.stats().idle == 3

    def test_after_acquire_closes_at_release(self, sim, pool):
        c = pool.acquire()
        pool.discard(c)
        pool.release(c)
        sim.advance(1)

        assert pool.goodbyes == [(c, "discarded")]

    def test_stands_whatever_the_block_is_left_with(self, sim, pool):
        for error in (OSError, KeyError, gevent.Timeout):
            with pytest.raises(error), pool.get() as c:
                pool.discard(c)
                raise error
        sim.advance(1)
        assert pool.reasons == ["discarded"] * 3

    def test_says_nothing_of_the_peer_so_the_next_connect_comes_at_once(self, sim):
        pool = PeerPool(1)
        c = pool.acquire()  # not proven yet
        pool.release(c, discard=True)
        before = sim.now
        pool.acquire()
        assert sim.now - before < 0.01


class TestDetach:
    def test_takes_it_out_for_good_and_opens_another(self, sim, pool):
        with pool.get() as c:
            with nothing_else_runs(sim):
                pool.detach(c)
            assert pool.stats().active == 0
        sim.advance(1)

        assert c in pool.peer.open
        assert pool.goodbyes == []
        assert pool.stats().idle == 3
        assert pool.stats().closes["detached"] == 1
        with pytest.raises(PoolError):
            pool.release(c)

    def test_leaving_the_block_with_an_error_afterwards_does_nothing(self, sim, pool):
        for error in (OSError, gevent.Timeout, KeyError):
            with pytest.raises(error), pool.get() as c:
                pool.detach(c)
                raise error
            assert not c.closed
        assert pool.goodbyes == []
        pool.peer.most_open = 0
        sim.advance(5)
        assert pool.stats().idle == 3

    def test_serves_who_waits_with_the_new_one(self, sim):
        pool = filled(sim, PeerPool(1))
        c = pool.acquire()
        waiter = sim.spawn(pool.acquire)
        sim.settle()
        pool.detach(c)

        assert waiter.get(timeout=1) is not c

    def test_after_close_takes_it_out_all_the_same(self, sim, pool):
        c = pool.acquire()
        assert pool.close(0) is False
        pool.detach(c)
        sim.advance(1)

        assert pool.close(0) is True
        assert c in pool.peer.open

    def test_its_descriptor_is_watched_no_longer(self, sim):
        pool = filled(sim, WirePool(1))
        c = pool.acquire()
        pool.detach(c)
        sim.advance(5)
        c.close()
        c.hang_up()
        sim.advance(5)

        assert pool.stats().idle == 1
        assert pool.goodbyes == []
        pool.bury()


class TestLeases:
    def test_entered_twice_is_an_error_and_the_block_goes_on(self, sim, pool):
        lease = pool.get()
        with lease as c:
            with pytest.raises(PoolError, match=r"for one block"):
                lease.__enter__()
            assert pool.stats().active == 1
            assert c.request(1) == 1
        assert pool.stats().idle == 3

    def test_entered_after_its_block_is_an_error(self, sim, pool):
        lease = pool.get()
        with lease:
            pass
        with pytest.raises(PoolError, match=r"for one block"):
            with lease:
                pytest.fail("entered")
        assert pool.stats().idle == 3

    def test_left_without_being_entered_is_harmless(self, sim, pool):
        lease = pool.get()
        lease.__exit__(None, None, None)
        with lease:
            pass
        lease.__exit__(None, None, None)
        assert whole(sim, pool).idle == 3

    def test_never_entered_is_taken_back_with_a_warning(self, sim, pool):
        lease = pool.get()
        with pytest.warns(ResourceWarning, match=r"get\(\) without a with block"):
            sim.advance(5)

        assert pool.stats().idle == 3
        with pytest.raises(PoolError, match=r"for one block"):
            lease.__enter__()
        lease.__exit__(None, None, None)
        assert whole(sim, pool).idle == 3

    def test_never_entered_and_forgotten_is_taken_back_too(self, sim):
        pool = filled(sim, PeerPool(1))
        pool.get()
        gc.collect()
        with pytest.warns(ResourceWarning):
            with pool.get(timeout=10) as c:
                assert c.request(1) == 1
        assert whole(sim, pool).idle == 1

    def test_never_entered_is_taken_back_even_if_warnings_are_errors(self, sim, pool):
        pool.get()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sim.advance(5)
        assert pool.stats().idle == 3

    def test_stale_one_does_not_touch_who_has_the_connection_now(self, sim):
        pool = filled(sim, PeerPool(1))
        stale = pool.get()
        with pytest.warns(ResourceWarning):
            sim.advance(5)
        with pool.get() as c:
            for error in (None, OSError()):
                stale.__exit__(type(error) if error else None, error, None)
            with pytest.raises(PoolError):
                stale.__enter__()
            assert pool.stats().active == 1
            assert not c.closed
        assert whole(sim, pool).closes["broken"] == 0

    def test_entered_soon_enough_is_not_taken_back(self, sim, pool):
        lease = pool.get()
        sim.advance(0.9)
        with lease as c:
            sim.advance(100)
            assert pool.stats().active == 1
            assert c.request("a") == "a"

    def test_may_be_entered_and_left_by_others_than_the_one_who_took_it(self, sim, pool):
        lease = pool.get()
        c = sim.spawn(lease.__enter__).get()
        assert pool.stats().active == 1
        sim.spawn(lease.__exit__, None, None, None).get()
        assert not c.closed
        assert pool.stats().idle == 3

    def test_generator_that_is_thrown_away_inside_the_block_gives_it_back(self, sim, pool):
        def lines():
            with pool.get() as c:
                yield c

        generator = lines()
        c = next(generator)
        assert pool.stats().active == 1
        del generator
        gc.collect()
        sim.advance(1)

        assert pool.goodbyes == [(c, "interrupted")]
        assert pool.stats().idle == 3

    def test_cannot_be_pickled_or_copied_and_shows_no_more_than_its_number(self, sim, pool):
        with pool.get():
            pass
        lease = pool.get()
        for do in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                do(lease)
        assert repr(lease).startswith("<Lease of connection ")
        with lease:
            pass


class Unhashable:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other):
        return True


class EqualToNothing:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other):
        return False


class Unforthcoming:
    """Whatever one asks it, it raises."""

    def _refuse(self, *args):
        raise RuntimeError("ask me nothing")

    __eq__ = __ne__ = __hash__ = __bool__ = __len__ = __repr__ = __str__ = _refuse
    __iter__ = __lt__ = __contains__ = __reduce_ex__ = __dir__ = _refuse

    def __getattr__(self, name):
        raise RuntimeError(f"do not ask me for {name}")


class Mute:
    """Does not even let its attributes be looked at."""

    def __getattribute__(self, name):
        raise MemoryError(name)


class Slotted:
    __slots__ = ()


ODD = {
    "a list": list,
    "a dict": dict,
    "an empty string": lambda: "".join([]),
    "a tuple": tuple,
    "unhashable and equal to everything": Unhashable,
    "equal to nothing": EqualToNothing,
    "raises at everything": Unforthcoming,
    "raises at every attribute": Mute,
    "slots": Slotted,
    "NaN": lambda: float("nan"),
}


class TestOddConnections:
    @pytest.mark.parametrize("make", ODD.values(), ids=ODD)
    @pytest.mark.parametrize("watch_idle", [True, False])
    def test_any_object_is_a_connection(self, sim, ways, make, watch_idle):
        made = []

        def connect():
            made.append(make())
            return made[-1]

        pool = ConnectionPool(1, connect=connect, watch_idle=watch_idle, **ways)
        sim.advance(2.5)
        assert pool.stats().idle == 1

        with pool.get() as c:
            assert c is made[0]
        c = pool.acquire()
        assert c is made[0]
        pool.release(c)
        with pytest.raises(PoolError):
            pool.release(c)
        with pytest.raises(KeyError), pool.get() as c:
            raise KeyError
        assert pool.acquire(timeout=0) is made[0]
        pool.discard(c)
        pool.release(c)
        sim.advance(5)
        with pool.get() as c:
            assert c is made[-1]
            pool.detach(c)
        pool.drain(interrupt=True)
        assert "size 1>" in repr(pool)
        whole(sim, pool)
        assert pool.acquire(timeout=0) is made[-1]
        assert pool.close(0) is False

    @pytest.mark.parametrize("false", [0, False, 0.0, "", b"", (), frozenset()])
    def test_false_ones_are_connections(self, sim, ways, false):
        pool = ConnectionPool(1, connect=lambda: false, **ways)
        with pool.get() as c:
            assert c is false
        assert pool.acquire(blocking=False) is false
        pool.release(false)
        assert pool.stats().idle == 1

    def test_equal_ones_are_told_apart(self, sim, ways):
        pool = ConnectionPool(2, connect=Unhashable, **ways)
        sim.advance(1)
        a, b = pool.acquire(), pool.acquire()
        pool.release(a)
        with pytest.raises(PoolError):
            pool.release(a)
        assert pool.acquire() is a
        pool.release(b)
        assert pool.stats().active == 1

    def test_nothing_is_left_on_the_connection(self, sim, ways):
        class Plain:
            pass

        pool = ConnectionPool(1, connect=Plain, leak_threshold=1, **ways)
        with pool.get() as c:
            pass
        assert vars(c) == {}

    def test_one_whose_fileno_fails_after_its_user_closed_it_is_discarded(self, sim, ways):
        class Strict(Wire):
            def fileno(self):
                if self.closes:
                    raise RuntimeError("connection already closed")
                return super().fileno()

        class Pool(WirePool):
            wire_class = Strict

        pool = filled(sim, Pool(1, **ways))
        for _ in range(2):
            with pool.get() as c:
                pass
            with pool.get() as c:
                c.close()
            sim.advance(5)
            assert pool.goodbyes[-1] == (c, "discarded")
            c = pool.acquire()
            c.close()
            pool.release(c)
            sim.advance(5)
            assert pool.goodbyes[-1] == (c, "discarded")
        assert pool.stats().idle == 1
        pool.bury()


class TestNestedGet:
    def test_who_holds_all_of_it_is_told_how_long(self, sim, ways):
        pool = filled(sim, PeerPool(1, name="orders", **ways))
        with pool.get():
            sim.advance(12.4)
            with pytest.raises(PoolTimeout) as caught:
                with pool.get(timeout=5):
                    pytest.fail("two at once")
        assert str(caught.value) == (
            "pool 'orders': no connection within 5.00 s (1 active, 0 idle, 0 connecting, "
            "0 waiting, size 1); longest held 17.4 s"
        )
        assert whole(sim, pool).acquire_timeouts == 1

    def test_error_of_the_inner_one_does_not_break_the_outer_ones_connection(self, sim):
        inner, outer = PeerPool(1), PeerPool(1)
        sim.advance(3)
        with inner.get():
            with pytest.raises(PoolTimeout):
                with outer.get() as c:
                    inner.acquire(timeout=1)
        sim.advance(1)
        assert not c.closed
        assert outer.reasons == []


class TestInTheLoop:
    def call(self, sim, function):
        """What *function* comes to in a callback of the loop."""
        results = []
        gevent.get_hub().loop.run_callback(lambda: results.append(outcome_with_text(function)))
        sim.settle()
        return results[0]

    def test_free_connection_is_served(self, sim, pool):
        c = self.call(sim, pool.acquire)
        assert c in pool.peer.open
        assert self.call(sim, lambda: pool.release(c)) is None
        assert self.call(sim, lambda: pool.get().__enter__()) is c

    def test_having_to_wait_is_one_clear_error(self, sim, pool):
        held = [pool.acquire() for _ in range(3)]
        for take in (pool.get, pool.acquire, functools.partial(pool.get, None)):
            kind, text = self.call(sim, take)
            assert kind is PoolError
            assert "cannot wait" in text
        assert self.call(sim, functools.partial(pool.get, 0))[0] is PoolTimeout
        stats = pool.stats()
        assert (stats.waiting, stats.acquire_errors, stats.acquire_timeouts) == (0, 3, 1)
        for each in held:
            pool.release(each)
        assert whole(sim, pool).idle == 3


def outcome_with_text(function):
    try:
        return function()
    except BaseException as error:
        return type(error), str(error)


class TestBeforeAndAfterLife:
    def test_before_open_an_acquire_is_closed_and_says_not_open_yet(self, sim):
        pool = PeerPool(1, start=False)
        for take in (pool.get, pool.acquire, functools.partial(pool.acquire, blocking=False)):
            with pytest.raises(PoolClosed, match=r"not open yet"):
                take()
        sim.advance(5)
        assert pool.peer.connects == 0
        pool.open()
        pool.open()
        assert pool.acquire(timeout=5) in pool.peer.open

    def test_after_close_an_acquire_is_closed(self, sim, pool):
        pool.close()
        for take in (pool.get, pool.acquire, functools.partial(pool.acquire, blocking=False)):
            with nothing_else_runs(sim), pytest.raises(PoolClosed, match=r"closed"):
                take()

    def test_paused_an_acquire_is_refused_at_once(self, sim, pool):
        pool.pause()
        for take in (pool.get, pool.acquire, functools.partial(pool.acquire, blocking=False)):
            with nothing_else_runs(sim), pytest.raises(PoolPaused):
                take()
        pool.resume()
        assert pool.acquire(timeout=0) in pool.peer.open

    def test_what_comes_back_after_close_is_closed(self, sim, pool):
        with pool.get() as c:
            d = pool.acquire()
            pool.close(0)
        pool.release(d)
        assert pool.close() is True
        assert sorted(pool.reasons) == ["closed"] * 3
        assert c.closed
        assert d.closed

    def test_constructor_neither_connects_nor_switches(self, sim):
        peer = FakePeer()
        with nothing_else_runs(sim):
            pool = PeerPool(3, peer=peer)
        assert peer.connects == 0
        assert pool.stats().connecting == 0

    def test_first_acquire_need_not_wait_for_the_loop_to_turn(self, sim):
        pool = PeerPool(1, peer=FakePeer(latency=0))
        assert pool.acquire() in pool.peer.open


class TestSubclasses:
    def test_forgotten_super_init_is_named(self, sim):
        class Forgetful(ConnectionPool):
            def __init__(self):
                pass

        pool = Forgetful()
        calls = [
            pool.get, pool.acquire, pool.stats, pool.open, pool.close, pool.drain, pool.pause,
            pool.resume, pool.check, pool.wait_ready, lambda: pool.release(1), pool.__enter__,
            lambda: pool.size, lambda: pool.name, lambda: pool.closed, lambda: repr(pool),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(PoolError, match=r"Forgetful.*super\(\).__init__\(\)"):
                call()

    def test_class_itself_can_be_inspected(self):
        assert "get" in dict(inspect.getmembers(ConnectionPool))

    NAMES = (
        "name", "size", "min_size", "host", "timeout", "closed", "idle", "active", "waiting",
        "_timeout", "_state", "_engine", "_pool", "_lock", "_queue", "_idle", "_hub", "_closed",
        "_options", "_slots", "_desk", "_calm", "calm", "engine", "state", "options", "hub",
        "listeners", "keepalive", "connect", "order", "backoff", "_name", "_size", "loop",
        "_connections", "_exc_classes", "exc_classes", "_backoff", "_waiters", "_watcher",
    )  # fmt: skip

    @pytest.mark.parametrize("when", ["before", "after", "class", "both"])
    def test_attributes_of_their_own_collide_with_nothing(self, sim, ways, when):
        mine = object()
        names = self.NAMES

        class Own(PeerPool):
            def __init__(self):
                if when in ("before", "both"):
                    self.occupy()
                super().__init__(2, name="own", timeout=3.0, **ways)
                if when in ("after", "both"):
                    self.occupy()

            def occupy(self):
                for name in names:
                    setattr(self, name, mine)

        if when == "class":
            for name in names:
                setattr(Own, name, mine)
        pool = filled(sim, Own())

        with pool.get() as c, pool.get() as d:
            assert outcome(pool.acquire) is PoolTimeout
            assert c.request(1) == 1
            pool.discard(d)
        with pytest.raises(OSError), pool.get():
            raise OSError
        sim.advance(5)
        assert all(getattr(pool, name) is mine for name in names)
        stats = pool.stats()
        assert (stats.size, stats.idle) == (2, 2)
        assert repr(pool) == ("<Own 'own': 0 active, 2 idle, 0 connecting, 0 waiting, size 2>")
        pool.resize(3)
        pool.drain()
        pool.pause()
        pool.resume()
        sim.advance(5)
        assert pool.stats().idle == 3
        assert pool.close() is True

    def test_private_names_of_a_subclass_of_the_same_name_collide_with_nothing(self, sim):
        base = PeerPool

        class ConnectionPool(base):
            def __init__(self):
                super().__init__(1)
                self.__engine = self.__state = self.__pool = "mine"

            def mine(self):
                return self.__engine, self.__state, self.__pool

        pool = filled(sim, ConnectionPool())
        with pool.get():
            pass
        assert pool.mine() == ("mine",) * 3

    def test_pool_cannot_be_pickled_or_copied(self, sim, pool):
        for do in (copy.copy, copy.deepcopy, *self.picklers()):
            with pytest.raises(TypeError, match=r"PeerPool cannot be pickled or copied"):
                do(pool)
        assert whole(sim, pool).idle == 3

    def picklers(self):
        return [
            functools.partial(pickle.dumps, protocol=n) for n in range(pickle.HIGHEST_PROTOCOL + 1)
        ]

    def test_is_generic(self):
        class Typed(ConnectionPool[bytes]):
            pass

        assert ConnectionPool[int]
        assert issubclass(Typed, ConnectionPool)


class TestEvents:
    """The whole story of each way through a checkout, in order."""

    @pytest.fixture
    def told(self):
        return RecordingListener()

    @pytest.fixture
    def quiet(self, sim, told):
        pool = filled(sim, PeerPool(1, name="p", listeners=[told]))
        told.clear()
        return pool

    def story(self, told):
        return [(e.kind, e.connection_id, str(e.reason) if e.reason else None) for e in told]

    def test_birth(self, sim, told):
        pool = PeerPool(1, listeners=[told], name="p", peer=FakePeer(latency=0.25))
        assert told == []
        sim.advance(1)

        assert self.story(told) == [
            ("pool_opened", None, None),
            ("connection_created", 1, None),
            ("connection_ready", 1, None),
            ("pool_ready", None, None),
        ]
        assert {e.pool for e in told} == {"p"}
        assert told[2].seconds == 0.25
        assert pool.stats().connects == 1

    def test_clean_block(self, sim, told, quiet):
        with quiet.get():
            assert told.kinds() == ["acquire_started", "connection_acquired"]
            sim.advance(2)
        assert self.story(told) == [
            ("acquire_started", None, None),
            ("connection_acquired", 1, None),
            ("connection_released", 1, None),
        ]
        assert [e.seconds for e in told] == [None, 0, 2]

    def test_by_hand(self, sim, told, quiet):
        quiet.release(quiet.acquire(timeout=0))
        assert told.kinds() == ["acquire_started", "connection_acquired", "connection_released"]

    @pytest.mark.parametrize(
        ("error", "reason"),
        [(OSError, "broken"), (gevent.Timeout, "interrupted"), (SystemExit, "interrupted")],
    )
    def test_broken_block(self, sim, told, quiet, error, reason):
        with pytest.raises(error), quiet.get():
            raise error
        sim.advance(1)
        assert self.story(told) == [
            ("acquire_started", None, None),
            ("connection_acquired", 1, None),
            ("connection_released", 1, None),
            ("connection_closed", 1, reason),
            ("connection_created", 2, None),
            ("connection_ready", 2, None),
            ("pool_ready", None, None),
        ]

    def test_discarded(self, sim, told, quiet):
        with quiet.get() as c:
            quiet.discard(c)
            assert told.kinds()[-1] == "connection_acquired"
        sim.advance(1)
        assert self.story(told)[2:5] == [
            ("connection_released", 1, None),
            ("connection_closed", 1, "discarded"),
            ("connection_created", 2, None),
        ]

    def test_detached(self, sim, told, quiet):
        with quiet.get() as c:
            quiet.detach(c)
        sim.advance(1)
        assert self.story(told) == [
            ("acquire_started", None, None),
            ("connection_acquired", 1, None),
            ("connection_released", 1, None),
            ("connection_closed", 1, "detached"),
            ("connection_created", 2, None),
            ("connection_ready", 2, None),
            ("pool_ready", None, None),
        ]

    def test_doubt_that_a_check_resolves(self, sim, told):
        class Checked(PeerPool):
            def _check_connection(self, c):
                c.ping()

        pool = filled(sim, Checked(1, listeners=[told]))
        told.clear()
        with pytest.raises(KeyError), pool.get():
            raise KeyError
        sim.advance(1)
        assert told.kinds() == [
            "acquire_started", "connection_acquired", "connection_released", "connection_pinged",
        ]  # fmt: skip
        assert told[-1].seconds == pytest.approx(pool.peer.latency)
        assert told[-1].error is None

    @pytest.mark.parametrize(
        ("prepare", "reason"),
        [
            (lambda pool: pool.acquire(), "timeout"),
            (lambda pool: pool.pause(), "paused"),
            (lambda pool: pool.close(), "closed"),
        ],
    )
    def test_failed_at_once(self, sim, told, quiet, prepare, reason):
        prepare(quiet)
        told.clear()
        with pytest.raises(PoolError):
            quiet.acquire(blocking=False)
        assert self.story(told) == [
            ("acquire_started", None, None),
            ("acquire_failed", None, reason),
        ]
        assert told[1].seconds == 0

    def test_too_many(self, sim, told):
        pool = filled(sim, PeerPool(1, max_waiting=0, listeners=[told]))
        pool.acquire()
        told.clear()
        with pytest.raises(PoolError):
            pool.acquire()
        assert self.story(told)[1] == ("acquire_failed", None, "too_many_waiters")

    def test_waited_for(self, sim, told, quiet):
        c = quiet.acquire()
        told.clear()
        waiter = sim.spawn(quiet.acquire)
        sim.advance(2)
        quiet.release(c)
        waiter.get()
        assert self.story(told) == [
            ("acquire_started", None, None),
            ("connection_released", 1, None),
            ("connection_acquired", 1, None),
        ]
        assert told[-1].seconds == 2

    @pytest.mark.parametrize(
        ("end", "reason"),
        [
            (lambda sim, pool, waiter: sim.advance(5), "timeout"),
            (lambda sim, pool, waiter: pool.pause(), "paused"),
            (lambda sim, pool, waiter: pool.close(0), "closed"),
            (lambda sim, pool, waiter: waiter.kill(), "interrupted"),
        ],
    )
    def test_waited_in_vain(self, sim, told, quiet, end, reason):
        quiet.acquire()
        told.clear()
        waiter = sim.spawn(outcome, functools.partial(quiet.acquire, timeout=5))
        sim.advance(3)
        end(sim, quiet, waiter)
        sim.settle()
        ends = [e for e in told if e.kind.startswith(("acquire_", "connection_acq"))]
        assert [(e.kind, e.reason) for e in ends] == [
            ("acquire_started", None),
            ("acquire_failed", reason),
        ]
        assert ends[-1].seconds == (5 if reason == "timeout" else 3)

    def test_every_acquire_has_one_end_and_every_connection_too(self, sim, told):
        pool = PeerPool(3, listeners=[told], timeout=0.5, max_waiting=4)

        def user():
            for _ in range(30):
                with gevent.Timeout(sim.random.choice([0.2, 1]), False):
                    try:
                        with pool.get() as c:
                            c.request(1)
                            gevent.sleep(sim.random.choice([0, 0.1, 0.5]))
                            if sim.random.random() < 0.2:
                                raise OSError
                    except (OSError, PoolError):
                        pass

        users = [sim.spawn(user) for _ in range(10)]
        for _ in range(20):
            sim.advance(0.7)
            sim.random.choice(users).kill(block=False)
            if sim.random.random() < 0.3:
                pool.drain(interrupt=sim.random.random() < 0.5)
        gevent.joinall(users)
        sim.advance(60)
        pool.close()
        kinds = told.kinds()
        ends = kinds.count("connection_acquired") + kinds.count("acquire_failed")
        assert kinds.count("acquire_started") == ends == pool.stats().acquires > 60
        created = [e.connection_id for e in told.of("connection_created")]
        assert created == list(range(1, len(created) + 1))
        assert sorted(e.connection_id for e in told.of("connection_closed")) == created
        assert kinds[-1] == "pool_closed"
        assert pool.peer.complaints == []
        assert pool.stats().repairs == 0


@contextmanager
def handling(handle):
    """Have every record of the package's log handled so."""
    records = []

    class Handler(logging.Handler):
        def handle(self, record):
            records.append(record)
            handle(record)

    handler, log = Handler(), logging.getLogger("geventconnpool")
    log.addHandler(handler)
    try:
        yield records
    finally:
        log.removeHandler(handler)


class TestListeners:
    def test_one_that_raises_is_logged_and_stays(self, sim, caplog):
        calls = []

        def angry(event):
            calls.append(event.kind)
            raise ZeroDivisionError("with a secret")

        told = RecordingListener()
        pool = filled(sim, PeerPool(1, listeners=[angry, told]))
        with pool.get():
            pass
        assert calls == told.kinds()
        assert "a listener failed (ZeroDivisionError)" in caplog.text
        assert "secret" not in caplog.text
        assert whole(sim, pool).idle == 1

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
    @pytest.mark.parametrize(
        "kind", ["acquire_started", "connection_acquired", "connection_released"]
    )
    @pytest.mark.parametrize("by_hand", [True, False])
    def test_ctrl_c_in_one_goes_on_and_loses_nothing(self, sim, interruption, kind, by_hand):
        armed, told = [], RecordingListener()

        def listener(event):
            if armed and event.kind == kind:
                armed.clear()
                raise interruption

        pool = filled(sim, PeerPool(1, listeners=[listener, told]))
        told.clear()
        armed.append(True)
        with pytest.raises(interruption):
            if by_hand:
                pool.release(pool.acquire())
            else:
                with pool.get():
                    pass
        assert not armed
        kinds = told.kinds()
        ends = kinds.count("connection_acquired") + kinds.count("acquire_failed")
        assert kinds.count("acquire_started") == ends == 1
        with pool.get(timeout=0):
            pass
        assert whole(sim, pool).idle == 1

    def test_ctrl_c_while_the_waiting_begins_leaves_the_line(self, sim):
        armed = []

        def listener(event):
            if armed and event.kind == "connection_created":
                armed.clear()
                raise KeyboardInterrupt

        pool = filled(sim, PeerPool(2, min_size=1, listeners=[listener]))
        c = pool.acquire()
        armed.append(True)
        with pytest.raises(KeyboardInterrupt):
            pool.acquire()
        assert not armed
        assert pool.stats().waiting == 0
        pool.release(c)
        assert whole(sim, pool).idle == 2

    def test_one_may_call_what_does_not_wait_and_its_effects_are_told_afterwards(self, sim):
        first, second = RecordingListener(), RecordingListener()

        def meddler(event):
            if event.kind == "connection_released" and not first.of("pool_paused"):
                pool.pause()
                pool.resume()
                pool.stats()

        pool = filled(sim, PeerPool(1, listeners=[first, meddler, second]))
        with pool.get():
            pass
        assert first == second
        assert first.kinds()[-3:] == ["connection_released", "pool_paused", "pool_resumed"] or (
            first.kinds()[-4:]
            == ["connection_released", "pool_paused", "pool_resumed", "pool_ready"]
        )

    def test_one_may_take_a_free_connection_but_not_wait(self, sim):
        results = []

        def greedy(event):
            if event.kind == "pool_resumed":
                results.append(outcome_with_text(pool.acquire))
                results.append(outcome_with_text(pool.acquire))
                pool.release(results[0])

        told = RecordingListener()
        pool = filled(sim, PeerPool(1, listeners=[greedy, told]))
        pool.pause()
        pool.resume()
        assert results[0].peer is pool.peer
        assert results[1][0] is PoolError
        assert "cannot wait" in results[1][1]
        assert told.kinds()[-5:] == [
            "acquire_started", "connection_acquired", "acquire_started", "acquire_failed",
            "connection_released",
        ] or "pool_ready" in told.kinds()[-6:]  # fmt: skip
        assert whole(sim, pool).idle == 1

    def test_one_that_brings_back_what_is_waited_for_leaves_no_wake_up_behind(self, sim):
        held = []

        def helper(event):
            if event.kind == "connection_created" and held:
                pool.release(held.pop())

        pool = filled(sim, PeerPool(2, min_size=1, listeners=[helper]))
        held.append(pool.acquire())
        expected = held[0]
        assert pool.acquire() is expected
        before = sim.now
        sim.sleep(5)
        assert sim.now == before + 5

    def test_logger_that_raises_is_contained(self, sim):
        pool = filled(sim, PeerPool(2, is_broken=lambda c, e: 1 / 0))
        with handling(lambda record: 1 / 0) as records:
            with pytest.raises(KeyError), pool.get():
                raise KeyError
        assert "is_broken failed" in records[0].getMessage()
        assert whole(sim, pool).closes["broken"] == 1

    def test_interruption_that_comes_while_a_log_handler_waits_goes_on(self, sim):
        pool = filled(sim, PeerPool(2, is_broken=lambda c, e: 1 / 0))
        with handling(lambda record: gevent.sleep(10)) as records:
            began = sim.now
            with gevent.Timeout(3) as timer, pytest.raises(gevent.Timeout) as caught:
                with pool.get():
                    raise KeyError
        assert records
        assert caught.value is timer
        assert sim.now == began + 3
        assert whole(sim, pool).closes["broken"] == 1

    def test_without_listeners_nothing_is_recorded(self, sim):
        pool = filled(sim, PeerPool(1))
        assert pool._geventconnpool.state.journal is None
