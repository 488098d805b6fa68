"""Fake peers: they answer in order, fail on demand, and notice what clients do wrong."""

from __future__ import annotations

import errno

import gevent
import pytest
from gevent.exceptions import LoopExit

from geventconnpool import Event
from geventconnpool.testing import FakeConnection, FakePeer, RecordingListener
from geventconnpool.testing.fakes import SecondHalf


@pytest.fixture
def peer(sim):
    return FakePeer(latency=1.0)


@pytest.fixture
def connection(peer):
    return peer.connect()


class TestAnswers:
    def test_answer_is_the_question_after_the_latency(self, sim, connection):
        before = sim.now

        assert connection.request("a") == "a"

        assert sim.now == before + 1
        assert connection.requests == 1

    def test_answers_come_in_the_order_of_the_questions(self, sim, connection):
        for token in "abc":
            connection.send(token)

        assert connection.unread == 3
        assert [connection.recv() for _ in range(3)] == ["a", "b", "c"]
        assert sim.now == 2

    def test_half_done_exchange_gives_the_next_user_the_wrong_answer(self, connection):
        with gevent.Timeout(0.5, False):
            connection.request("mine")

        assert connection.unread == 1
        assert connection.request("yours") == "mine"

    def test_killed_exchange_leaves_its_answer_behind(self, sim, connection):
        victim = sim.spawn(connection.request, "mine")
        sim.settle()

        victim.kill()

        assert connection.request("yours") == "mine"

    def test_answer_in_halves_is_whole_in_the_end(self, sim, peer, connection):
        peer.answer_gap = 0.5
        before = sim.now

        assert connection.request("a") == "a"

        assert sim.now == before + 1.5
        assert connection.unread == 0

    def test_half_an_answer_stays_behind_when_its_reader_is_interrupted(self, peer, connection):
        peer.answer_gap = 0.5
        with gevent.Timeout(1.2, False):
            connection.request("mine")
        peer.answer_gap = 0

        assert connection.request("yours") == SecondHalf("mine")

    def test_cut_in_the_middle_of_an_answer_is_a_reset(self, sim, peer, connection):
        peer.answer_gap = 0.5
        gevent.spawn_later(1.2, peer.cut, connection)

        with pytest.raises(ConnectionResetError):
            connection.request("mine")
        assert sim.now == 2.2

    def test_times_that_floats_cannot_hold_do_no_harm(self, sim):
        peer = FakePeer(latency=0.1)
        connection = peer.connect()
        for n in range(1000):
            gevent.sleep(0.7 / 3)
            assert connection.request(n) == n

    def test_peer_that_speaks_unasked(self, sim, peer, connection):
        reader = sim.spawn(connection.recv)
        gevent.spawn_later(3, peer.speak, connection, "news")

        assert reader.get() == "news"
        assert sim.now == 4

    def test_reading_what_nobody_asked_for_waits_for_ever(self, connection):
        with pytest.raises(LoopExit):
            connection.recv()

    def test_ping(self, peer, connection):
        connection.ping()

        assert peer.pings == 1

    def test_ping_that_gets_something_else_is_an_error(self, peer, connection):
        connection.send("left behind")

        with pytest.raises(OSError, match="a ping got 'left behind'") as caught:
            connection.ping()

        assert caught.value.errno == errno.EPROTO

    def test_works_in_real_time_too(self):
        peer = FakePeer(latency=0.001)

        connection = peer.connect()

        assert connection.request("x") == "x"


