"""A secret planted wherever users have some is shown nowhere, `__cause__` excepted."""

from __future__ import annotations

import functools
import logging
import sys
import warnings

import gevent
import pytest
from checkout_support import INTERRUPTIONS, PeerPool, filled

from geventconnpool import Backoff, PoolError, PoolTimeout, PoolUnavailable
from geventconnpool.testing import RecordingListener

SECRET = "hunter2-CANARY"


def speaking(kind):
    """An error of *kind* whose every part tells the secret."""
    return kind(SECRET, SECRET, SECRET)


class TalkativeError(OSError):
    """As an OSError made of texts, which are then its errno and its filename."""

    def __init__(self):
        super().__init__(SECRET, SECRET, SECRET)
        self.errno = SECRET
        self.filename = SECRET

    def __str__(self):
        return SECRET

    __repr__ = __str__


class ChattyError(Exception):
    def __str__(self):
        return SECRET

    __repr__ = __str__


class LadenError(RuntimeError):
    """Says nothing itself, but has the secret in everything that hangs on it."""

    password = SECRET

    def __init__(self):
        super().__init__()
        self.dsn = SECRET
        self.__cause__ = ValueError(SECRET)
        if sys.version_info >= (3, 11):
            self.add_note(SECRET)


class Connection:
    """A connection that tells everybody its secret."""

    def __init__(self, peer):
        self.peer = peer
        self.password = SECRET

    def __repr__(self):
        return f"<Connection with {SECRET}>"

    __str__ = __repr__


MAKERS = {
    "OSError": lambda: speaking(OSError),
    "ConnectionRefusedError": lambda: ConnectionRefusedError(111, SECRET),
    "TalkativeError": TalkativeError,
    "ChattyError": ChattyError,
    "LadenError": LadenError,
    "ValueError": lambda: speaking(ValueError),
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
    **{kind.__name__: functools.partial(kind, SECRET) for kind in INTERRUPTIONS},
}


if sys.version_info >= (3, 11):
    MAKERS["ExceptionGroup"] = lambda: ExceptionGroup(SECRET, [ValueError(SECRET)])  # noqa: F821


class LeakyPool(PeerPool):
    """Every hook fails with the secret as long as it is told to."""

    def __init__(self, size=2, *, failing=(), make=ChattyError, **options):
        self.dsn = self._password = self.name_of_user = SECRET
        self.failing, self.make = set(failing), make
        self.made = 0
        super().__init__(size, **options)
        self._token = SECRET

    def _fail(self, hook):
        secret_in_the_frame = SECRET  # noqa: F841
        if hook in self.failing:
            raise self.make()

    def _new_connection(self):
        self._fail("_new_connection")
        self.made += 1
        return Connection(self)

    def _keepalive(self, c):
        self._fail("_keepalive")

    def _check_connection(self, c):
        self._fail("_check_connection")

    def _reset_connection(self, c):
        self._fail("_reset_connection")

    def _close_connection(self, c, reason):
        self._fail("_close_connection")

    def _fileno(self, c):
        self._fail("_fileno")
        raise OSError(SECRET)


@pytest.fixture
def shown(caplog):
    """Collects all that is shown, to be searched for the secret."""
    caplog.set_level(1)
    caplog.set_level(1, logger="geventconnpool")
    texts = []

    def look(*things):
        for thing in things:
            texts.append(repr(thing))
            texts.append(str(thing))
            if isinstance(thing, BaseException):
                texts.extend(map(repr, thing.args))
                texts.extend(map(repr, vars(thing).values()))
        for record in caplog.records:
            texts.extend([record.getMessage(), repr(record.args), str(record.exc_info)])
            texts.extend([str(record.exc_text), str(record.stack_info)])
        assert texts
        assert [text for text in texts if SECRET in text] == []
        return caplog.records

    return look


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
class TestErrors:
    def test_of_connects(self, sim, shown, make):
        told = RecordingListener()
        pool = LeakyPool(failing=["_new_connection"], make=make, listeners=[told])
        for take in (pool.acquire, pool.get):
            with pytest.raises(PoolTimeout) as caught:
                take(timeout=2)
            assert type(caught.value.__cause__) is type(make())
            shown(caught.value)
        with pytest.raises(PoolTimeout) as caught:
            pool.wait_ready(timeout=1)
        assert type(make()).__name__ in str(caught.value)
        assert shown(caught.value, pool, pool.stats(), *told)
        assert told.of("connect_failed")

    def test_of_connects_that_are_fatal(self, sim, shown, make):
        pool = LeakyPool(failing=["_new_connection"], make=make, fatal_exc_classes=(BaseException,))
        with pytest.raises(PoolUnavailable) as caught:
            pool.acquire()
        assert shown(caught.value, pool, pool.stats())

    @pytest.mark.parametrize(
        "hook",
        ["_keepalive", "_check_connection", "_reset_connection", "_close_connection", "_fileno"],
    )
    def test_of_every_other_hook(self, sim, shown, make, hook):
        told = RecordingListener()
        pool = LeakyPool(failing=[hook], make=make, keepalive=1, listeners=[told])
        for error in (None, KeyError, OSError):
            try:
                with pool.get() as c:
                    if error is not None:
                        raise error(SECRET)
                    pool.discard(c)
            except (KeyError, OSError):
                pass
            sim.advance(3)
        records = shown(pool, pool.stats(), *told)
        if hook != "_fileno":
            assert records

    def test_of_listeners_is_broken_and_policies(self, sim, shown, make):
        if make in [MAKERS["KeyboardInterrupt"], MAKERS["SystemExit"]]:
            pytest.skip("goes on to the caller, as it is")

        def fail(*args):
            raise make()

        class Policy(Backoff):
            delay = fail

        armed = []
        pool = LeakyPool(
            listeners=[lambda event: fail() if armed else None],
            is_broken=fail if isinstance(make(), Exception) else None,
            backoff=Policy() if isinstance(make(), Exception) else None,
        )
        sim.advance(3)
        armed.append(True)
        with pytest.raises(KeyError), pool.get():
            raise KeyError(SECRET)
        pool.failing.add("_new_connection")
        pool.drain()
        sim.advance(1)
        assert shown(pool, pool.stats())


