"""Around a pool and a real server: users that check every answer, and a count of connections."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import gevent
import gevent.event
from gevent import monkey
from server_process import ServerProcess

from geventconnpool import PoolClosed, PoolError

PATIENCE = 30.0
"""Seconds after which a test gives up: far more than anything here takes."""

PAUSE = 0.01
"""Seconds that the server takes for a question that may be given up."""

RawSocket = monkey.get_original("socket", "socket")


class RealPool(Protocol):
    """A pool of a real client library's connections, as far as the tests use it."""

    errors: tuple[type[Exception], ...]
    """What its users meet when a connection breaks."""

    def ask(self, c: Any, token: str, pause: float = 0) -> bool:
        """Whether the server's answer on *c* is the one to *token*; it comes after a *pause*."""

    def hang(self, c: Any) -> None:
        """Ask what the server does not answer for minutes."""


def eventually(condition: Callable[[], object], what: Any = "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never came true: {what or condition}")
        gevent.sleep(0.002)


def living_ports(port: int) -> set[int]:
    """The ports of all sockets that this process holds open to the server at *port*."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # it is no socket, or has no peer any more
            sock = RawSocket(fileno=int(number))
            try:
                if sock.getpeername()[1:] == (port,):
                    found.add(sock.getsockname()[1])
            finally:
                sock.detach()  # it stays its owner's
    return found


class Sampler:
    """Counts the connections all the time, as the server itself does."""

    def __init__(self, server: ServerProcess) -> None:
        self.samples = 0
        self.most = 0
        """The most clients that the server ever named."""
        self.most_living = 0
        """The most of them whose own end was open. A server that was stopped hears of the others
        only when it goes on."""
        self._server = server
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        self._greenlet.kill()

    def wait_for_samples(self, count: int = 3) -> None:
        """Return when it has looked *count* more times."""
        enough = self.samples + count
        eventually(lambda: self.samples >= enough, "sampled")

    def _run(self) -> None:
        while True:
            with contextlib.suppress(*self._server.down):
                with contextlib.closing(self._server.control()) as control:
                    while True:
                        self._look(control.clients())
                        gevent.sleep(0.003)
            gevent.sleep(0.01)

    def _look(self, ports: list[int]) -> None:
        living = living_ports(self._server.port)
        self.samples += 1
        self.most = max(self.most, len(ports))
        self.most_living = max(self.most_living, len(living.intersection(ports)))


class Load:
    """Users that ask all the time, each its own questions, and check every answer.

    :param impatient: one question in three takes the server a while, and may be given up before.
    """

    def __init__(self, pool: Any, users: int, seed: int = 0, impatient: bool = False) -> None:
        self.right = 0
        self.wrong = 0
        self.interrupted = 0
        self.failed: Counter[str] = Counter()
        """How often which error was met."""
        self.going = gevent.event.Event()
        self.going.set()
        self._pool = pool
        self._over = False
        self._random = random.Random(seed)
        self._is_impatient = impatient
        self._users = [gevent.spawn(self._use, number) for number in range(users)]

    def wait_for_answers(self, count: int) -> None:
        """Return when *count* more questions were answered."""
        enough = self.right + count
        eventually(lambda: self.right >= enough, self)

    def finish(self) -> None:
        """Let everybody finish, and see that nobody died of anything else."""
        self._over = True
        self.going.set()
        gevent.joinall(self._users, timeout=PATIENCE, raise_error=True)
        assert all(user.ready() for user in self._users), self

    def __repr__(self) -> str:
        return (
            f"<{self.right} right, {self.wrong} wrong, {self.interrupted} interrupted, "
            f"failed: {dict(self.failed)}>"
        )

    def _use(self, number: int) -> None:
        questions = 0
        while not self._over:
            self.going.wait()
            questions += 1
            patience = self._patience()
            timer = gevent.Timeout(patience)
            try:
                self._ask(f"{number}-{questions}", timer, 0 if patience is None else PAUSE)
            except PoolClosed:  # the test has failed
                return
            except (*self._pool.errors, PoolError) as error:
                self.failed[type(error).__name__] += 1
            except gevent.Timeout as timeout:
                if timeout is not timer:
                    raise
                self.interrupted += 1

    def _ask(self, token: str, timer: gevent.Timeout, pause: float) -> None:
        with self._pool.get() as c, timer:
            is_right = self._pool.ask(c, token, pause)
        self.right += is_right
        self.wrong += not is_right

    def _patience(self) -> float | None:
        """Little for one question in three, if anybody is impatient."""
        hits = self._is_impatient and self._random.random() < 1 / 3
        return self._random.uniform(0, 1.5 * PAUSE) if hits else None