class TestConnects:
    def test_takes_the_latency_and_is_counted(self, sim, peer):
        connections = [sim.spawn(peer.connect) for _ in range(3)]
        sim.settle()
        assert (peer.connects, peer.connecting, peer.accepts) == (3, 3, 0)

        gevent.joinall(connections)

        assert peer.open == {c.value for c in connections}
        assert peer.connect_times == [0, 0, 0]
        assert (peer.accepts, peer.most_connecting, peer.connecting) == (3, 3, 0)
        assert sim.now == 1

    def test_without_latency_nothing_switches(self, sim):
        peer = FakePeer(latency=0)
        connection = peer.connect()
        assert connection.request("x") == "x"
        connection.close()

        assert sim.steps == 0

    def test_high_water_mark_stays(self, peer):
        connections = [peer.connect() for _ in range(3)]
        for connection in connections:
            connection.close()
        peer.connect()

        assert peer.most_open == 3
        assert len(peer.open) == 1

    def test_peer_that_is_down_refuses(self, sim, peer, connection):
        peer.down()

        with pytest.raises(ConnectionRefusedError):
            peer.connect()
        assert connection.cut
        assert peer.open == set()
        assert sim.now == 2

        peer.up = True
        peer.connect()

    def test_peer_that_only_refuses_keeps_what_it_has(self, peer, connection):
        peer.up = False

        with pytest.raises(ConnectionRefusedError):
            peer.connect()

        assert connection.request("x") == "x"

    def test_restart_cuts_and_comes_back(self, sim, peer, connection):
        peer.restart(downtime=5)
        assert not peer.up

        with pytest.raises(ConnectionRefusedError):
            peer.connect()
        with pytest.raises(ConnectionResetError):
            connection.request("x")
        sim.sleep(5)

        assert peer.up
        assert peer.connect().request("x") == "x"

    def test_restart_without_downtime(self, peer, connection):
        peer.restart()

        assert peer.up
        assert connection.cut

    def test_peer_that_hangs_up_on_accept(self, peer):
        peer.hang_up_on_accept = True

        connection = peer.connect()

        assert peer.open == set()
        assert (peer.accepts, peer.most_open) == (1, 1)
        with pytest.raises(ConnectionResetError):
            connection.request("x")

    def test_connections_of_a_class_of_ones_own(self, sim):
        class Odd(FakeConnection):
            __hash__ = None

            def __bool__(self):
                return False

        peer = FakePeer(connection_class=Odd)

        connection = peer.connect()
        connection.close()

        assert not connection
        assert peer.open == set()

    def test_connection_has_no_descriptor(self, connection):
        assert not hasattr(connection, "fileno")
        assert not hasattr(connection, "sock")

    def test_repr_is_a_picture(self, peer, connection):
        assert repr(peer) == "<FakePeer 'peer': up, 1 open, 1 connects>"
        assert repr(connection) == "<FakeConnection 1 to 'peer': open>"
        peer.down()
        assert repr(peer) == "<FakePeer 'peer': down, 0 open, 1 connects>"
        assert repr(connection) == "<FakeConnection 1 to 'peer': cut>"


class TestSilence:
    def test_black_hole_answers_nothing_until_it_is_over(self, sim, peer, connection):
        peer.black_hole = True
        asking = sim.spawn(connection.request, "x")
        connecting = sim.spawn(peer.connect)
        sim.advance(1000)
        assert not asking.ready()
        assert not connecting.ready()

        peer.black_hole = False
        sim.settle()

        assert asking.value == "x"
        assert connecting.ready()
        assert not peer.black_hole

    def test_silence_that_begins_while_an_answer_is_under_way(self, sim, peer, connection):
        asking = sim.spawn(connection.request, "x")
        sim.advance(0.5)
        peer.black_hole = True
        sim.advance(1000)

        assert not asking.ready()

    def test_cut_in_the_silence_is_noticed(self, sim, peer, connection):
        peer.black_hole = True
        asking = sim.spawn(connection.request, "x")
        sim.settle()

        peer.cut_all()

        with pytest.raises(ConnectionResetError):
            asking.get()
        sim.errors.clear()

    def test_close_does_not_wait_for_a_silent_peer_unless_polite(self, sim, peer, connection):
        other = peer.connect()
        peer.black_hole = True
        before = sim.now
        connection.close()
        assert sim.now == before

        peer.close_latency = 1
        with gevent.Timeout(5, False):
            other.close()
        assert sim.now == before + 5
        assert peer.open == set()

    def test_peer_that_is_silent_from_the_start(self, sim):
        peer = FakePeer(black_hole=True)

        with pytest.raises(gevent.Timeout), gevent.Timeout(10):
            peer.connect()

        assert peer.connecting == 0


