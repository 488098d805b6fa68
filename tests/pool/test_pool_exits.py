"""What leaving the block means for the connection, row by row of the contract's table."""

from __future__ import annotations

import _socket

import gevent
import gevent.ssl
import pytest
from checkout_support import INTERRUPTIONS, PeerPool, WirePool, filled, nothing_else_runs, whole

from geventconnpool.testing import FakePeer, RecordingListener


class BrokenError(Exception):
    """What a user's library calls a broken connection."""


class WorseThanBrokenError(BrokenError):
    pass


class HalfAnError(OSError, KeyError):
    pass


@pytest.fixture(params=["calm", "careful"])
def ways(request):
    return {} if request.param == "calm" else {"listeners": [RecordingListener()]}


@pytest.fixture
def pool(sim, ways):
    return filled(sim, PeerPool(2, **ways))


@pytest.fixture
def wires(sim, ways):
    """Makes pools of connections with real descriptors."""
    made = []

    def make(cls=WirePool, size=2, **options):
        made.append(filled(sim, cls(size, **ways, **options)))
        return made[-1]

    yield make
    for each in made:
        each.bury()


def leave_with(error, pool, before=None):
    """Leave a block of *pool* with *error*, which must come out unchanged."""
    with pytest.raises(BaseException) as caught:
        with pool.get() as c:
            if before is not None:
                before(c)
            raise error
    assert caught.value is error
    assert error.__cause__ is None
    assert error.__context__ is None
    return c


class TestNothing:
    def test_goes_back_and_is_handed_out_next(self, sim, pool):
        with pool.get() as c:
            pass
        assert pool.acquire(timeout=0) is c
        assert pool.reasons == []

    def test_result_of_the_block_is_not_touched(self, sim, pool):
        def use():
            with pool.get() as c:
                return c.request("a")

        assert use() == "a"
        for _ in range(3):
            with pool.get():
                continue
        assert pool.stats().idle == 2

    def test_closed_by_its_user_is_discarded(self, sim, wires):
        pool = wires()
        for take in (0, 1):
            with pool.get() as c:
                c.close()
            sim.advance(1)
            assert pool.goodbyes[take] == (c, "discarded")
            assert pool.stats().idle == 2

    def test_closed_by_its_user_whose_number_somebody_else_got_meanwhile(self, sim, wires):
        pool = wires(size=1)
        with pool.get() as c:
            number = c.fileno()
            c.close()
            reused = _socket.socketpair()
        assert number in [each.fileno() for each in reused]
        sim.advance(1)
        assert pool.reasons == ["discarded"]
        assert pool.stats().idle == 1
        reused[0].send(b"still open")
        assert reused[1].recv(20) == b"still open"
        for each in reused:
            each.close()

    def test_closed_by_the_peer_is_lost(self, sim, wires):
        pool = wires()
        with pool.get() as c:
            c.hang_up()
        sim.advance(1)
        assert pool.goodbyes == [(c, "lost")]
        assert pool.stats().idle == 2

    def test_with_unread_data_is_lost_where_peers_never_speak_unasked(self, sim, wires):
        pool = wires()
        with pool.get() as c:
            c.speak()
        sim.advance(1)
        assert pool.goodbyes == [(c, "lost")]

    def test_with_unread_data_goes_back_where_peers_may_speak(self, sim, wires):
        pool = wires(watch_idle="closed")
        with pool.get() as c:
            c.speak()
        assert pool.acquire(timeout=0) is c
        assert pool.reasons == []
        c.hang_up()
        pool.release(c)
        sim.advance(1)
        assert pool.reasons == ["lost"]

    def test_is_reset_before_the_next_user_gets_it(self, sim, ways):
        class Resetting(PeerPool):
            def _reset_connection(self, c):
                c.request("reset")
                c.clean = True

        pool = filled(sim, Resetting(1, **ways))
        with pool.get() as c:
            c.clean = False
        assert pool.stats().checking == 1
        with pool.get() as again:
            assert again is c
            assert c.clean

    def test_whose_reset_fails_is_closed(self, sim, ways):
        class Resetting(PeerPool):
            def _reset_connection(self, c):
                raise ValueError

        pool = filled(sim, Resetting(2, **ways))
        with pool.get() as c:
            pass
        sim.advance(1)
        assert pool.goodbyes == [(c, "reset_failed")]
        assert pool.stats().idle == 2


