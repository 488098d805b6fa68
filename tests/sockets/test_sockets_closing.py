"""Goodbyes: polite where that makes sense, bounded always; the limit holds as the peer counts."""

from __future__ import annotations

import random

import gevent
import pytest
from gevent import socket
from gevent.event import Event as Signal
from loopback import PATIENCE, ask, eventually, some_turns

from geventconnpool import CloseReason, ConnectionPool


class Polite(ConnectionPool):
    """Says goodbye and waits until the peer has closed."""

    def _close_connection(self, c, reason):
        c.shutdown(socket.SHUT_WR)
        while c.recv(4096):
            pass
        c.close()


class Hanging(ConnectionPool):
    """Its goodbyes do not end before they are let go."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.let_go = Signal()
        self.closing = []
        self.interrupted = []

    def _close_connection(self, c, reason):
        self.closing.append(reason)
        try:
            self.let_go.wait()
        except BaseException:
            self.interrupted.append(reason)
            raise
        finally:
            c.close()


class Recorded:
    """A socket that notes what is called on it."""

    def __init__(self, sock):
        self.sock = sock
        self.calls = []

    def __getattr__(self, name):
        if name not in ("fileno", "sock"):
            self.calls.append(name)
        return getattr(self.sock, name)


@pytest.mark.parametrize("trouble", ["hangs", "raises"])
def test_a_goodbye_that_goes_wrong_ends_with_the_descriptor_shut(server, make_pool, heard, trouble):
    class Troubled(ConnectionPool):
        def _close_connection(self, c, reason):
            if trouble == "hangs":
                gevent.sleep(3600)
            raise ValueError

    kept = []

    def connect():
        kept.append(Recorded(server.connect()))
        return kept[-1]

    pool = make_pool(kind=Troubled, connect=connect, close_timeout=0.05)
    with pool.get() as c:
        session = server.session_of(c.sock)
        c.calls.clear()
        pool.discard(c)
    eventually(lambda: session.ended, "the peer saw the end")
    eventually(lambda: pool.stats().idle == 1)
    some_turns()
    assert c.calls == []  # nothing more was called on it
    assert c.sock.fileno() >= 0  # and its number is still its own
    for each in kept:
        each.sock.close()


@pytest.mark.parametrize("way", ["discard", "drain"])
def test_the_place_is_taken_until_the_goodbye_is_over(server, make_pool, way):
    over = Signal()

    class Slow(ConnectionPool):
        def _close_connection(self, c, reason):
            over.wait()
            c.close()

    pool = make_pool(kind=Slow)
    if way == "drain":
        pool.drain()
    else:
        with pool.get() as c:
            pool.discard(c)
    waiter = gevent.spawn(pool.acquire)
    some_turns()
    assert not waiter.ready()
    assert pool.stats().closing == 1
    assert len(server.sessions) == 1

    over.set()
    pool.release(waiter.get(timeout=PATIENCE))
    eventually(lambda: server.at_once == 1)
    assert server.most_at_once == 1


def test_an_unhealthy_connection_gets_no_longer_than_a_second(server, make_pool, monkeypatch):
    from geventconnpool.maintenance import retirement

    monkeypatch.setattr(retirement, "UNHEALTHY_CLOSE_SECONDS", 0.02)
    pool = make_pool(2, kind=Hanging, close_timeout=3600)
    with pytest.raises(OSError):
        with pool.get():
            raise OSError
    eventually(lambda: pool.stats().idle == 2)
    eventually(lambda: pool.interrupted == [CloseReason.BROKEN])

    assert pool.close(timeout=0.05) is False
    assert pool.stats().closing == 2  # healthy ones may take their hour
    assert pool.interrupted == [CloseReason.BROKEN]
    pool.let_go.set()
    assert pool.close() is True


def test_a_polite_goodbye_waits_for_the_peer(server, make_pool):
    pool = make_pool(3, kind=Polite)
    for c in [pool.acquire() for _ in range(3)]:
        ask(c, b"hello")
        pool.release(c)

    assert pool.close() is True

    assert server.at_once == 0  # the peer had closed before we were told so
    assert all(s.ended for s in server.sessions)


def test_the_pool_never_has_more_connections_than_its_size_as_the_peer_counts(server, make_pool):
    dice = random.Random(7)
    size = 5
    pool = make_pool(size, kind=Polite, max_connecting=5)
    served = 0

    def use():
        nonlocal served
        while served < 2000:
            with pool.get(timeout=PATIENCE) as c:
                served += 1
                n = b"%d" % served
                assert ask(c, n) == n + b" ok\n"
                if dice.random() < 0.05:
                    pool.discard(c)

    users = [gevent.spawn(use) for _ in range(12)]
    killed = drains = 0
    while served < 2000:
        gevent.sleep(0.001)
        if dice.random() < 0.3:
            n = dice.randrange(len(users))
            users[n].kill()
            killed += 1
            users[n] = gevent.spawn(use)
        if served >= 400 * (drains + 1):
            drains += 1
            pool.drain()
    gevent.joinall(users, timeout=PATIENCE, raise_error=True)

    stats = pool.stats()
    assert server.most_at_once <= size
    assert killed > 5
    assert stats.closes["interrupted"] > 0
    assert stats.closes["drained"] > 0
    assert stats.repairs == 0


@pytest.mark.parametrize("kind", [ConnectionPool, Hanging])
def test_a_user_blocked_in_recv_is_woken_by_an_interrupting_drain(server, make_pool, heard, kind):
    """Before the goodbye is over, and whatever the hook does."""
    pool = make_pool(kind=kind, close_timeout=3600)
    outcomes = []

    def wait():
        c = pool.acquire()
        try:
            outcomes.append(ask(c, b"mute"))
        except OSError as error:
            outcomes.append(type(error))
        pool.release(c)

    user = gevent.spawn(wait)
    eventually(lambda: server.sessions and server.sessions[-1].received.startswith(b"mute"))
    session = server.sessions[-1]
    pool.drain(interrupt=True)
    user.join(PATIENCE)

    assert user.successful()
    assert outcomes == [b""] or issubclass(outcomes[0], OSError)
    eventually(lambda: session.ended)
    assert heard.reasons == ["drained"]
    if kind is Hanging:
        assert pool.stats().closing == 1
        pool.let_go.set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_failed_connect_leaves_no_session_at_the_peer(server, make_pool):
    def connect():
        c = server.connect()
        ask(c, b"login")
        ask(c, b"mute")  # never answers

    pool = ConnectionPool(1, connect=connect, connect_timeout=0.05)
    eventually(lambda: pool.stats().connect_errors >= 1)
    pool.pause(interrupt=True)
    eventually(lambda: server.sessions and server.at_once == 0)
    pool.close()
