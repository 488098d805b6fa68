"""Idle connections that the peer closes, or speaks on, are replaced before anybody gets them."""

from __future__ import annotations

import os
import select
import socket as constants

import gevent
import pytest
from gevent import monkey, socket
from loopback import (
    Server,
    ask,
    eventually,
    open_descriptors,
    some_turns,
    watched_by_epoll,
)

from geventconnpool import ConnectionPool, PoolTimeout
from geventconnpool.maintenance import watching
from geventconnpool.maintenance.loop_watching import LoopWatcher

poll = monkey.get_original("select", "poll")
RawSocket = monkey.get_original("socket", "socket")


@pytest.fixture(autouse=True, params=["epoll", "loop"])
def means(request, monkeypatch):
    """Every rule holds with epoll, and where there is none."""
    monkeypatch.setattr(watching, "HAS_EPOLL", request.param == "epoll")
    return request.param


def is_readable(connection):
    asked = poll()
    asked.register(connection.fileno(), select.POLLIN)
    return bool(asked.poll(0))


def held(pool):
    with pool.get(timeout=10) as c:
        return c


def asked(pool, line):
    with pool.get(timeout=10) as c:
        return ask(c, line)


class Wrapper:
    """A client library's connection: the socket is its ``sock``."""

    def __init__(self, sock):
        self.sock = sock

    def close(self):
        self.sock.close()


class TestIdle:
    @pytest.mark.parametrize("end", ["hang_up", "half_close", "reset"])
    @pytest.mark.parametrize("mode", [True, "closed"])
    def test_a_connection_that_the_peer_ends_is_replaced_before_anybody_gets_it(
        self, server, make_pool, heard, end, mode
    ):
        pool = make_pool(watch_idle=mode)
        old = held(pool)

        getattr(server.session_of(old), end)()
        eventually(lambda: heard.reasons and pool.stats().idle == 1, "replaced")

        assert heard.reasons == ["lost"]
        new = held(pool)
        assert new is not old
        assert ask(new, b"hello") == b"hello ok\n"

    def test_a_connection_that_the_peer_speaks_on_unasked_is_replaced(
        self, server, make_pool, heard
    ):
        pool = make_pool()
        old = held(pool)

        server.session_of(old).say(b"surprise\n")
        eventually(lambda: heard.reasons, "noticed")

        assert heard.reasons == ["lost"]
        assert asked(pool, b"hello") == b"hello ok\n"

    @pytest.mark.parametrize("mode", ["closed", False])
    def test_bytes_spoken_unasked_are_left_alone_where_only_closing_counts(
        self, server, make_pool, heard, mode
    ):
        pool = make_pool(watch_idle=mode)
        old = held(pool)

        server.session_of(old).say(b"news\n")
        eventually(lambda: is_readable(old))
        some_turns()

        with pool.get() as c:
            assert c is old
            assert c.recv(100) == b"news\n"
        assert heard.reasons == []

    def test_closing_is_noticed_after_bytes_were_left_alone(self, server, make_pool, heard):
        pool = make_pool(watch_idle="closed", leak_threshold=0.1)  # ticks often
        session = server.session_of(held(pool))

        session.say(b"news\n")
        some_turns()
        session.hang_up()

        eventually(lambda: heard.reasons == ["lost"])

    def test_without_watching_an_ended_connection_is_handed_out(self, server, make_pool, heard):
        pool = make_pool(watch_idle=False)
        old = held(pool)

        server.session_of(old).hang_up()
        eventually(lambda: is_readable(old))
        some_turns()

        with pool.get() as c:
            assert c is old
            pool.discard(c)

    def test_all_connections_are_watched_not_only_the_next_one(self, server, make_pool, heard):
        pool = make_pool(8)

        eventually(lambda: server.at_once == 8)
        for session in list(server.sessions):
            session.hang_up()
        eventually(lambda: len(heard.reasons) == 8 and pool.stats().idle == 8)

        assert heard.reasons == ["lost"] * 8
        with pool.get() as a, pool.get() as b:
            assert ask(a, b"a") == b"a ok\n"
            assert ask(b, b"b") == b"b ok\n"

    def test_a_peer_that_restarts_costs_nobody_an_error(self, server, make_pool, heard):
        pool = make_pool(4)
        for lost in range(4, 44, 4):
            eventually(lambda: server.at_once == 4)
            for session in list(server.sessions):
                if not session.ended:
                    session.hang_up()
            eventually(lambda lost=lost: pool.stats().closes["lost"] == lost)
            eventually(lambda: pool.stats().idle == 4)
            with pool.get() as a, pool.get() as b, pool.get() as c, pool.get() as d:
                for connection in (a, b, c, d):
                    assert ask(connection, b"hello") == b"hello ok\n"
        assert pool.stats().closes["broken"] == 0


