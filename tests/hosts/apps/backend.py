"""What the apps share: a pool of sessions in which every line says which process speaks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from gevent import socket

from geventconnpool import CloseReason, ConnectionPool


class Session:
    """Asks one question after the other; as many drivers do, it says goodbye when forgotten."""

    is_greeted = False

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._lines = self._sock.makefile("r")
        self.is_greeted = True  # even a login broken off ends with a goodbye
        self.ask("HELLO")

    def fileno(self) -> int:
        return self._sock.fileno()

    def ask(self, question: str) -> str:
        """What the backend answers: ``<session> <process> <question>``."""
        self._say(question)
        answer = self._lines.readline()
        if not answer.endswith("\n"):
            raise ConnectionResetError("the backend hung up")
        return answer.rstrip()

    def _say(self, what: str) -> None:
        self._sock.sendall(f"{os.getpid()} {what}\n".encode())

    def close(self) -> None:
        self.is_greeted = False
        self._lines.close()
        self._sock.close()

    def __del__(self) -> None:
        if self.is_greeted:
            with contextlib.suppress(OSError):
                self._say("QUIT")
            self.close()


class BackendPool(ConnectionPool[Session]):
    """Says goodbye before it closes, and waits for the answer."""

    def _new_connection(self) -> Session:
        return Session(int(os.environ["BACKEND_PORT"]))

    def _keepalive(self, c: Session) -> None:
        c.ask("PING")

    def _close_connection(self, c: Session, reason: CloseReason) -> None:
        if reason.healthy:
            c.ask("QUIT")
        c.close()


def make_application(pool: BackendPool) -> Callable[..., Iterable[bytes]]:
    """A WSGI application that hands each path to the backend, and its answer to the client."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        with pool.get() as session:
            answer = session.ask(environ["PATH_INFO"]).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]

    return application


def use(pool: BackendPool) -> None:
    """Use *pool* once, as a warm-up at import time does."""
    pool.open()
    with pool.get() as session:
        session.ask("warm-up")
