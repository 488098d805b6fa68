"""A peer on the loopback interface that does to its clients what real peers do."""

from __future__ import annotations

import os
import socket as constants
import struct
import time
from collections.abc import Callable

import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer

PATIENCE = 10.0
"""Seconds after which a test gives up: far more than anything here takes."""


def eventually(condition: Callable[[], object], what: str = "") -> None:
    """Wait until *condition* holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"never came true: {what or condition}")
        gevent.sleep(0.001)


def some_turns(count: int = 20) -> None:
    """Let the loop come round a few times, with time for what the kernel has to tell."""
    for _ in range(count):
        gevent.sleep(0.001)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def watched_by_epoll() -> int:
    """How many descriptors the epoll sets of this process hold."""
    count = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}") == "anon_inode:[eventpoll]":
                with open(f"/proc/self/fdinfo/{number}") as info:
                    count += sum(line.startswith("tfd:") for line in info)
        except OSError:
            pass  # the descriptor of the listing itself
    return count


class Session:
    """One client, as its server sees it."""

    def __init__(self, sock: socket.socket, port: int) -> None:
        self.socket = sock
        self.port = port
        self.received = b""
        self.ended = False
        """Whether the client's end was seen."""

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hang_up(self) -> None:
        """Say goodbye: FIN."""
        self.socket.shutdown(constants.SHUT_RDWR)
        self.socket.close()

    def half_close(self) -> None:
        """FIN, and go on listening."""
        self.socket.shutdown(constants.SHUT_WR)

    def reset(self) -> None:
        """RST."""
        self.socket.setsockopt(constants.SOL_SOCKET, constants.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Server:
    """Answers every line with ``<line> ok``, except lines that begin with ``mute``."""

    def __init__(self, **tls: object) -> None:
        self.sessions: list[Session] = []
        self.at_once = 0
        self.most_at_once = 0
        self.refuses = False
        self._server = StreamServer(("127.0.0.1", 0), self._serve, **tls)
        self._server.start()

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self._server.server_port)

    def connect(self) -> socket.socket:
        if self.refuses:
            raise ConnectionRefusedError
        return socket.create_connection(self.address)

    def stop(self) -> None:
        for session in self.sessions:
            session.socket.close()
        self._server.stop()

    def session_of(self, connection: socket.socket) -> Session:
        port = connection.getsockname()[1]
        eventually(lambda: any(s.port == port for s in self.sessions), "accepted")
        return next(s for s in reversed(self.sessions) if s.port == port)

    def _serve(self, sock: socket.socket, address: tuple[str, int]) -> None:
        session = Session(sock, address[1])
        self.sessions.append(session)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self._answer(session)
        except OSError:
            pass
        finally:
            session.ended = True
            self.at_once -= 1
            sock.close()

    def _answer(self, session: Session) -> None:
        while data := session.socket.recv(4096):
            session.received += data
            for line in data.splitlines():
                if not line.startswith(b"mute"):
                    session.socket.sendall(line + b" ok\n")


def ask(connection: socket.socket, line: bytes) -> bytes:
    connection.sendall(line + b"\n")
    return connection.recv(4096)