class TestBroken:
    @pytest.mark.parametrize("error", [OSError, ConnectionResetError, TimeoutError, HalfAnError])
    def test_is_closed_and_replaced_in_the_background(self, sim, pool, error):
        with nothing_else_runs(sim):
            c = leave_with(error("gone"), pool)
        assert pool.stats().closing == 1
        assert c not in [pool.acquire(timeout=0)]
        sim.advance(1)
        assert pool.goodbyes == [(c, "broken")]
        assert c.closes == 1
        assert pool.stats().idle == 1
        assert pool.stats().connecting == 0

    def test_one_class_or_many_or_none_of_the_default(self, sim, ways):
        for given in (BrokenError, [BrokenError], (BrokenError, KeyError), iter([BrokenError])):
            pool = filled(sim, PeerPool(1, given, **ways))
            leave_with(WorseThanBrokenError(), pool)
            leave_with(OSError(), filled(sim, pool))
            sim.advance(1)
            assert pool.reasons == ["broken"]

    def test_an_interruption_among_the_classes_counts_as_broken(self, sim, ways):
        pool = filled(sim, PeerPool(1, (gevent.Timeout, OSError), **ways))
        leave_with(gevent.Timeout(), pool)
        sim.advance(1)
        assert pool.reasons == ["broken"]

    def test_first_block_left_so_counts_as_a_failed_connect(self, sim, ways):
        pool = PeerPool(1, backoff=Pause(7), **ways)
        leave_with(OSError(), pool)
        began = sim.now
        pool.acquire(timeout=60)
        assert sim.now - began == pytest.approx(7 + pool.peer.latency)
        assert pool.stats().connect_errors == 0

    def test_later_block_left_so_is_replaced_at_once(self, sim, ways):
        pool = PeerPool(1, backoff=Pause(7), **ways)
        with pool.get():
            pass
        leave_with(OSError(), pool)
        began = sim.now
        pool.acquire(timeout=60)
        assert sim.now - began == pytest.approx(pool.peer.latency)

    def test_where_connects_fail_they_are_tried_again_until_it_is_whole(self, sim, pool):
        pool.peer.up = False
        leave_with(OSError(), pool)
        sim.advance(30)
        assert pool.stats().idle == 1
        pool.peer.up = True
        sim.advance(10)
        assert pool.stats().idle == 2


class Pause:
    """A backoff that always pauses for so long."""

    cap = 100.0

    def __init__(self, seconds):
        self.seconds = seconds

    def delay(self, failures):
        return self.seconds


class TestInterruption:
    @pytest.mark.parametrize("error", INTERRUPTIONS)
    def test_is_closed_and_replaced(self, sim, pool, error):
        with nothing_else_runs(sim):
            c = leave_with(error(), pool)
        sim.advance(1)
        assert pool.goodbyes == [(c, "interrupted")]
        assert c.closes == 1
        assert pool.stats().idle == 2

    @pytest.mark.parametrize("error", INTERRUPTIONS)
    def test_is_never_vouched_for_by_is_broken_nor_by_a_check(self, sim, ways, error):
        asked = []

        class Checked(PeerPool):
            def _check_connection(self, c):
                asked.append(c)

        pool = filled(sim, Checked(1, is_broken=lambda c, e: asked.append(e), **ways))
        leave_with(error(), pool)
        sim.advance(1)
        assert pool.reasons == ["interrupted"]
        assert asked == []

    def test_says_nothing_of_the_peer_so_even_a_new_one_is_replaced_at_once(self, sim, ways):
        pool = PeerPool(1, backoff=Pause(7), **ways)
        leave_with(gevent.Timeout(), pool)
        began = sim.now
        pool.acquire(timeout=60)
        assert sim.now - began == pytest.approx(pool.peer.latency)

    def test_nobody_gets_an_answer_that_was_meant_for_another(self, sim, ways):
        pool = filled(sim, PeerPool(1, peer=FakePeer(latency=1), **ways))
        with pytest.raises(gevent.Timeout):
            with gevent.Timeout(0.5), pool.get() as c:
                c.request("mine")
        victim = sim.spawn(lambda: pool.get().__enter__().request("killed"))
        with pool.get() as c:
            assert c.request("yours") == "yours"
        sim.advance(0.5)
        victim.kill()

    def test_kill_of_a_holder_closes_the_connection_under_its_block_only(self, sim, pool):
        def hold():
            with pool.get() as c:
                held.append(c)
                gevent.sleep(100)

        held = []
        holders = [sim.spawn(hold) for _ in range(2)]
        sim.settle()
        holders[0].kill()
        sim.advance(1)
        assert pool.goodbyes == [(held[0], "interrupted")]
        assert pool.stats().active == 1
        holders[1].kill()
        assert whole(sim, pool).closes["interrupted"] == 2

    def test_a_swallowed_timeout_is_the_users_duty_to_discard(self, sim, ways):
        pool = filled(sim, PeerPool(1, peer=FakePeer(latency=1), **ways))
        with pool.get() as c:
            with gevent.Timeout(0.5, False):
                c.request("mine")
                pytest.fail("answered")
            pool.discard(c)
        with pool.get() as c:
            assert c.request("yours") == "yours"


