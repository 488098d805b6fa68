"""The fault proxy: each fault as a plain client sees it, and nothing left when it is over."""

from __future__ import annotations

import contextlib
import errno
import random
import socket as constants

import gevent
import pytest
from gevent import socket
from loopback import Server, ask, eventually, open_descriptors, some_turns

from geventconnpool import clock
from geventconnpool.testing.proxy import _UNDER_WAY, FaultProxy


@pytest.fixture
def proxy(server):
    with FaultProxy(server.address) as proxy:
        yield proxy


@pytest.fixture
def connect(proxy):
    """Makes clients with a bound on each operation, and closes them in the end."""
    with contextlib.ExitStack() as block:

        def connect():
            return block.enter_context(socket.create_connection(proxy.address, timeout=10))

        yield connect


def read_all(sock):
    """What comes until the end."""
    parts = []
    while data := sock.recv(4096):
        parts.append(data)
    return b"".join(parts)


def hears_nothing(sock):
    """Whether nothing comes although there is time for it."""
    sock.settimeout(0.05)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(10)
    return False


def session_behind(server):
    """The first client, as the server sees it."""
    eventually(lambda: server.sessions, "accepted by the server")
    return server.sessions[0]


def test_without_a_fault_it_passes_everything_on(server, proxy, connect):
    c = connect()

    assert ask(c, b"hello") == b"hello ok\n"

    data = random.Random(1).randbytes(5_000_000)
    gevent.spawn(session_behind(server).say, data)
    received = bytearray()
    while len(received) < len(data):
        received += c.recv(1 << 20)
    assert received == data

    reader = gevent.spawn(read_all, c)  # the server answers whatever comes
    c.sendall(data)
    c.shutdown(constants.SHUT_WR)
    reader.join()
    assert server.sessions[0].received == b"hello\n" + data


def test_a_client_that_closes_is_heard_by_the_server(server, proxy, connect):
    c = connect()
    ask(c, b"hello")

    c.close()

    eventually(lambda: server.sessions[0].ended)
    eventually(lambda: proxy.open == [])


def test_a_server_that_closes_is_heard_by_the_client(server, proxy, connect):
    c = connect()
    ask(c, b"hello")

    session_behind(server).hang_up()

    assert c.recv(1) == b""
    c.close()
    eventually(lambda: proxy._links == [])