class TestActive:
    @pytest.mark.parametrize("end", ["hang_up", "reset"])
    def test_a_connection_that_the_peer_ended_in_the_block_does_not_go_back(
        self, server, make_pool, heard, end
    ):
        pool = make_pool()
        with pool.get() as c:
            session = server.session_of(c)
            getattr(session, end)()
            eventually(lambda: is_readable(c))
            some_turns(3)

        assert heard.reasons == ["lost"]
        eventually(lambda: pool.stats().idle == 1)
        assert asked(pool, b"hello") == b"hello ok\n"

    def test_what_is_left_unread_at_a_clean_return_is_read_by_nobody(
        self, server, make_pool, heard
    ):
        pool = make_pool()
        with pool.get() as c:
            c.sendall(b"one\ntwo\n")
            assert c.recv(3) == b"one"

        assert asked(pool, b"mine") == b"mine ok\n"
        assert heard.reasons == ["lost"]

    def test_that_holds_again_and_again(self, server, make_pool, heard):
        pool = make_pool(2)
        for n in range(1, 11):
            assert asked(pool, b"first") == b"first ok\n"
            with pool.get() as c:
                c.sendall(b"%d\nx\n" % n)
                assert c.recv(len(str(n))) == b"%d" % n
            assert len(heard.reasons) == n

    def test_a_late_answer_after_a_swallowed_timeout_is_read_by_nobody(
        self, server, make_pool, heard
    ):
        pool = make_pool()
        with pool.get() as c:
            session = server.session_of(c)
            with gevent.Timeout(0.002, False):
                ask(c, b"mute")  # nothing comes in time
        session.say(b"late\n")
        eventually(lambda: heard.reasons == ["lost"])

        assert asked(pool, b"mine") == b"mine ok\n"

    def test_a_late_answer_after_an_error_of_somebody_else_is_read_by_nobody(
        self, server, make_pool, heard
    ):
        pool = make_pool(2)
        with pytest.raises(KeyError):
            with pool.get() as doubtful:
                doubtful.sendall(b"question\n")
                raise KeyError

        with pool.get() as c:
            assert c is not doubtful
            assert ask(c, b"mine") == b"mine ok\n"
        eventually(lambda: heard.reasons == ["lost"])

    def test_an_answer_read_in_full_costs_no_connection(self, server, make_pool, heard):
        pool = make_pool()
        for n in range(50):
            with pool.get() as c:
                assert ask(c, b"%d" % n) == b"%d ok\n" % n
        some_turns(3)
        assert heard.reasons == []
        assert len(server.sessions) == 1


