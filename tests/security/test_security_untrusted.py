"""The recipes for peers that nobody trusts: bounded in memory and time, no stray words."""

from __future__ import annotations

import os
import struct
import tracemalloc

import gevent.event
import pytest
from gevent import socket
from security_peers import HOST, Peer, echo, echo_frames, eventually, reasons, stall
from security_recipes import TLS, UNTRUSTED, recipes, source_of

from geventconnpool import ConnectionPool

recipe = recipes(UNTRUSTED)
LINES, FRAMES = recipe.NumberedLines, recipe.NumberedFrames
KINDS = {"lines": (LINES, echo), "frames": (FRAMES, echo_frames)}

MUCH = 1_000_000
"""More bytes of memory than it takes to refuse anything."""


def frame(data):
    return struct.pack(">I", len(data)) + data


def said(kind, answer):
    return frame(answer) if kind is FRAMES else answer + b"\r\n"


@pytest.fixture
def question_pool(make_pool):
    def make(peer, kind=LINES, size=1, **options):
        address = peer.address if isinstance(peer, Peer) else peer
        return make_pool(recipe.QuestionPool, address, kind, size, **options)

    return make


@pytest.fixture
def pair():
    """A plain socket, and the peer's end of it."""
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def peak():
    """How many bytes more than at first were in use at once."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield lambda: tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()


def test_both_pages_show_the_same_reader():
    for name in "ProtocolError", "Lines":
        assert source_of(TLS, name) == source_of(UNTRUSTED, name)


class TestFloods:
    """From a peer in another process, which goes on as long as it is let."""

    def test_an_endless_line_is_refused_in_little_memory(self, flood, question_pool, peak):
        pool = question_pool(flood["endless_line"])
        with pytest.raises(recipe.ProtocolError, match="the line is too long"):
            recipe.ask(pool, b"hello", seconds=20)
        assert peak() < MUCH
        assert reasons(pool) == {"broken": 1}

    def test_so_is_a_length_bomb(self, flood, question_pool, peak):
        pool = question_pool(flood["length_bomb"], FRAMES)
        with pytest.raises(recipe.ProtocolError, match="the frame is too long"):
            recipe.ask(pool, b"hello", seconds=20)
        assert peak() < MUCH
        assert reasons(pool) == {"broken": 1}

    def test_a_length_takes_no_memory_before_the_bytes_have_come(self, flood, question_pool, peak):
        pool = question_pool(flood["long_frame"], FRAMES)
        with pytest.raises(recipe.TooSlow):
            recipe.ask(pool, b"hello", seconds=0.3)
        assert peak() < MUCH

    def test_endless_answers_are_refused(self, flood, question_pool, peak):
        pool = question_pool(flood["endless_answers"])
        with pytest.raises(recipe.ProtocolError, match="more than it was asked"):
            recipe.ask(pool, b"hello", seconds=20)
        assert peak() < MUCH
        assert reasons(pool) == {"broken": 1}

    def test_others_are_served_meanwhile(self, flood, question_pool, make_peer):
        honest = question_pool(make_peer(echo))
        pools = [question_pool(flood[name]) for name in ("endless_line", "endless_answers")]
        victims = [gevent.spawn(outcome, recipe.ask, pool, b"hello") for pool in pools * 5]
        assert [recipe.ask(honest, b"%d" % n) for n in range(20)] == [b"%d" % n for n in range(20)]
        gevent.joinall(victims, timeout=20)
        assert {victim.value for victim in victims} == {recipe.ProtocolError}


def outcome(action, *args):
    try:
        return action(*args)
    except Exception as error:
        return type(error)


def drip_for_ever(data=b"x"):
    def behave(visit):
        visit.sock.recv(100)
        visit.drip(data * 1_000_000)

    return behave


class TestSlowPeers:
    @pytest.mark.parametrize("kind", [LINES, FRAMES])
    @pytest.mark.parametrize("behave", [stall, drip_for_ever(b"\0\1")], ids=["silent", "drips"])
    def test_cannot_stretch_the_deadline(self, kind, behave, make_peer, question_pool):
        pool = question_pool(make_peer(behave), kind)
        with pytest.raises(recipe.TooSlow, match=r"no answer within 0\.3 s"):
            recipe.ask(pool, b"hello", seconds=0.3)
        assert reasons(pool) == {"broken": 1}

    def test_nor_by_not_listening(self, make_peer, question_pool):
        """What cannot be sent is bounded as what is not answered."""
        pool = question_pool(make_peer(lambda visit: gevent.sleep(100)), FRAMES)
        with pool.get() as c:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with pytest.raises(recipe.TooSlow):
            recipe.ask(pool, os.urandom(1000) * 1000, seconds=0.3)

    def test_nor_while_one_waits_for_a_connection(self, make_peer, question_pool):
        peer = make_peer(stall)
        pool = question_pool(peer)
        with pool.get(), pytest.raises(recipe.TooSlow):
            recipe.ask(pool, b"hello", seconds=0.2)
        assert pool.stats().waiting == 0

    @pytest.mark.parametrize(("kind", "behave"), KINDS.values(), ids=KINDS)
    def test_one_that_is_slow_but_in_time_is_served(self, kind, behave, make_peer, question_pool):
        def slow(visit):
            say, visit.say = visit.say, lambda data: visit.drip(data, 0.001)
            try:
                behave(visit)
            finally:
                visit.say = say

        pool = question_pool(make_peer(slow), kind)
        assert recipe.ask(pool, b"hello", seconds=20).upper() == b"HELLO"


LIARS = {
    "stray bytes after the answer": (LINES, b"1 HELLO\r\nx", "more than it was asked"),
    "a second answer": (LINES, b"1 HELLO\r\n2 BOB'S\r\n", "more than it was asked"),
    "the answer to another question": (LINES, b"0 BOB'S\r\n", "not to this question"),
    "a number that only begins alike": (LINES, b"11 BOB'S\r\n", "not to this question"),
    "an answer without a number": (LINES, b"BOB'S\r\n", "not to this question"),
    "an empty line": (LINES, b"\r\n", "not to this question"),
    "a line one byte too long": (LINES, b"1 " + b"x" * 4094 + b"\n", "the line is too long"),
    "half a line": (LINES, b"1 HEL", "hung up"),
    "nothing": (LINES, b"", "hung up"),
    "a frame for another question": (FRAMES, frame(b"0 BOB'S"), "not to this question"),
    "an empty frame": (FRAMES, frame(b""), "not to this question"),
    "a frame one byte too long": (FRAMES, struct.pack(">I", 2**20 + 1), "the frame is too long"),
    "the longest length": (FRAMES, b"\xff\xff\xff\xff", "the frame is too long"),
    "half a frame": (FRAMES, frame(b"1 HELLO")[:-3], "hung up"),
    "half a length": (FRAMES, b"\0\0", "hung up"),
}


@pytest.mark.parametrize(("kind", "answer", "reason"), LIARS.values(), ids=LIARS)
class TestLiars:
    @pytest.fixture
    def peer(self, make_peer, answer, reason):
        def behave(visit):
            visit.sock.recv(100)
            visit.say(answer)
            if reason != "hung up":
                visit.wait_for_end()

        return make_peer(behave)

    def test_are_refused_and_their_connection_is_not_handed_on(
        self, kind, answer, reason, peer, question_pool
    ):
        pool = question_pool(peer, kind)
        with pool.get() as first:
            pass
        with pytest.raises(OSError, match=reason):
            recipe.ask(pool, b"hello", seconds=20)
        with pool.get() as second:
            assert second is not first
        eventually(lambda: peer.visits[0].over, "the connection is closed")

    def test_the_pool_recovers_when_the_peer_turns_honest(
        self, kind, answer, reason, peer, question_pool
    ):
        pool = question_pool(peer, kind, size=2)
        with pytest.raises(OSError, match=reason):
            recipe.ask(pool, b"hello", seconds=20)
        peer.behave = echo if kind is LINES else echo_frames
        eventually(lambda: outcome(recipe.ask, pool, b"hello", 20) == b"HELLO", "an answer")
        assert pool.stats().closes["broken"] <= 1 + pool.size

    def test_whoever_waits_does_not_get_their_connection(
        self, kind, answer, reason, peer, question_pool
    ):
        """The next one stands in line already when the lie is found out."""
        pool = question_pool(peer, kind)
        got = []

        def use():
            with pool.get() as c:
                got.append(c)

        with pytest.raises(OSError, match=reason):
            with pool.get() as first:
                waiting = gevent.spawn(use)
                eventually(lambda: pool.stats().waiting == 1, "in line")
                first.ask(b"hello")
        waiting.join(20)
        assert len(got) == 1
        assert got[0] is not first


class TestStrayWords:
    """They come when nobody has asked; the right answer was given before."""

    def test_while_idle_cost_the_connection(self, make_peer, question_pool):
        peer = make_peer(echo)
        pool = question_pool(peer)
        assert recipe.ask(pool, b"hello") == b"HELLO"
        peer.visits[0].say(b"2 BOB'S\r\n")
        eventually(lambda: reasons(pool) == {"lost": 1})
        assert recipe.ask(pool, b"hello") == b"HELLO"

    @pytest.mark.parametrize("kind", [LINES, FRAMES])
    def test_before_the_next_question_are_not_its_answer(self, kind, pair):
        """As over TLS, where nobody sees them come."""
        ours, theirs = pair
        c = kind(ours)
        theirs.sendall(said(kind, b"1 HELLO"))
        assert c.ask(b"hello") == b"HELLO"
        theirs.sendall(said(kind, b"1 BOB'S"))
        with pytest.raises(recipe.ProtocolError, match="not to this question"):
            c.ask(b"hello")

    def test_over_tls_cost_the_next_one_only_an_error(self, make_peer, make_pool, honest, trusting):
        """There the pool cannot see them come."""

        def behave(visit):
            visit.secure(honest)
            echo(visit)

        def connect():
            plain = socket.create_connection(peer.address)
            return LINES(recipes(TLS).handshake(plain, trusting, HOST))

        peer = make_peer(behave)
        pool = make_pool(ConnectionPool, 1, connect=connect)
        assert recipe.ask(pool, b"hello") == b"HELLO"
        peer.visits[0].say(b"1 BOB'S\r\n")
        with pytest.raises(recipe.ProtocolError, match="not to this question"):
            recipe.ask(pool, b"hello")
        assert reasons(pool) == {"broken": 1}
        assert recipe.ask(pool, b"hello") == b"HELLO"

    @pytest.mark.parametrize("kind", [LINES, FRAMES])
    def test_of_a_question_that_was_given_up_go_to_nobody(self, kind, make_peer, question_pool):
        """A caller gives up; its answer comes to the next one, if to anybody."""
        given_up = gevent.event.Event()

        def late(visit):
            if len(peer.visits) > 1:
                return (echo if kind is LINES else echo_frames)(visit)
            visit.sock.recv(100)
            given_up.wait(20)
            return visit.say(said(kind, b"1 BOB'S"))

        peer = make_peer(late)
        pool = question_pool(peer, kind)
        with pytest.raises(recipe.TooSlow):
            recipe.ask(pool, b"bob's", seconds=0.2)
        given_up.set()
        assert recipe.ask(pool, b"hello", seconds=20).upper() == b"HELLO"


class TestLines:
    def test_are_read_one_by_one_however_they_come(self, pair):
        ours, theirs = pair
        lines = recipe.Lines(ours)
        theirs.sendall(b"one\r\ntwo\nthr")
        assert (lines.receive(), lines.receive()) == (b"one", b"two")
        theirs.sendall(b"ee\r\n")
        assert lines.receive() == b"three"

    def test_of_the_greatest_length_are_read(self, pair):
        ours, theirs = pair
        longest = b"x" * (recipe.Lines.LONGEST - 1)
        theirs.sendall(longest + b"\n")
        assert recipe.Lines(ours).receive() == longest

    def test_that_are_too_long_are_refused_however_they_come(self, pair):
        ours, theirs = pair
        lines = recipe.Lines(ours)
        reader = gevent.spawn(outcome, lines.receive)
        theirs.sendall(b"x" * 10)
        eventually(lambda: len(lines.buffer) == 10, "the beginning is read")
        theirs.sendall(b"x" * (lines.LONGEST - 10) + b"\n")
        reader.join(20)
        assert reader.value is recipe.ProtocolError

    @pytest.mark.parametrize("line", [b"a\r\nDELETE b", b"a\nb", b"a\rb", b"\n"])
    def test_with_a_line_break_are_not_sent(self, line, pair):
        ours, theirs = pair
        with pytest.raises(ValueError, match="line break"):
            recipe.NumberedLines(ours).ask(line)
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)


class TestFrames:
    @pytest.mark.parametrize("length", [0, 1, 65536, 65537, 2**20])
    def test_of_every_length_up_to_the_greatest_are_read(self, length, pair):
        ours, theirs = pair
        data = b"x" * length
        sender = gevent.spawn(recipe.Frames(theirs).send, data)
        assert recipe.Frames(ours).receive() == data
        sender.get()

    def test_that_are_too_long_are_not_sent(self, pair):
        ours, theirs = pair
        with pytest.raises(ValueError, match="too long"):
            recipe.Frames(ours).send(b"x" * (2**20 + 1))
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
