"""A pool of connections to a `line_server`, and clients that ask it numbered questions."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gevent
import pytest
from gevent import socket, ssl
from gevent.pool import Group

from geventconnpool import Backoff, ConnectionPool, PoolError

PATIENCE = 30.0
"""Seconds after which a test gives up: far more than anything here takes."""


def eventually(condition: Callable[[], object], what: object = "") -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"never came true: {what() if callable(what) else what or condition}")
        gevent.sleep(0.002)


class LineConnection:
    """Asks one question at a time, and reads one line at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._unread = b""

    def ask(self, number: int, delay: float = 0.0) -> int:
        """The number in the answer to question *number*."""
        self.sock.sendall(b"late %d %f\n" % (number, delay) if delay else b"ask %d\n" % number)
        verb, _, answered = self._line().partition(b" ")
        if verb != b"answer":
            raise AssertionError(f"question {number} was answered with {verb!r}")
        return int(answered)

    def ping(self) -> None:
        self.sock.sendall(b"ping\n")
        if (line := self._line()) != b"pong":
            raise AssertionError(f"a ping was answered with {line!r}")

    def _line(self) -> bytes:
        while b"\n" not in self._unread:
            data = self.sock.recv(4096)
            if not data:
                raise ConnectionError("the peer hung up")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line


class LinePool(ConnectionPool[LineConnection]):
    """Comes back fast after a fault: short deadlines, short pauses."""

    def __init__(
        self,
        address: tuple[str, int],
        size: int,
        *,
        tls: ssl.SSLContext | None = None,
        tune: Callable[[socket.socket], object] = lambda sock: None,
        **options: Any,
    ) -> None:
        self.address = address
        self.tls = tls
        self.tune = tune
        options = {"backoff": Backoff(base=0.01, cap=0.1), "connect_timeout": 2.0} | options
        super().__init__(size, **options)

    def _new_connection(self) -> LineConnection:
        sock = socket.socket()
        try:
            self.tune(sock)
            sock.connect(self.address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(
                    sock, server_hostname="localhost", do_handshake_on_connect=False
                )
                sock.do_handshake()
            connection = LineConnection(sock)
            connection.ping()
        except BaseException:
            sock.close()
            raise
        return connection

    def _keepalive(self, c: LineConnection) -> None:
        c.ping()

    def _close_connection(self, c: LineConnection, reason: object) -> None:
        # The end is on its way when this returns: only then does the pool open another one.
        try:
            c.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it was broken before
        finally:
            c.sock.close()


class Clients:
    """Ask, check, and give up in the middle now and then, until told to stop."""

    def __init__(
        self,
        pool: LinePool,
        count: int,
        seed: object,
        *,
        patience: float = 0.1,
        thinking: float = 0.01,
    ) -> None:
        self.pool = pool
        self.patience = patience
        self.thinking = thinking
        self.wrong: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self._stopping = False
        self._numbers = itertools.count(1)
        self._greenlets = Group()
        for number in range(count):
            self._greenlets.spawn(self._live, random.Random(f"{seed}: client {number}"))

    @property
    def right(self) -> int:
        """How many answers were those to their questions."""
        return self.outcomes["right"]

    def get_answers(self, count: int = 20) -> None:
        """Wait for so many right answers from now on."""
        enough = self.right + count
        eventually(lambda: self.right >= enough, lambda: (self.pool, self.outcomes, self.wrong))

    def make_requests(self, count: int) -> None:
        """Wait until so many requests more have ended, well or badly."""
        enough = self.outcomes.total() + count
        eventually(lambda: self.outcomes.total() >= enough, lambda: (self.pool, self.outcomes))

    def stop(self) -> None:
        """Let each finish its request."""
        self._stopping = True
        self._greenlets.join(PATIENCE)
        assert not self._greenlets, "clients that never end"

    def kill(self) -> None:
        self._greenlets.kill()

    def _live(self, chance: random.Random) -> None:
        while not self._stopping:
            gevent.sleep(chance.uniform(0, 2 * self.thinking))
            self.outcomes[self._request(chance)] += 1

    def _request(self, chance: random.Random) -> str:
        number = next(self._numbers)
        delay = chance.choice([0.0, 0.0, 0.0, 0.001, self.patience])
        timer = gevent.Timeout(chance.choice([1, 1, 1, 0.1]) * self.patience)
        try:
            with timer, self.pool.get(timeout=PATIENCE) as c:
                answered = c.ask(number, delay)
        except gevent.Timeout as expired:
            if expired is not timer:
                raise
            return "timed out"
        except (OSError, PoolError) as error:
            return type(error).__name__
        except (AssertionError, ValueError) as error:
            self.wrong.append(str(error))
            return "wrong"
        if answered != number:
            self.wrong.append(f"question {number} got the answer to {answered}")
            return "wrong"
        return "right"


def is_full(pool: LinePool) -> bool:
    """Whether every connection is there and idle."""
    return pool.stats().idle == pool.size


def check_whole(pool: LinePool) -> None:
    """The pool fills up by itself, and every one of its connections answers."""
    eventually(lambda: is_full(pool), lambda: repr(pool))
    with ExitStack() as block:
        for number in range(pool.size):
            assert block.enter_context(pool.get()).ask(number) == number
    assert pool.stats().repairs == 0
