"""Whatever the hooks do, and whoever kills them: no place is ever lost."""

from __future__ import annotations

import functools
import logging
import weakref

import gevent
import pytest
from checkout_support import (
    INTERRUPTIONS,
    PeerPool,
    WirePool,
    filled,
    outcome,
    pools_own,
    sweep,
    take_and_hold,
    whole,
)

from geventconnpool import Backoff, ConnectionPool, PoolError, PoolTimeout, PoolUnavailable
from geventconnpool.testing import FakeConnection, FakePeer, RecordingListener

ERRORS = (OSError, ValueError, StopIteration, MemoryError, *INTERRUPTIONS)
QUICK = Backoff(base=0.1, cap=0.1, jitter="none")


class ScriptedPool(PeerPool):
    """A pool whose connects follow a script, one entry for each, and succeed when it is over."""

    def __init__(self, size=1, script=(), **options):
        self.script = list(script)
        super().__init__(size, **{"backoff": QUICK, **options})

    def _new_connection(self):
        if self.script:
            act = self.script.pop(0)
            if isinstance(act, (type, BaseException)):
                raise act
            return act()
        return super()._new_connection()


class TestNewConnection:
    @pytest.mark.parametrize("error", ERRORS)
    def test_whatever_it_raises_no_place_is_lost(self, sim, error):
        told = RecordingListener()
        pool = ScriptedPool(3, [error] * 5, listeners=[told])
        assert whole(sim, pool).connect_errors == 5
        failed = told.of("connect_failed")
        assert {e.error.split(",")[0] for e in failed} == {error.__name__}
        assert [e.reason for e in told.of("connection_closed")] == ["connect_failed"] * 5
        assert sim.errors == []

    @pytest.mark.parametrize("error", ERRORS)
    def test_while_somebody_waits_he_is_served_by_a_later_try(self, sim, error):
        pool = ScriptedPool(1, [error] * 3)
        with pool.get() as c:
            assert c.request(1) == 1
        assert pool.stats().connect_errors == 3

    def test_next_try_comes_after_the_backoff_not_before(self, sim):
        pool = ScriptedPool(4, [OSError] * 4, backoff=Backoff(base=2, factor=1, jitter="none"))
        pool.acquire(timeout=60)
        assert 2 <= sim.now < 2.1
        sim.advance(5)
        assert pool.stats().idle == 3

    def test_none_means_not_now(self, sim):
        told = RecordingListener()
        pool = ScriptedPool(2, [lambda: None] * 3, listeners=[told])
        assert whole(sim, pool).connect_errors == 3
        assert [e.seconds for e in told.of("connect_failed")] == [0] * 3
        assert told.of("connect_failed")[0].error.endswith("_new_connection returned None")

    def test_object_that_the_pool_has_already_is_refused_and_not_closed(self, sim):
        one = FakePeer().connect()
        pool = ScriptedPool(2, [lambda: one, lambda: one, lambda: one])
        sim.advance(0.05)
        with pool.get() as c:
            assert c is one
            sim.advance(1)
        assert one.closes == 0
        stats = whole(sim, pool)
        assert stats.connect_errors == 2
        assert stats.idle == 2

    def test_object_that_left_the_pool_may_come_again(self, sim):
        one = FakePeer().connect()
        pool = ScriptedPool(1, [lambda: one, lambda: one])
        assert pool.acquire() is one
        pool.detach(one)
        assert pool.acquire() is one
        assert pool.stats().connect_errors == 0

    def test_hanging_is_cut_off_and_the_error_names_the_option(self, sim):
        told = RecordingListener()
        pool = ScriptedPool(
            1, [lambda: gevent.sleep(10**6)], connect_timeout=3, name="p", listeners=[told]
        )
        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=3.05)
        assert sim.now == 3.05
        text = "pool 'p': _new_connection took longer than connect_timeout (3 s)"
        assert str(caught.value.__cause__) == text
        assert text in str(caught.value)
        assert told.of("connect_failed")[0].error == f"PoolTimeout: {text}"
        assert told.of("connect_failed")[0].seconds == 3
        assert whole(sim, pool).idle == 1

    def test_timeouts_of_its_own_are_errors_like_others(self, sim):
        def impatient():
            with gevent.Timeout(1):
                gevent.sleep(5)

        pool = ScriptedPool(1, [impatient] * 2)
        assert whole(sim, pool).connect_errors == 2

    def test_deadline_that_it_turns_into_another_error_is_an_error_like_others(self, sim):
        def stubborn():
            try:
                gevent.sleep(100)
            except gevent.Timeout:
                raise ConnectionAbortedError(103, "x") from None

        pool = ScriptedPool(1, [stubborn], connect_timeout=1)
        assert whole(sim, pool).connect_errors == 1

    def test_swallowed_deadline_keeps_the_place_and_is_logged(self, sim, caplog):
        peer = FakePeer()

        def deaf():
            try:
                gevent.sleep(100)
            except gevent.Timeout:
                pass
            gevent.sleep(20)
            return peer.connect()

        pool = ScriptedPool(1, [deaf], connect_timeout=3, peer=peer, name="p")
        sim.advance(22)
        assert pool.stats().connecting == 1
        assert "pool p: a hook (connect) goes on" in caplog.text
        sim.advance(2)
        assert pool.stats().idle == 1
        assert "_new_connection swallowed its deadline: it took 23.0 s" in caplog.text
        assert "connect_timeout is 3 s" in caplog.text
        assert whole(sim, pool).connects == 1

    def test_not_overridden_is_told_at_once_to_whoever_asks(self, sim):
        class Forgetful(ConnectionPool):
            pass

        pool = Forgetful(3)
        began = sim.now
        with pytest.raises(PoolUnavailable) as caught:
            pool.acquire()
        assert sim.now == began
        assert type(caught.value.__cause__) is NotImplementedError
        assert "Forgetful does not override _new_connection" in str(caught.value.__cause__)
        sim.advance(3)
        with pytest.raises(PoolUnavailable):
            pool.acquire()

    def test_connect_is_used_instead_even_a_false_one(self, sim):
        class Empty(list):
            def __call__(self):
                return "connection"

        class Overridden(PeerPool):
            def _new_connection(self):
                raise AssertionError("connect was given")

        pool = Overridden(1, connect=Empty())
        assert pool.acquire() == "connection"

    def test_first_failure_is_logged_not_every_one(self, sim, caplog):
        caplog.set_level(logging.DEBUG)
        pool = ScriptedPool(3, [OSError(111, "secret")] * 20, name="p")
        whole(sim, pool)
        told = [r.getMessage() for r in caplog.records if "cannot connect" in r.getMessage()]
        assert told == [
            "pool p: cannot connect (ConnectionRefusedError, errno 111), will go on trying"
        ]
        assert [r for r in caplog.records if "connects succeed again" in r.getMessage()]

    def test_half_made_socket_does_not_live_on_in_the_error(self, sim):
        class Socket:
            pass

        made = []

        def connect():
            half = Socket()
            made.append(weakref.ref(half))
            try:
                raise OSError("inner")
            except OSError as error:
                raise ValueError("outer") from error

        pool = ScriptedPool(1, [connect] * 50, backoff=Backoff(base=50, cap=50, jitter="none"))
        with pytest.raises(PoolTimeout) as caught:
            pool.acquire(timeout=1)
        assert type(caught.value.__cause__) is ValueError
        assert [ref() for ref in made] == [None]

    def test_error_that_cannot_even_be_described_is_contained(self, sim):
        class ViciousError(OSError):
            @property
            def errno(self):
                raise RuntimeError

            def __str__(self):
                raise RuntimeError

            __repr__ = __str__

        pool = ScriptedPool(2, [ViciousError] * 3)
        assert whole(sim, pool).connect_errors == 3