class TestClosedByItsUser:
    def test_a_socket_closed_inside_the_block_is_replaced(self, server, make_pool, heard):
        pool = make_pool()
        with pool.get() as c:
            c.close()
        assert heard.reasons == ["discarded"]
        assert asked(pool, b"hello") == b"hello ok\n"

    def test_so_it_is_where_its_number_was_reused_at_once(self, server, make_pool, heard, means):
        pool = make_pool()
        with pool.get() as c:
            number = c.fileno()
            c.close()
            stranger, other = constants.socketpair()
            # gevent puts off the close of what a loop watcher watches.
            assert means == "loop" or number in (stranger.fileno(), other.fileno())

        assert heard.reasons == ["discarded"]
        eventually(lambda: pool.stats().idle == 1)
        assert asked(pool, b"hello") == b"hello ok\n"
        stranger.sendall(b"untouched")
        assert other.recv(100) == b"untouched"
        stranger.close()
        other.close()

    def test_so_it_is_where_only_the_hook_knows_the_descriptor(
        self, server, make_pool, heard, means
    ):
        if means == "loop":
            pytest.skip("gevent puts off the close of what a loop watcher watches")

        class Hidden:
            def __init__(self):
                self.hidden = server.connect()

            def close(self):
                self.hidden.close()

        class HiddenPool(ConnectionPool):
            def _new_connection(self):
                return Hidden()

            def _fileno(self, c):
                return c.hidden.fileno()

        pool = make_pool(kind=HiddenPool)
        with pool.get() as c:
            c.hidden.close()
            stranger, other = constants.socketpair()

        eventually(lambda: heard.reasons == ["discarded"])
        stranger.close()
        other.close()

    def test_so_it_is_where_a_closed_connection_refuses_to_be_asked(self, server, make_pool, heard):
        class Refusing(Wrapper):
            def fileno(self):
                if self.sock.fileno() < 0:
                    raise ValueError("closed")
                return self.sock.fileno()

        pool = make_pool(connect=lambda: Refusing(server.connect()))
        for _ in range(3):  # no first use: those are looked at more closely
            held(pool)
        with pool.get() as c:
            c.close()
        assert heard.reasons == ["discarded"]
        assert pool.stats().active == 0

    def test_a_connection_that_reconnected_by_itself_is_not_trusted(self, server, make_pool, heard):
        pool = make_pool(connect=lambda: Wrapper(server.connect()))
        with pool.get() as c:
            c.sock.close()
            spare = constants.socketpair()  # takes the old number
            c.sock = server.connect()
        assert heard.reasons == ["discarded"]
        for end in spare:
            end.close()