class TestBreaking:
    def test_cut_wakes_who_waits(self, sim, peer, connection):
        gevent.spawn_later(0.25, peer.cut, connection)
        before = sim.now

        with pytest.raises(ConnectionResetError):
            connection.request("x")

        assert sim.now == before + 0.25

    def test_reset_comes_once_then_the_pipe_is_broken(self, peer, connection):
        peer.cut(connection)

        with pytest.raises(ConnectionResetError):
            connection.request("x")
        with pytest.raises(BrokenPipeError):
            connection.request("x")

    def test_fails_after_so_many_requests(self, sim):
        peer = FakePeer(fails_after=2)
        connection = peer.connect()
        connection.request(1)
        connection.request(2)

        with pytest.raises(ConnectionResetError):
            connection.request(3)

        assert peer.open == set()

    def test_two_readers_are_complained_of(self, sim, peer, connection):
        readers = [sim.spawn(connection.request, n) for n in range(2)]

        gevent.joinall(readers)

        assert peer.complaints == ["connection 1: two read from it at once"]
        assert sorted(r.value for r in readers) == [0, 1]

    def test_second_reader_whose_answer_was_taken_waits_on(self, sim, peer, connection):
        connection.send("only one")
        readers = [sim.spawn(connection.recv) for _ in range(2)]
        sim.advance(10)

        assert sum(r.ready() for r in readers) == 1

        peer.speak(connection, "another")
        sim.settle()
        assert {r.value for r in readers} == {"only one", "another"}


class TestClosing:
    def test_close_is_seen_by_the_peer(self, peer, connection):
        connection.close()

        assert connection.closed
        assert not connection.cut
        assert peer.open == set()
        assert peer.complaints == []
        assert repr(connection) == "<FakeConnection 1 to 'peer': closed>"

    def test_polite_close_takes_its_time(self, sim, peer, connection):
        peer.close_latency = 2
        closing = sim.spawn(connection.close)
        sim.advance(1)
        assert len(peer.open) == 1

        sim.advance(1)

        assert closing.ready()
        assert peer.open == set()

    def test_interrupted_close_closes(self, sim, peer, connection):
        peer.close_latency = 2
        closing = sim.spawn(connection.close)
        sim.settle()
        closing.kill()

        assert peer.open == set()

    def test_closing_twice_is_seen(self, peer, connection):
        connection.close()
        connection.close()

        assert connection.closes == 2
        assert peer.complaints == ["connection 1: closed 2 times"]

    def test_closing_what_was_cut_is_fine(self, sim, peer, connection):
        peer.close_latency = 2
        peer.cut(connection)
        before = sim.now

        connection.close()

        assert sim.now == before
        assert peer.complaints == []

    def test_use_after_close_is_seen(self, peer, connection):
        connection.close()

        with pytest.raises(OSError, match="is closed") as caught:
            connection.request("x")

        assert caught.value.errno == errno.EBADF
        assert peer.complaints == ["connection 1: send after close"]

    def test_close_under_its_user_wakes_him(self, sim, peer, connection):
        user = sim.spawn(connection.request, "x")
        sim.settle()

        connection.close()
        sim.settle()

        assert user.exception.errno == errno.EBADF
        assert peer.complaints == []
        sim.errors.clear()


class TestHolders:
    def test_one_holder_is_fine(self, peer, connection):
        with connection.taken_by("me"):
            assert connection.holder == "me"
        with connection.taken_by("you"):
            pass

        assert connection.holder is None
        assert peer.complaints == []

    def test_two_holders_are_one_too_many(self, peer, connection):
        with (
            connection.taken_by("me"),
            pytest.raises(AssertionError, match="held by 'me', and now by 'you'"),
            connection.taken_by("you"),
        ):
            pass

        assert peer.complaints == ["connection 1: in two hands"]


class TestRecordingListener:
    def test_keeps_events_in_order(self):
        listener = RecordingListener()
        events = [Event(kind, "pool-1") for kind in ("opened", "closed", "opened")]

        for event in events:
            listener(event)

        assert listener == events
        assert listener.kinds() == ["opened", "closed", "opened"]
        assert listener.of("opened") == [events[0], events[2]]