class TestBackoffPolicies:
    @pytest.mark.parametrize("delay", [lambda n: 1 / 0, lambda n: None, lambda n: "soon"])
    def test_policy_that_fails_is_replaced_by_a_second(self, sim, delay, caplog):
        class Policy:
            cap = 5.0

        policy = Policy()
        policy.delay = delay
        pool = ScriptedPool(1, [OSError], backoff=policy)
        pool.acquire()
        assert 1 <= sim.now < 1.1
        assert "the backoff failed" in caplog.text

    def test_false_policy_is_used_all_the_same(self, sim):
        class Policy(list):
            cap = 5.0

            def delay(self, failures):
                return 7.0

        pool = ScriptedPool(1, [OSError], backoff=Policy())
        pool.acquire()
        assert 7 <= sim.now < 7.1


class Hooked(PeerPool):
    """A pool in which every hook does something, and one of them what a test wants."""

    def __init__(self, size=2, *, hook=None, act=None, times=3, **options):
        self.hook, self.act, self.times = hook, act, times
        self.entered = 0
        super().__init__(size, **{"backoff": QUICK, "keepalive": 1.0, **options})

    def _misbehave(self, hook):
        if hook == self.hook and self.times > 0:
            self.entered += 1
            self.times -= 1
            self.act()

    def _keepalive(self, c):
        self._misbehave("_keepalive")
        c.ping()

    def _check_connection(self, c):
        self._misbehave("_check_connection")
        c.ping()

    def _reset_connection(self, c):
        self._misbehave("_reset_connection")
        c.request("reset")

    def _close_connection(self, c, reason):
        self.goodbyes.append((c, str(reason)))
        self._misbehave("_close_connection")
        c.close()

    def _fileno(self, c):
        self._misbehave("_fileno")
        raise OSError

    def _new_connection(self):
        self._misbehave("_new_connection")
        return super()._new_connection()