class TestDescriptors:
    def test_the_socket_of_a_wrapper_is_watched(self, server, make_pool, heard):
        pool = make_pool(connect=lambda: Wrapper(server.connect()))

        server.session_of(held(pool).sock).hang_up()

        eventually(lambda: heard.reasons == ["lost"])

    @pytest.mark.parametrize(
        "answer", [None, -1, True, "7", 3.5, 10**9, object()], ids=lambda a: type(a).__name__
    )
    def test_a_hook_that_answers_nonsense_means_no_descriptor(self, server, make_pool, answer):
        class OddPool(ConnectionPool):
            def _new_connection(self):
                return server.connect()

            def _fileno(self, c):
                return answer

        pool = make_pool(2, kind=OddPool)
        for _ in range(3):
            with pool.get() as c:
                assert ask(c, b"hello") == b"hello ok\n"
        assert pool.stats().idle == 2

    @pytest.mark.parametrize("error", [ValueError, SystemExit, gevent.GreenletExit])
    def test_a_hook_that_raises_means_no_descriptor(self, server, make_pool, error):
        class RaisingPool(ConnectionPool):
            def _new_connection(self):
                return server.connect()

            def _fileno(self, c):
                raise error

        pool = make_pool(2, kind=RaisingPool)
        for _ in range(3):
            with pool.get() as c:
                assert ask(c, b"hello") == b"hello ok\n"
        assert pool.stats().idle == 2

    @pytest.mark.parametrize("connection", [0, "", [], {}, object()], ids=repr)
    def test_a_black_box_serves_unwatched(self, make_pool, connection):
        pool = make_pool(connect=lambda: connection)
        for _ in range(3):
            assert held(pool) is connection

    def test_two_wrappers_of_one_descriptor_do_not_disturb_each_other(
        self, server, make_pool, heard
    ):
        shared = server.connect()

        class Borrower:
            def fileno(self):
                return shared.fileno()

        pool = make_pool(2, connect=Borrower)
        with pool.get() as a, pool.get() as b:
            assert a is not b
        assert pool.stats().idle == 2
        with pool.get() as a, pool.get() as b:
            pool.discard(a)
            pool.discard(b)
        eventually(lambda: pool.stats().idle == 2)
        pool.close()
        assert ask(shared, b"hello") == b"hello ok\n"
        shared.close()

    def test_a_pipe_whose_writer_is_gone_is_replaced(self, make_pool, heard):
        writers = []

        def connect():
            reader, writer = os.pipe()
            writers.append(writer)
            return os.fdopen(reader, "rb")

        pool = make_pool(connect=connect)
        os.close(writers[0])

        eventually(lambda: heard.reasons == ["lost"] and pool.stats().idle == 1)
        os.close(writers[1])

    def test_a_regular_file_is_always_readable_and_stays(self, make_pool, heard, tmp_path):
        path = tmp_path / "data"
        path.write_bytes(b"always readable")
        pool = make_pool(connect=lambda: path.open("rb"))
        for _ in range(3):
            with pool.get() as c:
                assert c.read(1) == b"a"
                c.seek(0)
        some_turns()
        assert heard.reasons == []

    def test_no_descriptor_is_left_after_a_close(self, server, make_pool):
        before = open_descriptors()
        pool = make_pool(5)
        for n in range(5):
            with pool.get() as c:
                ask(c, b"hello")
                if n % 2:
                    pool.discard(c)
        pool.drain()
        eventually(lambda: pool.stats().idle == 5)
        pool.close()
        eventually(lambda: all(s.ended for s in server.sessions))
        assert open_descriptors() == before

    def test_one_that_cannot_be_shut_leaves_no_descriptor_behind(self, make_pool, heard):
        def connect():
            reader, writer = os.pipe()
            writers.append(writer)
            return os.fdopen(reader, "rb")

        class RudePool(ConnectionPool):
            def _close_connection(self, c, reason):
                c.close()
                raise ValueError

        class HangingPool(ConnectionPool):
            def _close_connection(self, c, reason):
                try:
                    gevent.sleep(60)
                finally:
                    c.close()

        for kind in (RudePool, HangingPool):
            writers = []
            before = open_descriptors()
            pool = make_pool(kind=kind, connect=connect, close_timeout=0.01)
            pool.close()
            for writer in writers:
                os.close(writer)
            eventually(lambda before=before: open_descriptors() == before)

    def test_connections_come_and_go_and_the_watched_ones_stay_as_many(
        self, server, make_pool, means
    ):
        before = watched_by_epoll()
        pool = make_pool(3)
        full = watched_by_epoll() - len(server.sessions)
        for _ in range(20):
            with pool.get() as c:
                pool.discard(c)
            eventually(lambda: pool.stats().idle == 3)
        eventually(lambda: sum(not s.ended for s in server.sessions) == 3)
        some_turns(3)
        assert watched_by_epoll() - 3 <= full
        if means == "epoll":
            assert full >= before + 3

    def test_a_connection_that_left_for_good_is_not_watched_any_more(
        self, server, make_pool, means
    ):
        pool = make_pool(min_size=0)
        with pool.get() as c:
            some_turns(3)
            watched = watched_by_epoll()
            pool.detach(c)
            if means == "epoll":
                assert watched_by_epoll() == watched - 1
        assert ask(c, b"hello") == b"hello ok\n"
        c.close()

    def test_a_connection_that_comes_back_after_the_close_is_closed_in_peace(
        self, server, make_pool, heard
    ):
        pool = make_pool(2)
        with pool.get() as c:
            session = server.session_of(c)
            assert pool.close(timeout=0) is False
            assert ask(c, b"hello") == b"hello ok\n"
        eventually(lambda: session.ended)
        assert pool.close() is True
        assert heard.reasons == ["closed", "closed"]

    def test_where_no_descriptor_is_left_for_watching_connections_serve_unwatched(
        self, server, make_pool, monkeypatch, means
    ):
        if means == "loop":
            pytest.skip("takes no descriptor")

        def exhausted():
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(watching, "_epoll", exhausted)
        pool = make_pool(2)
        for _ in range(3):
            with pool.get() as c:
                assert ask(c, b"hello") == b"hello ok\n"
        assert pool.stats().idle == 2