class TestIsBroken:
    def test_true_closes(self, sim, ways):
        asked = []

        def is_broken(c, error):
            asked.append((c, error))
            return "yes"

        pool = filled(sim, PeerPool(2, is_broken=is_broken, **ways))
        error = KeyError()
        c = leave_with(error, pool)
        sim.advance(1)
        assert asked == [(c, error)]
        assert pool.goodbyes == [(c, "broken")]
        assert pool.stats().idle == 2

    def test_false_vouches_for_it_also_while_somebody_waits(self, sim, ways):
        pool = filled(sim, PeerPool(1, is_broken=lambda c, e: False, **ways))
        waiters = []

        def wait(c):
            waiters.append(sim.spawn(pool.acquire))
            sim.settle()

        c = leave_with(KeyError(), pool, wait)
        assert waiters[0].get() is c
        pool.release(c)
        assert pool.reasons == []

    def test_false_is_as_a_clean_exit_so_the_connection_is_reset(self, sim, ways):
        resets = []

        class Resetting(PeerPool):
            def _reset_connection(self, c):
                resets.append(c)

        pool = filled(sim, Resetting(1, is_broken=lambda c, e: False, **ways))
        c = leave_with(KeyError(), pool)
        sim.advance(1)
        assert resets == [c]
        assert pool.stats().idle == 1

    def test_false_is_as_a_clean_exit_so_what_is_seen_to_be_closed_is_not_kept(self, sim, wires):
        pool = wires(is_broken=lambda c, e: False)
        c = leave_with(KeyError(), pool, lambda c: c.hang_up())
        d = leave_with(KeyError(), pool, lambda c: c.close())
        sim.advance(1)
        assert pool.goodbyes == [(c, "lost"), (d, "discarded")]

    def test_is_not_asked_about_the_classes_nor_about_clean_exits(self, sim, ways):
        asked = []
        pool = filled(sim, PeerPool(2, is_broken=lambda c, e: asked.append(e), **ways))
        leave_with(OSError(), pool)
        with pool.get():
            pass
        assert asked == []

    def test_raising_vouches_for_nothing_and_hides_nothing(self, sim, ways, caplog):
        def is_broken(c, error):
            raise ZeroDivisionError("secret")

        pool = filled(sim, PeerPool(2, is_broken=is_broken, **ways))
        c = leave_with_context(KeyError(), pool)
        sim.advance(1)
        assert pool.goodbyes == [(c, "broken")]
        assert "is_broken failed (ZeroDivisionError)" in caplog.text
        assert "secret" not in caplog.text
        assert pool.stats().idle == 2

    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, gevent.Timeout, SystemExit])
    def test_interrupted_goes_on_and_loses_no_place(self, sim, ways, interruption):
        def is_broken(c, error):
            raise interruption

        pool = filled(sim, PeerPool(2, is_broken=is_broken, **ways))
        with pytest.raises(interruption):
            with pool.get() as c:
                raise KeyError
        assert pool.stats().active == 0
        sim.advance(5)
        assert [each for each, _ in pool.goodbyes] == [c]
        assert whole(sim, pool).idle == 2

    def test_answer_that_cannot_be_told_true_or_false_vouches_for_nothing(self, sim, ways):
        class Neither:
            def __bool__(self):
                raise ValueError

        pool = filled(sim, PeerPool(1, is_broken=lambda c, e: Neither(), **ways))
        leave_with_context(KeyError(), pool)
        sim.advance(1)
        assert pool.reasons == ["broken"]