HOOKS = (
    "_new_connection",
    "_keepalive",
    "_check_connection",
    "_reset_connection",
    "_close_connection",
    "_fileno",
)


def busy(pool):
    """Use *pool* in all the ways that make hooks run."""
    for error in (None, KeyError, OSError, None, gevent.Timeout):
        try:
            with pool.get(timeout=30) as c:
                c.request(1)
                if error is not None:
                    raise error
        except (KeyError, OSError, gevent.Timeout):
            pass
        gevent.sleep(0.4)


@pytest.mark.slow
class TestEveryHook:
    @pytest.mark.parametrize("hook", HOOKS)
    @pytest.mark.parametrize("error", ERRORS)
    def test_whatever_it_raises_is_contained_and_no_place_is_lost(self, sim, hook, error):
        def act():
            raise error

        pool = Hooked(2, hook=hook, act=act)
        sim.advance(3)
        busy(pool)
        assert whole_but_for_the_peer(sim, pool).size == 2
        assert pool.entered >= 1
        assert sim.errors == []

    @pytest.mark.parametrize("hook", HOOKS)
    def test_hanging_it_is_cut_off_and_no_place_is_lost(self, sim, hook):
        pool = Hooked(
            2, hook=hook, act=lambda: gevent.sleep(10**6),
            connect_timeout=2, keepalive_timeout=2, close_timeout=2,
        )  # fmt: skip
        sim.advance(10)
        busy(pool)
        sim.advance(10)
        assert whole_but_for_the_peer(sim, pool).size == 2
        assert pool.entered >= 1
        assert sim.errors == []

    @pytest.mark.parametrize("hook", HOOKS)
    @pytest.mark.parametrize("error", [gevent.GreenletExit, BaseException])
    def test_killed_while_it_waits_no_place_is_lost(self, sim, hook, error):
        pool = Hooked(2, hook=hook, act=lambda: gevent.sleep(0.5), times=10)
        mine = [sim.spawn(busy, pool) for _ in range(2)]
        own = pools_own(sim, mine)
        for _ in range(40):
            sim.advance(0.13)
            for victim in own():
                sim.loop.run_callback(victim.throw, error())
            sim.settle()
        sim.advance(60)
        assert [g.successful() for g in mine] == [True, True]
        assert whole_but_for_the_peer(sim, pool).size == 2
        # Greenlets that were hit before they began die of it, as they must.
        assert [e for e in sim.errors if type(e) is not error] == []
        sim.errors.clear()

    def test_failed_ping_makes_the_connection_unchecked_and_is_counted(self, sim):
        def act():
            raise ValueError

        pool = Hooked(1, hook="_keepalive", act=act, times=1)
        sim.advance(5)
        assert pool.reasons == ["unchecked"]
        stats = pool.stats()
        assert stats.ping_errors == 1
        assert stats.pings > 1

    def test_ping_that_hangs_ends_after_keepalive_timeout(self, sim):
        told = RecordingListener()
        pool = Hooked(
            1, hook="_keepalive", act=lambda: gevent.sleep(10**6), times=1, keepalive_timeout=2.5,
            listeners=[told], name="p",
        )  # fmt: skip
        sim.advance(10)
        (pinged,) = [e for e in told.of("connection_pinged") if e.error]
        assert pinged.seconds == 2.5
        assert pinged.error == (
            "PoolTimeout: pool 'p': _keepalive took longer than keepalive_timeout (2.5 s)"
        )
        assert pool.reasons == ["unchecked"]


def whole_but_for_the_peer(sim, pool):
    """As `whole`; but a goodbye that failed or was cut off leaves the peer with a connection."""
    pool.peer.most_open = 0
    open_before = len(pool.peer.open)
    stats = whole_stats(sim, pool)
    assert len(pool.peer.open) <= open_before + pool.size
    return stats


