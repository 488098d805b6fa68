"""Pools of verified TLS connections: session tickets are no alarm, the peer's end is one."""

from __future__ import annotations

import select

import gevent
import gevent.ssl
import pytest
from gevent import monkey, socket
from loopback import PATIENCE, ask, eventually, some_turns

from geventconnpool import ConnectionPool, PoolTimeout
from geventconnpool.maintenance import watching

poll = monkey.get_original("select", "poll")


@pytest.fixture(autouse=True, params=["epoll", "loop"])
def means(request, monkeypatch):
    monkeypatch.setattr(watching, "HAS_EPOLL", request.param == "epoll")


@pytest.fixture
def connect(tls_server, trusting):
    def connect(name="localhost"):
        raw = socket.create_connection(tls_server.address)
        try:
            return trusting.wrap_socket(raw, server_hostname=name)
        except BaseException:
            raw.close()
            raise

    return connect


@pytest.fixture
def pool(make_pool, connect):
    return make_pool(2, connect=connect)


def readable_ones(pool):
    """How many of two idle connections the kernel calls readable."""
    asked = poll()
    with pool.get() as a, pool.get() as b:
        for c in (a, b):
            asked.register(c.fileno(), select.POLLIN)
    return len(asked.poll(0))


class TestEndToEnd:
    def test_questions_are_answered_over_verified_connections(self, pool, heard):
        for n in range(50):
            with pool.get() as c:
                assert c.version() in ("TLSv1.2", "TLSv1.3")
                assert c.getpeercert()["subjectAltName"] == (("DNS", "localhost"),)
                assert ask(c, b"%d" % n) == b"%d ok\n" % n
        assert heard.reasons == []

    def test_a_name_that_is_not_in_the_certificate_is_never_connected_to(self, connect, tls_server):
        pool = ConnectionPool(1, connect=lambda: connect("example.org"))
        with pytest.raises(PoolTimeout) as caught:
            pool.wait_ready(timeout=0.3)
        assert isinstance(caught.value.__cause__, gevent.ssl.SSLCertVerificationError)
        assert pool.stats().idle == 0
        pool.close()
        eventually(lambda: tls_server.at_once == 0)

    def test_many_users_share_few_connections(self, make_pool, connect, tls_server):
        pool = make_pool(3, connect=connect)
        answers = []

        def use(n):
            for k in range(5):
                with pool.get() as c:
                    answers.append(ask(c, b"%d-%d" % (n, k)) == b"%d-%d ok\n" % (n, k))

        gevent.joinall([gevent.spawn(use, n) for n in range(20)], timeout=PATIENCE)
        assert answers == [True] * 100
        assert tls_server.most_at_once <= 3


class TestTickets:
    def test_unread_session_tickets_do_not_cost_a_connection(self, pool, heard):
        eventually(lambda: readable_ones(pool) == 2, "the tickets have come")
        some_turns()
        assert heard.reasons == []
        assert pool.stats().idle == 2

    def test_nor_do_they_make_the_loop_spin(self, pool):
        eventually(lambda: readable_ones(pool) == 2, "the tickets have come")
        turns = 0

        def count():
            nonlocal turns
            turns += 1

        counter = gevent.get_hub().loop.check(ref=False)
        counter.start(count)
        gevent.sleep(0.1)
        counter.stop()
        counter.close()
        assert turns < 40


class TestEnds:
    def test_an_idle_connection_that_the_peer_closes_is_replaced(
        self, make_pool, connect, tls_server, heard
    ):
        pool = make_pool(2, connect=connect, leak_threshold=0.1)
        for c in (pool.acquire(), pool.acquire()):
            assert ask(c, b"hello") == b"hello ok\n"
            pool.release(c)

        for session in list(tls_server.sessions):
            session.hang_up()

        eventually(lambda: heard.reasons == ["lost", "lost"] and pool.stats().idle == 2)
        with pool.get() as c:
            assert ask(c, b"hello") == b"hello ok\n"

    def test_a_connection_that_the_peer_closed_in_the_block_does_not_go_back(
        self, pool, tls_server, heard
    ):
        with pool.get() as c:
            assert ask(c, b"hello") == b"hello ok\n"
            tls_server.session_of(c).hang_up()
            some_turns()
        assert heard.reasons == ["lost"]

    def test_an_error_that_says_nothing_of_the_connection_closes_it_all_the_same(self, pool, heard):
        """Unread data cannot be told from tickets: it may hold a late answer."""
        with pytest.raises(KeyError):
            with pool.get() as c:
                ask(c, b"hello")
                raise KeyError
        assert heard.reasons == ["broken"]

    def test_so_it_is_for_a_wrapper_of_a_tls_socket(self, make_pool, connect, heard):
        class Wrapper:
            def __init__(self):
                self.sock = connect()

            def close(self):
                self.sock.close()

        pool = make_pool(connect=Wrapper)
        with pytest.raises(KeyError):
            with pool.get():
                raise KeyError
        assert heard.reasons == ["broken"]

    def test_a_user_who_waits_for_an_answer_is_woken_by_an_interrupting_drain(self, pool, heard):
        ends = []

        def wait():
            with pool.get() as c:
                c.sendall(b"mute\n")
                pool_is_used.set()
                ends.append(c.recv(100))

        pool_is_used = gevent.event.Event()
        user = gevent.spawn(wait)
        pool_is_used.wait(PATIENCE)
        some_turns(3)
        pool.drain(interrupt=True)
        user.join(PATIENCE)
        assert user.ready()
        assert ends == [b""] or isinstance(user.exception, OSError)
        eventually(lambda: pool.stats().idle == 2)
        assert heard.reasons == ["drained", "drained"]