def test_a_number_that_is_free_again_is_left_alone(server, make_pool, heard):
    """Sockets of the standard library are closed at once; libev aborts if it meets such a one."""

    def connect():
        sock = RawSocket()
        sock.connect(server.address)
        return sock

    pool = make_pool(connect=connect)
    for _ in range(3):
        with pool.get(timeout=10) as c:
            c.sendall(b"hello\n")
            socket.wait_read(c.fileno())
            assert c.recv(100) == b"hello ok\n"
            some_turns(3)
            c.close()
    assert heard.reasons == ["discarded"] * 3


def test_an_end_is_noticed_without_waiting_for_a_tick(server, make_pool, heard, monkeypatch):
    monkeypatch.setattr(LoopWatcher, "refresh", lambda watcher: None)
    pool = make_pool(watch_idle="closed")
    for _ in range(3):
        with pool.get() as c:
            session = server.session_of(c)
            assert ask(c, b"hello") == b"hello ok\n"
            some_turns(3)
    session.hang_up()
    eventually(lambda: heard.reasons == ["lost"])


class TestSystemsThatTellLess:
    @pytest.fixture(autouse=True)
    def no_hang_up_told(self, monkeypatch):
        monkeypatch.setattr(watching, "_TELLS_HANG_UP", False)
        monkeypatch.setattr(watching, "_HUNG_UP", select.POLLHUP | select.POLLERR)

    def test_a_half_closed_connection_is_told_from_one_with_news(self, server, make_pool, heard):
        pool = make_pool(watch_idle="closed")
        session = server.session_of(held(pool))
        session.say(b"news\n")
        some_turns()
        assert heard.reasons == []
        with pool.get() as c:
            assert c.recv(100) == b"news\n"
        session.half_close()
        eventually(lambda: heard.reasons == ["lost"])


def test_a_connection_in_use_does_not_make_the_loop_spin(server, make_pool):
    pool = make_pool()
    turns = 0

    def count():
        nonlocal turns
        turns += 1

    counter = gevent.get_hub().loop.check(ref=False)
    with pool.get() as c:
        server.session_of(c).say(b"unread\n")
        eventually(lambda: is_readable(c))
        counter.start(count)
        gevent.sleep(0.1)
        counter.stop()
        counter.close()
    assert turns < 40


def test_nobody_waits_for_the_watching(server, make_pool):
    """An acquire that does not wait switches to nobody, whatever the kernel has to tell."""
    pool = make_pool()
    server.session_of(held(pool)).say(b"x")
    others = []
    helper = gevent.spawn(others.append, "ran")
    try:
        pool.release(pool.acquire(timeout=0))
    except PoolTimeout:
        pass
    assert others == []
    helper.join()


def test_servers_of_these_tests_see_an_end(server):
    assert isinstance(server, Server)
    client = socket.create_connection(server.address)
    session = server.session_of(client)
    client.close()
    eventually(lambda: session.ended)


def test_an_answer_does_not_make_returns_careful_for_ever(server, make_pool):
    pool = make_pool()
    for number in range(3):
        with pool.get() as c:
            assert ask(c, b"hello") == b"hello ok\n"
            some_turns(3)  # the watcher hears of the bytes, too
            (record,) = pool._geventconnpool.state.books.slots.values()
            assert not record.plain, "so this return looks before it shelves"
        assert record.plain, f"return {number} has looked: the next one need not"