def whole_stats(sim, pool, patience=60):
    sim.advance(patience)
    taken = [pool.acquire(timeout=20) for _ in range(pool.size)]
    assert len(set(map(id, taken))) == pool.size
    for each in taken:
        pool.release(each)
    sim.advance(1.9)
    stats = pool.stats()
    assert (stats.active, stats.connecting, stats.closing, stats.waiting) == (0, 0, 0, 0), stats
    assert stats.idle + stats.checking == pool.size
    assert stats.repairs == 0
    return stats


class TestClosing:
    def test_close_that_raises_has_its_descriptor_shut_and_is_logged(self, sim, caplog):
        caplog.set_level(logging.INFO)

        class Pool(WirePool):
            def _close_connection(self, c, reason):
                raise ValueError("secret")

        pool = filled(sim, Pool(1))
        with pool.get() as c:
            pool.discard(c)
        sim.advance(1)
        assert c.peer_end.recv(1) == b""
        assert c.closes == 0
        assert "closing connection 1 went wrong (ValueError)" in caplog.text
        assert pool.stats().idle == 1
        pool.bury()

    @pytest.mark.parametrize(("reason", "seconds"), [("discard", 1.0), ("drain", 4.0)])
    def test_close_that_hangs_is_ended_hard_sooner_where_it_is_not_healthy(
        self, sim, reason, seconds
    ):
        class Pool(WirePool):
            def _close_connection(self, c, reason):
                gevent.sleep(10**6)

        pool = filled(sim, Pool(1, close_timeout=4))
        c = pool.acquire()
        pool.discard(c) if reason == "discard" else pool.drain()
        pool.release(c)
        sim.advance(seconds - 0.1)
        assert pool.stats().closing == 1
        sim.advance(0.2)
        assert (pool.stats().closing, pool.stats().idle) == (0, 1)
        assert c.peer_end.recv(1) == b""
        pool.bury()

    def test_close_that_hangs_and_will_not_be_ended_does_not_keep_its_place(self, sim):
        class Pool(WirePool):
            def _close_connection(self, c, reason):
                try:
                    gevent.sleep(10**6)
                except gevent.GreenletExit:
                    gevent.sleep(5)

        pool = filled(sim, Pool(1, close_timeout=2))
        c = pool.acquire()
        pool.drain()
        pool.release(c)
        sim.advance(2.5)
        assert (pool.stats().closing, pool.stats().idle) == (0, 1)
        assert c.peer_end.recv(1) == b""
        sim.advance(10)
        assert pool.stats().closes["drained"] == 1
        assert pool.stats().idle == 1
        pool.bury()

    def test_default_closes_what_can_be_closed_and_lets_the_rest_be(self, sim):
        pool = ConnectionPool(1, connect=object)
        sim.advance(1)
        pool.drain()
        sim.advance(1)
        assert pool.stats().closes["drained"] == 1
        assert pool.stats().idle == 1

    def test_reason_tells_whether_a_goodbye_makes_sense(self, sim):
        seen = []

        class Pool(PeerPool):
            def _close_connection(self, c, reason):
                seen.append((str(reason), reason.healthy))

        pool = filled(sim, Pool(1))
        for error in (OSError, gevent.Timeout):
            with pytest.raises(error), pool.get():
                raise error
            sim.advance(2)
        pool.drain()
        sim.advance(2)
        pool.close()
        assert seen == [
            ("broken", False), ("interrupted", False), ("drained", True), ("closed", True),
        ]  # fmt: skip

    def test_place_is_taken_until_the_goodbye_is_over(self, sim):
        pool = filled(sim, PeerPool(1, peer=FakePeer(close_latency=0.5)))
        with pytest.raises(OSError), pool.get():
            raise OSError
        sim.advance(0.4)
        assert (pool.stats().closing, pool.stats().connecting) == (1, 0)
        sim.advance(0.2)
        assert pool.stats().idle == 1
        assert pool.peer.most_open == 1


