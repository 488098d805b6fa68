"""Bad input: one clear error that names what is wrong and its value, before anything happens."""

from __future__ import annotations

import functools
import inspect
import math

import gevent
import pytest
from checkout_support import PeerPool, filled, nothing_else_runs

from geventconnpool import Backoff, ConnectionPool, PoolError
from geventconnpool.testing import FakePeer, RecordingListener


class PingingPool(PeerPool):
    def _keepalive(self, c):
        c.ping()


NAN, INF = math.nan, math.inf
NOT_INTS = [True, False, 2.0, "2", [2], NAN, object]
NOT_DURATIONS = [True, "1", [1], object, 1j, b"1"]
BAD_DURATIONS = [0, 0.0, -1, -0.001, NAN, INF, -INF]
BAD_LIMITS = [-1, -0.001, NAN, INF, -INF]
NOT_CALLABLES = [1, "f", [], True]

TYPE = {
    "size": [*NOT_INTS, None],
    "exc_classes": [
        1,
        None,
        "OSError",
        [1],
        [int],
        int,
        [OSError, "x"],
        (OSError, KeyError()),
        [[]],
    ],
    "keepalive": NOT_DURATIONS,
    "min_size": NOT_INTS,
    "connect": NOT_CALLABLES,
    "name": [1, True, b"n", ["n"]],
    "timeout": NOT_DURATIONS,
    "max_waiting": NOT_INTS,
    "max_connecting": [*NOT_INTS, None],
    "connect_timeout": [*NOT_DURATIONS, None],
    "keepalive_timeout": [*NOT_DURATIONS, None],
    "close_timeout": [*NOT_DURATIONS, None],
    "idle_timeout": NOT_DURATIONS,
    "max_lifetime": NOT_DURATIONS,
    "check_after": NOT_DURATIONS,
    "order": [None, 1, True, ["lifo"]],
    "watch_idle": [None, 1, 0, ["closed"]],
    "backoff": [1, "full", Backoff, lambda n: 1, True],
    "fail_fast_after": NOT_DURATIONS,
    "fatal_exc_classes": [1, None, "OSError", [int], int],
    "is_broken": NOT_CALLABLES,
    "leak_threshold": NOT_DURATIONS,
    "listeners": [1, None, print, RecordingListener(), [1], [print, None], "listener"],
    "start": [None, 1, 0, "yes"],
}
VALUE = {
    "size": [0, -1, -(10**30)],
    "exc_classes": [(), []],
    "keepalive": BAD_DURATIONS,
    "min_size": [-1, 11],
    "name": [""],
    "timeout": [NAN],
    "max_waiting": [-1],
    "max_connecting": [0, -1],
    "connect_timeout": BAD_DURATIONS,
    "keepalive_timeout": BAD_DURATIONS,
    "close_timeout": BAD_DURATIONS,
    "idle_timeout": BAD_DURATIONS,
    "max_lifetime": BAD_DURATIONS,
    "check_after": BAD_LIMITS,
    "order": ["LIFO", "", "random"],
    "watch_idle": ["open", ""],
    "fail_fast_after": BAD_LIMITS,
    "leak_threshold": BAD_DURATIONS,
}
CASES = [
    *((name, value, TypeError) for name, values in TYPE.items() for value in values),
    *((name, value, ValueError) for name, values in VALUE.items() for value in values),
]


