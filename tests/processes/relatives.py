"""What the tests of forks share: clients that talk a lot, and a way to run code in a child."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket as constants
import time
import traceback
from collections.abc import Callable
from typing import Any

import gevent
import gevent.os
import pytest
from gevent import monkey, socket

from geventconnpool import ConnectionPool

PATIENCE = 10.0
"""Seconds after which a test gives up: far more than anything here takes."""

close_now = monkey.get_original("os", "close")
"""The patched one may put it off."""

RawSocket = monkey.get_original("socket", "socket")


def eventually(condition: Callable[[], object], what: str = "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never came true: {what or condition}")
        gevent.sleep(0.001)


def connect(port: int) -> socket.socket:
    """A socket of gevent's; without its resolver, which runs native threads.

    Threads and forks in C do not go together: the child may find a lock of Python's taken.
    """
    raw = RawSocket()
    raw.connect(("127.0.0.1", port))
    return socket.socket(fileno=raw.detach())


class Client:
    """Says goodbye when it is closed, and when it is forgotten."""

    is_open = False

    def __init__(self, port: int, greeted: bool = True) -> None:
        self.sock = connect(port)
        self.is_open = True
        if not greeted:
            try:
                self.sock.recv(1)
            finally:
                self.close()

    def fileno(self) -> int:
        return self.sock.fileno()

    def ask(self, line: str) -> int:
        """The number of the session that answers."""
        self.sock.sendall(line.encode() + b"\n")
        answer = self.sock.recv(1000).decode()
        if not answer:
            raise EOFError
        number, _, echo = answer.partition(" ")
        assert echo == line + "\n"
        return int(number)

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            with contextlib.suppress(OSError):
                self.sock.sendall(b"QUIT\n")
            self.sock.close()

    __del__ = close


class ClientPool(ConnectionPool[Client]):
    """Of clients; ``kind`` of port is open or silent."""

    def __init__(self, ports: dict[str, int], *args: Any, kind: str = "open", **options: Any):
        super().__init__(*args, **options)
        self.ports = ports
        self.kind = kind
        self.broken_off: list[str] = []

    def _new_connection(self) -> Client:
        try:
            return Client(self.ports[self.kind], greeted=self.kind != "silent")
        except BaseException as error:
            self.broken_off.append(type(error).__name__)
            raise

    def _keepalive(self, c: Client) -> None:
        c.ask("mute PING")


class Report:
    """Asks the server what it has seen."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.ports = ports
        self._control = RawSocket()
        self._control.connect(("127.0.0.1", ports["control"]))
        self._answers = self._control.makefile("r")

    def __call__(self) -> list[dict[str, Any]]:
        self._control.sendall(b"?\n")
        sessions: list[dict[str, Any]] = json.loads(self._answers.readline())
        return sessions

    def close(self) -> None:
        self._answers.close()
        self._control.shutdown(constants.SHUT_RDWR)
        self._control.close()


def sessions_of(pool: ClientPool) -> list[int]:
    """The sessions of all idle connections, each of which is used once."""
    with contextlib.ExitStack() as block:
        held = [block.enter_context(pool.get()) for _ in range(pool.stats().idle)]
        return sorted(c.ask("who") for c in held)


def fork_in_c() -> int:
    """As servers in C do: Python's own hooks hear nothing of it."""
    return ctypes.PyDLL(None).fork()


def in_child(work: Callable[[], Any], fork: Callable[[], int] = os.fork) -> Any:
    """What *work* returns in a child process that ends right after it."""
    return reap(*start_child(work, fork))


def start_child(work: Callable[[], Any], fork: Callable[[], int] = os.fork) -> tuple[int, int]:
    """The process id of a child, and where its answer comes from."""
    reader, writer = os.pipe()
    child = fork()
    if child:
        close_now(writer)
        return child, reader
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(30)
    answer = {}
    try:
        answer = {"result": work()}
    except BaseException:
        answer = {"error": traceback.format_exc()}
    finally:
        with contextlib.suppress(BaseException):
            monkey.get_original("os", "write")(writer, json.dumps(answer).encode())
        os._exit(0)


def reap(child: int, reader: int) -> Any:
    """The answer of a child, when it is dead."""
    with open(reader) as answers:
        text = answers.read()
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if monkey.get_original("os", "waitpid")(child, os.WNOHANG)[0]:
                break
        except ChildProcessError:  # gevent was faster
            break
        if time.monotonic() > deadline:
            pytest.fail("the child does not end")
        gevent.sleep(0.001)
    if not text:
        pytest.fail("the child died")
    answer = json.loads(text)
    if "error" in answer:
        pytest.fail(f"in the child: {answer['error']}")
    return answer["result"]
