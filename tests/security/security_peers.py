"""Peers that do to their clients what attackers do, and turn honest when told to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent import ssl
from gevent.pool import Pool
from gevent.server import StreamServer

from geventconnpool import ConnectionPool, PoolError, PoolTimeout, PoolUnavailable

PATIENCE = 20.0
"""Seconds after which a test gives up: far more than anything here takes."""

HOST = "mail.example.org"
PASSWORD = b"hunter2-CANARY"


def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"never came true: {what or condition}")
        gevent.sleep(0.005)


def reasons(pool: ConnectionPool[Any]) -> dict[str, int]:
    """Why the connections of *pool* were closed, and how many."""
    return {reason: count for reason, count in pool.stats().closes.items() if count}


def refusal(pool: ConnectionPool[Any]) -> PoolError:
    """What an acquire says once the pool has failed to connect."""
    eventually(lambda: pool.stats().connect_errors, "a connect has failed")
    with pytest.raises((PoolTimeout, PoolUnavailable)) as caught:
        pool.acquire(timeout=0)
    return caught.value


def nothing_was_handed_on(pool: ConnectionPool[Any], peer: Peer) -> None:
    """No connection was there for anybody at any time, and no socket is left over."""
    stats = pool.stats()
    assert stats.connects > 0
    assert (stats.active, stats.idle, stats.use_seconds) == (0, 0, 0.0)
    assert set(reasons(pool)) == {"connect_failed"}
    pool.pause(interrupt=True)
    eventually(lambda: peer.open == 0, "all sockets are closed")
    pool.resume()


class Visit:
    """One client, as its peer sees it."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.heard: list[bytes] = []
        """The lines, those from before a handshake, too."""
        self.rest = b""
        """What came while nobody listened any more."""
        self.over = False

    def hear(self) -> bytes:
        """The next line. Takes not a byte more, so that a handshake may follow."""
        line = b""
        while not line.endswith(b"\n"):
            byte = self.sock.recv(1)
            if not byte:
                raise ConnectionError("the client hung up")
            line += byte
        self.heard.append(line.strip())
        return line.strip()

    def say(self, data: bytes) -> None:
        self.sock.sendall(data)

    def secure(self, context: ssl.SSLContext) -> None:
        self.sock = context.wrap_socket(self.sock, server_side=True)

    def drip(self, data: bytes, pause: float = 0.01) -> None:
        """Say *data* a byte at a time."""
        for number in range(len(data)):
            self.sock.sendall(data[number : number + 1])
            gevent.sleep(pause)

    def wait_for_end(self) -> None:
        while data := self.sock.recv(4096):
            self.rest += data


class Peer:
    """Does with each client whatever ``behave`` is at that moment."""

    def __init__(self, behave: Callable[[Visit], object]) -> None:
        self.behave = behave
        self.visits: list[Visit] = []
        self._server = StreamServer(("127.0.0.1", 0), self._serve, spawn=Pool())
        self._server.start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.address
        return host, port

    @property
    def open(self) -> int:
        return sum(not visit.over for visit in self.visits)

    @property
    def heard(self) -> bytes:
        """What all the clients said."""
        return b"\n".join(b"\n".join([*visit.heard, visit.rest]) for visit in self.visits)

    def stop(self) -> None:
        self._server.stop(timeout=0)

    def _serve(self, sock: Any, address: object) -> None:
        visit = Visit(sock)
        self.visits.append(visit)
        try:
            self.behave(visit)
        except OSError:
            pass  # the client hung up: mostly what the test is about
        finally:
            visit.over = True
            visit.sock.close()


def echo(visit: Visit) -> None:
    """Answer each line with itself, in capitals."""
    while True:
        visit.say(visit.hear().upper() + b"\r\n")


def echo_frames(visit: Visit) -> None:
    """Answer each frame with itself, in capitals."""
    while True:
        length = receive_exactly(visit.sock, 4)
        visit.say(length + receive_exactly(visit.sock, int.from_bytes(length, "big")).upper())


def receive_exactly(sock: Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        if not chunk:
            raise ConnectionError("the client hung up")
        data += chunk
    return data


def stall(visit: Visit) -> None:
    """Say nothing, for ever."""
    visit.wait_for_end()