class TestEverythingElse:
    def test_misuse_does_not_show_the_connection(self, sim, shown):
        pool, other = filled(sim, LeakyPool()), filled(sim, LeakyPool())
        c = pool.acquire()
        errors = []
        for call in (other.release, other.discard, other.detach):
            with pytest.raises(PoolError) as caught:
                call(c)
            errors.append(caught.value)
        pool.release(c)
        with pytest.raises(PoolError) as caught:
            pool.release(c)
        lease = pool.get()
        with lease, pytest.raises(PoolError) as again:
            lease.__enter__()
        shown(*errors, caught.value, again.value, lease, pool, pool.stats())

    def test_leaks_are_reported_with_places_only(self, sim, shown):
        told = RecordingListener()
        pool = filled(sim, LeakyPool(leak_threshold=1, listeners=[told]))

        def hold(password):
            dsn = f"db://{password}"
            c = pool.acquire()
            gevent.sleep(10)
            pool.release(c)
            return dsn

        sim.spawn(hold, SECRET)
        sim.advance(20)
        (leak,) = told.of("leak_suspected")
        assert "in hold" in leak.stack
        assert leak.stack.rstrip().splitlines()[-1].strip() == "c = pool.acquire()"
        assert told.of("leak_returned")
        records = shown(pool, *told)
        assert [r for r in records if "is out for" in r.getMessage()]

    def test_warnings_of_forgotten_leases(self, sim, shown):
        pool = filled(sim, LeakyPool())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pool.get()
            sim.advance(5)
            pool.get()
            del pool
            sim.advance(5)
        assert len(caught) == 2
        shown(*[w.message for w in caught])

    def test_slow_hooks_and_late_goodbyes(self, sim, shown):
        class Slow(LeakyPool):
            def _keepalive(self, c):
                try:
                    gevent.sleep(100)
                except gevent.Timeout:
                    gevent.sleep(5)

            def _close_connection(self, c, reason):
                gevent.sleep(100)

        pool = Slow(keepalive=1, keepalive_timeout=0.5, close_timeout=0.5)
        sim.advance(3)
        pool.drain(interrupt=True)
        sim.advance(20)
        assert shown(pool, pool.stats())

    def test_errors_of_greenlets_of_the_pool_are_not_printed(self, sim, capfd):
        pool = LeakyPool(
            failing=["_new_connection", "_close_connection"], make=MAKERS["ValueError"]
        )
        sim.advance(5)
        pool.failing.discard("_new_connection")
        sim.advance(10)
        pool.close()
        assert sim.errors == []
        out = capfd.readouterr()
        assert SECRET not in out.out + out.err

    def test_logger_records_hold_no_objects_of_the_users(self, sim, shown, caplog):
        pool = LeakyPool(failing=["_new_connection", "_close_connection"], make=ChattyError)
        sim.advance(3)
        pool.failing.discard("_new_connection")
        sim.advance(5)
        pool.drain()
        sim.advance(5)
        records = shown(pool)
        assert records
        plain = (str, int, float, bool, type(None))
        assert all(isinstance(arg, plain) for r in records for arg in r.args or ())
        assert all(r.levelno < logging.CRITICAL for r in records)