class TestConstructor:
    @pytest.mark.parametrize(("name", "value", "error"), CASES)
    def test_wrong_option_is_named_with_its_value(self, sim, name, value, error):
        peer = FakePeer()
        before = sim.timers, sim.loop.pendingcnt
        with pytest.raises(error) as caught:
            PingingPool(**{"size": 10, "min_size": 5, "peer": peer, name: value})
        assert type(caught.value) is error
        text = str(caught.value)
        assert text.startswith(name)
        shown = [value, *value] if isinstance(value, (list, tuple, str)) else [value]
        shown += [tuple(value)] if isinstance(value, list) else []
        assert any(repr(each)[:70] in text for each in shown) or "> 10)" in text or "< 0)" in text
        assert (sim.timers, sim.loop.pendingcnt) == before
        sim.advance(5)
        assert peer.connects == 0

    def test_every_option_of_the_signature_is_in_these_tables(self):
        options = set(inspect.signature(ConnectionPool.__init__).parameters) - {"self"}
        assert set(TYPE) == options

    def test_options_after_keepalive_are_keyword_only(self):
        with pytest.raises(TypeError):
            ConnectionPool(10, OSError, None, 5)
        with pytest.raises(TypeError):
            ConnectionPool()
        with pytest.raises(TypeError, match="sise"):
            ConnectionPool(10, sise=3)

    def test_min_size_above_size_says_both(self):
        with pytest.raises(ValueError, match=r"^min_size must be between 0 and size \(12 > 10\)$"):
            ConnectionPool(10, min_size=12)

    def test_keepalive_needs_a_hook_that_pings(self, sim):
        with pytest.raises(TypeError, match=r"keepalive=30 needs PeerPool\._keepalive"):
            PeerPool(1, keepalive=30)
        with pytest.raises(TypeError, match="_keepalive"):
            ConnectionPool(1, keepalive=30, connect=object)
        PingingPool(1, keepalive=30)

    def test_idle_timeout_that_can_do_nothing_is_a_warning(self, sim):
        with pytest.warns(UserWarning, match="idle_timeout") as caught:
            PeerPool(2, idle_timeout=5)
        assert len(caught) == 1
        PeerPool(2, idle_timeout=5, min_size=1)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("exc_classes", OSError), ("exc_classes", [OSError, KeyError]),
            ("exc_classes", {OSError}), ("exc_classes", BaseException), ("keepalive", 0.001),
            ("min_size", 0), ("min_size", None), ("timeout", None), ("timeout", 0),
            ("check_after", 0), ("fail_fast_after", 0), ("watch_idle", "closed"),
            ("fatal_exc_classes", OSError), ("fatal_exc_classes", []), ("connect", object),
            ("listeners", []), ("listeners", iter([print])), ("name", "x"), ("start", False),
        ],
    )  # fmt: skip
    def test_what_is_right_is_taken(self, sim, name, value):
        pool = PingingPool(**{"size": 10, name: value})
        sim.advance(1)
        assert pool.size == 10

    def test_a_value_that_cannot_be_shown_does_not_hide_the_mistake(self, sim):
        class Nasty:
            def __repr__(self):
                raise RuntimeError

        for name in ("size", "keepalive", "connect", "listeners", "name", "order", "backoff"):
            with pytest.raises(TypeError, match=name):
                PingingPool(**{"size": 10, name: Nasty()})


BAD_CALLS = {
    "get(timeout=)": (lambda p, v: p.get(v), "timeout", NOT_DURATIONS, [NAN]),
    "acquire(timeout=)": (lambda p, v: p.acquire(timeout=v), "timeout", NOT_DURATIONS, [NAN]),
    "acquire(blocking=)": (lambda p, v: p.acquire(v), "blocking", [None, 1, 0, "no"], []),
    "release(discard=)": (
        lambda p, v: p.release(p.held, v), "discard", [None, 1, 0, "yes", OSError], [],
    ),
    "close(timeout=)": (lambda p, v: p.close(v), "timeout", NOT_DURATIONS, [NAN]),
    "wait_ready(timeout=)": (lambda p, v: p.wait_ready(v), "timeout", NOT_DURATIONS, [NAN]),
    "drain(interrupt=)": (lambda p, v: p.drain(v), "interrupt", [None, 1, 0, "yes"], []),
    "pause(interrupt=)": (lambda p, v: p.pause(v), "interrupt", [None, 1, 0, "yes"], []),
    "resize(size)": (lambda p, v: p.resize(v), "size", [*NOT_INTS, None], [0, -1]),
    "resize(min_size=)": (lambda p, v: p.resize(5, v), "min_size", [*NOT_INTS, None], [-1, 6]),
}  # fmt: skip
CALLS = [
    pytest.param(call, name, value, error, id=f"{title[:-1]}{value!r:.20}")
    for title, (call, name, wrong_type, wrong_value) in BAD_CALLS.items()
    for error, values in ((TypeError, wrong_type), (ValueError, wrong_value))
    for value in values
]


class TestMethods:
    @pytest.mark.parametrize(("call", "name", "value", "error"), CALLS)
    def test_wrong_argument_is_named_with_its_value_and_nothing_changes(
        self, sim, call, name, value, error
    ):
        told = RecordingListener()
        pool = filled(sim, PeerPool(3, listeners=[told]))
        pool.held = pool.acquire()
        told.clear()
        before = pool.stats()
        with nothing_else_runs(sim), pytest.raises(error) as caught:
            call(pool, value)
        assert type(caught.value) is error
        assert str(caught.value).startswith(name)
        assert (
            repr(value) in str(caught.value)
            or "> 5)" in str(caught.value)
            or ("< 0)" in str(caught.value))
        )
        assert pool.stats() == before
        assert told == []
        assert not pool.closed
        pool.release(pool.held)

    def test_misuse_is_a_pool_error_and_names_the_pool(self, sim):
        pool = filled(sim, PeerPool(1, name="orders"))
        for call in (
            functools.partial(pool.release, object()),
            functools.partial(pool.discard, object()),
            functools.partial(pool.detach, object()),
        ):
            with pytest.raises(PoolError, match=r"^pool 'orders': cannot "):
                call()

    def test_release_checks_before_it_gives_back(self, sim):
        pool = filled(sim, PeerPool(1))
        c = pool.acquire()
        with pytest.raises(TypeError):
            pool.release(c, "discard")
        assert pool.stats().active == 1
        pool.release(c)
        gevent.idle()
        assert pool.stats().idle == 1