@pytest.mark.slow
class TestKilledGreenlets:
    """gevent.killall over everything that the pool runs, again and again."""

    def test_killed_before_they_begin(self, sim):
        pool = Hooked(3)
        user = sim.spawn(busy, pool)
        hits = []

        def inject(loop):
            for victim in pools_own(sim, [user])():
                if victim.gr_frame is None and len(hits) < 40:
                    hits.append(victim)
                    victim.kill(block=False)

        sim.inject = inject
        sim.advance(30)
        assert len(hits) == 40
        assert user.successful()
        assert whole_stats(sim, pool).size == 3

    @pytest.mark.parametrize("block", [True, False])
    def test_killed_all_the_time_while_the_pool_is_in_use(self, sim, block):
        pool = Hooked(3, peer=FakePeer(latency=0.03))
        users = [sim.spawn(busy, pool) for _ in range(6)]
        own = pools_own(sim, users)
        killed = 0
        for n in range(300):
            gevent.sleep(0.007 * (n % 5))
            killed += len(own())
            gevent.killall(own(), block=block)
        gevent.joinall(users, raise_error=True)
        assert killed > 30
        assert whole_stats(sim, pool).size == 3

    @pytest.mark.parametrize("moment", ["checkout", "drain", "close"])
    def test_each_of_them_at_each_step(self, moment):
        def scenario(sim):
            pool = Hooked(2)
            use = functools.partial(take_and_hold, pool, 0.002, timeout=30)
            users = [sim.spawn(outcome, use) for _ in range(3)]
            other = []
            if moment != "checkout":
                command = pool.drain if moment == "drain" else lambda: pool.close(2)
                other.append(gevent.spawn_later(0.004, command))

            def rest():
                sim.advance(3)
                if moment == "close":
                    assert pool.close(5) is True
                    assert [g for g in sim.alive() if g not in users] == []
                    assert pool.stats().closing == 0
                else:
                    assert [type(u.value) for u in users] == [FakeConnection] * 3
                    assert whole_stats(sim, pool, patience=2).size == 2

            return pools_own(sim, [*users, *other]), rest

        assert sweep(scenario, gevent.GreenletExit) > 5

    def test_goodbye_that_was_killed_before_it_began_is_said_after_all(self, sim):
        pool = filled(sim, PeerPool(1))
        c = pool.acquire()
        pool.release(c, discard=True)
        for victim in sim.alive():
            victim.kill(block=False)
        sim.advance(1)
        assert pool.goodbyes == [(c, "discarded")]
        assert c.closes == 1

    def test_reset_that_was_killed_is_a_failed_reset(self, sim):
        pool = Hooked(1, hook="_reset_connection", act=lambda: gevent.sleep(0.5), times=1)
        with pool.get() as c:
            pass
        sim.settle()
        gevent.killall(sim.alive(), block=False)
        sim.advance(1)
        assert pool.goodbyes == [(c, "reset_failed")]


class TestFileno:
    @pytest.mark.parametrize("what", [None, "7", -1, 3.0, True, 10**9, object()])
    def test_answer_that_is_no_descriptor_means_none(self, sim, what):
        class Pool(PeerPool):
            def _fileno(self, c):
                return what

        pool = filled(sim, Pool(1))
        with pool.get() as c:
            pass
        with pool.get() as again:
            assert again is c
        assert whole(sim, pool).closes["lost"] == 0

    def test_number_of_another_connection_is_not_watched_twice(self, sim):
        class Pool(WirePool):
            def _fileno(self, c):
                return self.wires[0].fileno()

        pool = filled(sim, Pool(2))
        taken = [pool.acquire() for _ in range(2)]
        pool.release(taken[1], discard=True)
        sim.advance(2)
        pool.release(taken[0])
        with pool.get():
            pass
        assert pool.stats().repairs == 0
        pool.bury()


class TestHooksMayUseThePool:
    def test_they_may_call_what_does_not_wait(self, sim):
        seen = []

        class Pool(PeerPool):
            def _new_connection(self):
                seen.append((self.size, self.name, self.closed, self.stats().connecting))
                assert "connecting" in repr(self)
                assert outcome(lambda: self.acquire(timeout=0)) is PoolTimeout
                return super()._new_connection()

            def _reset_connection(self, c):
                with pytest.raises(PoolError):
                    self.release(c)

            def _close_connection(self, c, reason):
                self.resize(3)
                self.drain()
                super()._close_connection(c, reason)

        pool = filled(sim, Pool(2, name="p"))
        assert seen[0] == (2, "p", False, 2)
        with pool.get() as c:
            pool.discard(c)
        sim.advance(5)
        assert pool.size == 3
        with pool.get():
            pass
        sim.advance(1)
        assert pool.stats().closes["reset_failed"] == 0

    def test_hook_may_take_and_wait_in_another_pool(self, sim):
        inner = PeerPool(1)

        class Outer(PeerPool):
            def _new_connection(self):
                with inner.get():
                    gevent.sleep(0.1)
                    return super()._new_connection()

        outer = Outer(3)
        assert whole(sim, outer).idle == 3
        assert whole(sim, inner).idle == 1