def leave_with_context(error, pool):
    with pytest.raises(type(error)) as caught:
        with pool.get() as c:
            raise error
    assert caught.value is error
    return c


class TestAnyOtherException:
    def test_goes_to_the_cold_end(self, sim, pool):
        a, b = pool.acquire(), pool.acquire()
        for each in (a, b):
            pool.release(each)
        c = leave_with(KeyError(), pool)
        assert c is b
        assert [pool.acquire(timeout=0) for _ in range(2)] == [a, b]
        assert pool.reasons == []

    def test_cold_end_is_the_far_one_in_a_fifo_pool_too(self, sim, ways):
        pool = filled(sim, PeerPool(3, order="fifo", **ways))
        a, b, c = (pool.acquire() for _ in range(3))
        for each in (a, b, c):
            pool.release(each)
        assert leave_with(KeyError(), pool) is a
        assert [pool.acquire(timeout=0) for _ in range(3)] == [b, c, a]

    def test_is_closed_if_somebody_waits(self, sim, ways):
        pool = filled(sim, PeerPool(1, **ways))
        waiters = []

        def wait(c):
            waiters.append(sim.spawn(pool.acquire))
            sim.settle()

        c = leave_with(KeyError(), pool, wait)
        assert waiters[0].get() is not c
        assert pool.goodbyes == [(c, "broken")]

    @pytest.mark.parametrize("sign", ["speak", "hang_up", "close"])
    def test_is_closed_if_it_shows_unread_data_or_its_end(self, sim, wires, sign):
        for watch_idle in (True, False):
            pool = wires(watch_idle=watch_idle)
            c = leave_with(KeyError(), pool, lambda c: getattr(c, sign)())
            assert pool.stats().idle == 1
            sim.advance(1)
            assert [each for each, _ in pool.goodbyes] == [c]
            assert pool.stats().idle == 2

    def test_without_a_sign_it_is_kept(self, sim, wires):
        pool = wires()
        c = leave_with(KeyError(), pool)
        assert pool.reasons == []
        pool.acquire()
        assert pool.acquire(timeout=0) is c

    def test_is_closed_where_unread_data_is_no_sign(self, sim, wires):
        pool = wires(watch_idle="closed")
        c = leave_with(KeyError(), pool)
        sim.advance(1)
        assert pool.goodbyes == [(c, "broken")]

    @pytest.mark.parametrize("hidden", [True, False])
    def test_is_closed_where_it_speaks_tls(self, sim, ways, hidden):
        class Tls:
            __class__ = gevent.ssl.SSLSocket  # type: ignore[assignment]

        class Wrapper:
            def __init__(self):
                self.sock = Tls()

        class Pool(PeerPool):
            def _new_connection(self):
                return Wrapper() if hidden else Tls()

        pool = filled(sim, Pool(1, **ways))
        c = leave_with(KeyError(), pool)
        sim.advance(1)
        assert [(each is c, reason) for each, reason in pool.goodbyes] == [(True, "broken")]

    @pytest.mark.parametrize("hook", ["_check_connection", "_keepalive"])
    def test_goes_back_only_after_the_peer_was_asked(self, sim, ways, hook):
        asked = []

        def ask(self, c):
            asked.append(c)
            c.ping()

        cls = type("Asking", (PeerPool,), {hook: ask})
        pool = filled(sim, cls(1, peer=FakePeer(latency=1), **ways))
        with nothing_else_runs(sim):
            c = leave_with(KeyError(), pool)
        assert (pool.stats().checking, pool.stats().idle) == (1, 0)
        began = sim.now
        assert pool.acquire(timeout=5) is c
        assert sim.now == began + 1
        assert asked == [c]
        stats = pool.stats()
        assert (stats.pings, stats.ping_errors) == (1, 0)

    def test_check_is_asked_rather_than_keepalive(self, sim, ways):
        asked = []

        class Both(PeerPool):
            def _keepalive(self, c):
                asked.append("ping")

            def _check_connection(self, c):
                asked.append("check")

        pool = filled(sim, Both(1, **ways))
        leave_with(KeyError(), pool)
        sim.advance(1)
        assert asked == ["check"]

    def test_late_answer_shows_in_the_check_and_nobody_reads_it(self, sim, ways):
        class Checked(PeerPool):
            def _check_connection(self, c):
                c.ping()

        pool = filled(sim, Checked(1, peer=FakePeer(latency=1), **ways))
        c = leave_with(KeyError(), pool, lambda c: c.send("mine"))
        with pool.get() as d:
            assert d.request("yours") == "yours"
        assert pool.goodbyes == [(c, "unchecked")]

    @pytest.mark.parametrize("failure", [OSError, ValueError, *INTERRUPTIONS])
    def test_is_closed_if_the_check_fails_whatever_that_raises(self, sim, ways, failure):
        class Checked(PeerPool):
            def _check_connection(self, c):
                raise failure

        pool = filled(sim, Checked(2, **ways))
        c = leave_with(KeyError(), pool)
        sim.advance(1)
        assert pool.goodbyes == [(c, "unchecked")]
        assert pool.stats().idle == 2

    def test_is_closed_if_the_check_takes_too_long(self, sim, ways):
        class Checked(PeerPool):
            def _check_connection(self, c):
                gevent.sleep(10**6)

        pool = filled(sim, Checked(1, keepalive_timeout=3, **ways))
        leave_with(KeyError(), pool)
        sim.advance(2.9)
        assert pool.reasons == []
        sim.advance(0.2)
        assert pool.reasons == ["unchecked"]
        assert pool.stats().idle == 1

    def test_is_reset_too_before_anybody_gets_it(self, sim, ways):
        done = []

        class Both(PeerPool):
            def _check_connection(self, c):
                done.append("check")
                c.ping()

            def _reset_connection(self, c):
                done.append("reset")
                c.request("reset")

        pool = filled(sim, Both(1, **ways))
        c = leave_with(KeyError(), pool)
        assert pool.acquire(timeout=5) is c
        assert done == ["check", "reset"]
        pool.release(c)
        sim.advance(1)
        assert done == ["check", "reset", "reset"]
        assert whole(sim, pool).idle == 1

    def test_is_reset_where_it_cannot_be_checked_and_goes_to_the_cold_end(self, sim, ways):
        resets = []

        class Resetting(PeerPool):
            def _reset_connection(self, c):
                resets.append(c)
                c.request("reset")

        pool = filled(sim, Resetting(2, **ways))
        c = leave_with(KeyError(), pool)
        sim.advance(1)
        assert resets == [c]
        first, second = pool.acquire(timeout=0), pool.acquire(timeout=0)
        assert second is c
        assert pool.reasons == []
        pool.release(second)
        pool.release(first)
        sim.advance(1)
        assert pool.acquire(timeout=0) is first

    def test_in_doubt_when_the_pool_closes_it_is_closed(self, sim, ways):
        pool = filled(sim, PeerPool(1, **ways))
        leave_with(KeyError(), pool, lambda c: pool.close(0))
        assert pool.close() is True
        assert pool.reasons == ["closed"]

    def test_after_release_or_detach_it_means_nothing(self, sim, pool):
        c = leave_with(KeyError(), pool, pool.release)
        assert pool.acquire(timeout=0) is c
        pool.release(c)
        c = leave_with(OSError(), pool, pool.detach)
        assert not c.closed


class TestFates:
    """What was ordered before stands, whatever the block is left with."""

    @pytest.mark.parametrize("error", [None, KeyError, OSError, gevent.Timeout])
    @pytest.mark.parametrize(
        ("order", "healthy"), [("drain", "drained"), ("close", "closed"), ("resize", "resized")]
    )
    def test_ordered_to_be_closed_it_is_closed(self, sim, ways, error, order, healthy):
        pool = filled(sim, PeerPool(2, **ways))
        commands = {
            "drain": pool.drain,
            "close": lambda: pool.close(0),
            "resize": lambda: pool.resize(1),
        }
        other = pool.acquire()
        lease = pool.get()
        c = lease.__enter__()
        commands[order]()
        lease.__exit__(error, None if error is None else error(), None)
        sim.advance(1)
        assert c.closed
        # A conversation that was cut off does not end with a polite goodbye.
        reason = dict(reversed(pool.goodbyes))[c]
        cut_off = {OSError: "broken", gevent.Timeout: "interrupted"}
        allowed = {healthy, cut_off.get(error, healthy)}
        if error is KeyError:
            allowed.add("broken")
        assert reason in allowed
        pool.release(other)
        sim.advance(1)
        assert pool.peer.complaints == []
        assert pool.stats().active == 0