def test_a_reset_is_passed_on_as_one_both_ways(server, proxy, connect):
    c = connect()
    ask(c, b"hello")
    session_behind(server).reset()
    with pytest.raises(ConnectionResetError):
        c.recv(1)

    other = connect()
    ask(other, b"hello")
    other.setsockopt(constants.SOL_SOCKET, constants.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    other.close()
    eventually(lambda: server.sessions[1].ended)
    eventually(lambda: proxy._links == [])


class TestLatency:
    @pytest.mark.parametrize("way", ["to_server", "to_client"])
    def test_bytes_are_so_long_under_way(self, proxy, connect, way):
        c = connect()
        ask(c, b"hello")
        getattr(proxy, way).latency = 0.1

        began = clock.now()
        assert ask(c, b"hello") == b"hello ok\n"

        assert clock.now() - began >= 0.1

    def test_the_end_is_so_long_under_way_too(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")
        proxy.to_client.latency = 0.1

        began = clock.now()
        session_behind(server).hang_up()
        assert c.recv(1) == b""

        assert clock.now() - began >= 0.1

    def test_what_is_sent_later_does_not_wait_for_what_was_sent_before(self, proxy, connect):
        """Ten questions, one after the other in short time, are under way together."""
        c = connect()
        ask(c, b"hello")
        proxy.to_server.latency = 1.0
        began = clock.now()
        for number in range(10):
            c.sendall(b"%d\n" % number)
            some_turns(3)

        answers = b""
        while answers.count(b"\n") < 10:
            answers += c.recv(4096)

        assert answers == b"".join(b"%d ok\n" % number for number in range(10))
        assert clock.now() - began < 8  # one after the other it would be 10

    def test_it_can_be_taken_away_again(self, proxy, connect):
        c = connect()
        proxy.to_client.latency = 3600
        proxy.to_client.latency = 0
        assert ask(c, b"hello") == b"hello ok\n"


class TestSlices:
    @pytest.mark.parametrize("size", [1, 3, 4, 100])
    def test_no_more_than_so_many_bytes_come_at_a_time(self, proxy, connect, size):
        c = connect()
        ask(c, b"hello")
        proxy.to_client.slice_size = size
        proxy.to_client.pause = 0.01

        c.sendall(b"a longer line\n")
        parts = []
        while sum(map(len, parts)) < len(b"a longer line ok\n"):
            parts.append(c.recv(4096))

        assert b"".join(parts) == b"a longer line ok\n"
        # Slices can arrive together where the reader is slow, but never in larger numbers.
        assert len(parts) > 1 or size == 100

    def test_the_pause_is_between_two_slices(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")
        proxy.to_server.slice_size = 2
        proxy.to_server.pause = 0.03

        began = clock.now()
        c.sendall(b"mute 89\n")
        eventually(lambda: server.sessions[0].received == b"hello\nmute 89\n")

        assert clock.now() - began >= 3 * 0.03

    def test_a_slow_answer_comes_at_once_when_the_fault_is_over(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")
        proxy.to_client.slice_size = 1
        proxy.to_client.pause = 0.01
        session_behind(server).say(b"x" * 5000)
        c.recv(1)

        proxy.heal()
        session_behind(server).hang_up()

        assert len(read_all(c)) == 4999


class TestBlackHole:
    def test_nothing_comes_through_until_it_is_over(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")
        proxy.black_hole = True
        assert proxy.black_hole

        c.sendall(b"anybody\n")
        assert hears_nothing(c)
        assert session_behind(server).received == b"hello\n"

        proxy.black_hole = False
        assert c.recv(100) == b"anybody ok\n"

    @pytest.mark.parametrize("way", ["to_server", "to_client"])
    def test_one_way_alone(self, server, proxy, connect, way):
        c = connect()
        ask(c, b"hello")
        getattr(proxy, way).black_hole = True
        assert not proxy.black_hole

        session = session_behind(server)
        session.say(b"news\n")
        c.sendall(b"mute\n")

        if way == "to_server":
            assert c.recv(100) == b"news\n"
            assert hears_nothing(c)
            assert session.received == b"hello\n"
        else:
            eventually(lambda: session.received == b"hello\nmute\n")
            assert hears_nothing(c)

    def test_an_end_does_not_come_through_either(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")
        proxy.black_hole = True

        session_behind(server).hang_up()
        assert hears_nothing(c)

        proxy.black_hole = False
        assert c.recv(1) == b""

    def test_nor_does_a_reset(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")
        proxy.to_client.black_hole = True

        session_behind(server).reset()
        assert hears_nothing(c)

        proxy.heal()
        with pytest.raises(ConnectionResetError):
            c.recv(1)

    def test_connects_succeed_and_hear_nothing(self, server, proxy, connect):
        proxy.black_hole = True
        c = connect()
        c.sendall(b"hello\n")
        assert hears_nothing(c)

    def test_a_client_that_gave_up_is_not_counted_though_the_server_cannot_know(
        self, server, proxy, connect
    ):
        c = connect()
        ask(c, b"hello")
        proxy.black_hole = True

        c.close()

        eventually(lambda: proxy.open == [])
        some_turns()
        assert not session_behind(server).ended
        proxy.heal()
        eventually(lambda: session_behind(server).ended)

    def test_who_sends_much_blocks_in_the_end(self, proxy, connect):
        c = connect()
        proxy.black_hole = True
        c.settimeout(0.3)
        with pytest.raises(TimeoutError):
            c.sendall(bytes(100_000_000))


class TestEnds:
    def test_cut_resets_both_sides(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")

        assert proxy.cut() == 1

        with pytest.raises(ConnectionResetError):
            c.recv(1)
        eventually(lambda: session_behind(server).ended)
        assert proxy.open == []

    def test_cut_wakes_who_waits_for_an_answer(self, proxy, connect):
        c = connect()
        ask(c, b"hello")
        gevent.spawn_later(0.01, proxy.cut)
        with pytest.raises(ConnectionResetError):
            ask(c, b"mute")

    def test_cut_of_one_leaves_the_others_alone(self, proxy, connect):
        a, b, c = (connect() for _ in range(3))
        for each in (a, b, c):
            ask(each, b"hello")
        assert proxy.open == [each.getsockname() for each in (a, b, c)]

        assert proxy.cut(b.getsockname()) == 1
        assert proxy.cut(b.getsockname()) == 0

        with pytest.raises(ConnectionResetError):
            b.recv(1)
        assert ask(a, b"hello") == ask(c, b"hello") == b"hello ok\n"
        assert proxy.open == [each.getsockname() for each in (a, c)]

    def test_hang_up_ends_both_ways_behind_what_is_under_way(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")
        proxy.to_client.latency = 0.1
        session_behind(server).say(b"last words")
        room = proxy._links[0].flows[1]._room
        eventually(lambda: room.counter == _UNDER_WAY - 2, "taken by the proxy, which reads on")
        proxy.to_client.latency = 0

        assert proxy.hang_up() == 1

        assert read_all(c) == b"last words"
        eventually(lambda: session_behind(server).ended)
        eventually(lambda: proxy._links == [])

    def test_hang_up_on_the_client_alone_is_a_half_close(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")
        other = connect()
        ask(other, b"hello")

        assert proxy.hang_up(c.getsockname(), way=proxy.to_client) == 1

        assert c.recv(1) == b""
        c.sendall(b"mute: still talking\n")
        eventually(lambda: b"still talking" in server.sessions[0].received)
        assert ask(other, b"hello") == b"hello ok\n"
        c.close()
        eventually(lambda: server.sessions[0].ended)
        eventually(lambda: proxy.open == [other.getsockname()])

    def test_hang_up_on_the_server_alone_is_a_half_close(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")

        proxy.hang_up(way=proxy.to_server)

        eventually(lambda: session_behind(server).ended)
        assert c.recv(1) == b"", "the server closes when it hears of the end"

    def test_a_receiver_that_is_gone_is_the_end_for_the_sender(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")
        session = session_behind(server)
        c.close()
        with pytest.raises(OSError):
            while True:
                session.say(b"is anybody there?" * 1000)
                some_turns(1)

    def test_an_end_that_overtakes_a_broken_way_is_the_end_of_both(self, server, proxy, connect):
        c = connect()
        ask(c, b"hello")
        proxy.to_client.black_hole = True
        session_behind(server).hang_up()
        some_turns()
        c.setsockopt(constants.IPPROTO_TCP, constants.TCP_NODELAY, 1)
        _, back = proxy._links[0].flows
        while back._due.empty():  # the server's host answers with a reset
            c.sendall(b"anybody\n")
            some_turns(3)

        proxy.heal()

        assert c.recv(1) == b""
        eventually(lambda: proxy._links == [])


class TestAccepting:
    def test_hang_up_on_accept(self, server, proxy, connect):
        old = connect()
        ask(old, b"hello")
        proxy.hang_up_on_accept = True

        assert connect().recv(1) == b""

        assert ask(old, b"hello") == b"hello ok\n"
        assert (proxy.accepts, len(proxy.open), len(server.sessions)) == (2, 1, 1)
        proxy.heal()
        assert ask(connect(), b"hello") == b"hello ok\n"

    def test_down_refuses_at_once_and_leaves_old_connections_alone(self, proxy, connect):
        old = connect()
        ask(old, b"hello")
        for _ in range(3):
            proxy.up = False
            assert not proxy.up
            with pytest.raises(ConnectionRefusedError):
                connect()
            assert ask(old, b"hello") == b"hello ok\n"

            proxy.up = True
            proxy.up = True
            assert ask(connect(), b"hello") == b"hello ok\n"

    def test_down_and_up_in_one_turn(self, proxy, connect):
        proxy.up = False
        proxy.up = True
        assert ask(connect(), b"hello") == b"hello ok\n"

    def test_nobody_else_gets_the_port_meanwhile(self, proxy):
        proxy.up = False
        with socket.socket() as other:
            with pytest.raises(OSError) as caught:
                other.bind(proxy.address)
        assert caught.value.errno == errno.EADDRINUSE

    def test_a_server_that_is_down_resets_the_client(self, server, proxy, connect):
        server.stop()
        with pytest.raises(ConnectionResetError):
            connect().recv(1)
        eventually(lambda: proxy.open == [])

    def test_a_new_target_is_for_new_connections(self, server, proxy, connect):
        old = connect()
        ask(old, b"hello")
        other = Server()
        proxy.target = other.address

        assert ask(connect(), b"hello") == ask(old, b"hello") == b"hello ok\n"

        assert (len(server.sessions), len(other.sessions)) == (1, 1)
        other.stop()


class TestCounts:
    def test_now_ever_and_most(self, proxy, connect):
        clients = [connect() for _ in range(3)]
        eventually(lambda: len(proxy.open) == 3)
        for c in clients:
            c.close()
        eventually(lambda: proxy.open == [])
        connect()
        eventually(lambda: len(proxy.open) == 1)
        assert (proxy.accepts, proxy.most_open) == (4, 3)

    def test_one_that_was_ended_before_the_next_one_came_does_not_count(self, proxy, connect):
        """The order of the kernel counts, not the one in which the proxy gets to know."""
        for _ in range(200):
            c = connect()
            c.shutdown(constants.SHUT_RDWR)
            c.close()
        eventually(lambda: proxy.accepts == 200)
        assert proxy.most_open == 1

    def test_unread_bytes_do_not_hide_an_end(self, proxy, connect):
        proxy.black_hole = True
        c = connect()
        c.sendall(bytes(300_000))
        c.shutdown(constants.SHUT_WR)
        eventually(lambda: proxy.open == [])

    def test_the_repr_is_a_diagnosis(self, server, proxy, connect):
        connect()
        eventually(lambda: len(proxy.open) == 1)
        (_, port), (_, target) = proxy.address, server.address
        where = f"127.0.0.1:{port} to 127.0.0.1:{target}"
        assert repr(proxy) == f"<FaultProxy {where}: up, 1 open, 1 accepts>"
        proxy.up = False
        assert repr(proxy) == f"<FaultProxy {where}: down, 1 open, 1 accepts>"


def test_an_end_leaves_nothing_behind_whatever_is_under_way(server):
    socket.create_connection(server.address).close()  # the resolver has its threads now
    eventually(lambda: server.sessions and server.sessions[0].ended)
    before = open_descriptors()
    with FaultProxy(server.address) as proxy:
        clients = [socket.create_connection(proxy.address) for _ in range(8)]
        for c in clients[:6]:
            ask(c, b"hello")
        proxy.to_server.latency = 3600
        clients[0].sendall(b"late\n")
        proxy.to_client.black_hole = True
        server.sessions[2].say(b"swallowed")
        proxy.cut(clients[2].getsockname())
        clients[3].close()
        proxy.hang_up(clients[4].getsockname())
        some_turns(3)
        clients.append(socket.create_connection(proxy.address))
        greenlets = list(proxy._greenlets)

    assert greenlets
    assert all(each.ready() for each in greenlets)
    for c in clients:
        c.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(proxy.address)
    eventually(lambda: all(session.ended for session in server.sessions))
    eventually(lambda: open_descriptors() == before, "no descriptor is left")
    proxy.close()  # once more does no harm


def test_leaving_by_an_exception_ends_it_too(server):
    with pytest.raises(KeyError), FaultProxy(server.address) as proxy:
        raise KeyError
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(proxy.address)


def test_tls_goes_through_untouched(tls_server, trusting):
    with FaultProxy(tls_server.address) as proxy:
        proxy.to_client.slice_size = proxy.to_server.slice_size = 7
        raw = socket.create_connection(proxy.address)
        with trusting.wrap_socket(raw, server_hostname="localhost") as c:
            assert ask(c, b"hello") == b"hello ok\n"
