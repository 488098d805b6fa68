"""The demo's server: a line protocol that answers each question with the question's token.

::

    HELLO            -> WELCOME number     counted from here on
    ASK token        -> ANSWER token       after a moment, or late; answers keep their order
    PING             -> PONG
    BYE              -> BYE
    (end of stream)                        no longer counted, also while an answer is due

A session counts until this side has seen its end, so a client that waits for the server to
hang up, too, before it opens another connection never lets it count one too many.

On a *leash* (its standard input is a pipe from the demo) it obeys ``CUT count how`` and
``LATE span share seconds``, and ends when the other end of the pipe does: no orphans.
"""

from __future__ import annotations

import argparse
import random
import signal
import struct
import sys
from pathlib import Path
from typing import Any

import gevent
from gevent import socket, ssl
from gevent.event import Event
from gevent.fileobject import FileObject
from gevent.queue import Queue
from gevent.server import StreamServer

from geventconnpool import clock
from geventconnpool.cli.demo.figures import FigureBook, Figures
from geventconnpool.cli.demo.lines import Lines

__all__ = ["DemoServer", "run"]

_WORK = (0.004, 0.025)  # seconds an answer takes
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


class Session:
    """One client, from its greeting to the end of its stream."""

    def __init__(self, server: DemoServer, sock: socket.socket) -> None:
        self.sock = sock
        self.half_next = False
        """Whether the next answer is cut in its middle."""
        self._server = server
        self._lines = Lines(sock)
        self._asked: Queue[list[str]] = Queue()
        self._reader = gevent.getcurrent()

    def run(self) -> None:
        """Read until the stream ends; another greenlet answers meanwhile."""
        if self._lines.read() != "HELLO":
            return
        number = self._server.enter(self)
        answering = gevent.spawn(self._answer_all)
        try:
            self._lines.send("WELCOME", str(number))
            while True:
                self._asked.put(self._lines.read().split())
        finally:
            self._server.leave(self)
            answering.kill(block=False)

    def cut(self, how: str) -> None:
        """End the session: ``close``, ``reset`` or ``half`` of the next answer."""
        if how == "half":
            self.half_next = True
        elif how == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            gevent.kill(self._reader)
        else:
            gevent.kill(self._reader)

    def _answer_all(self) -> None:
        try:
            while True:
                self._answer(*self._asked.get())
        except OSError:
            return  # the reader sees the end of the stream, too

    def _answer(self, verb: str = "", token: str = "", *rest: str) -> None:
        if verb == "ASK":
            gevent.sleep(self._server.answer_delay())
            self._reply(f"ANSWER {token}\n")
            self._server.count_answer()
        elif verb in ("PING", "BYE"):
            self._reply({"PING": "PONG\n", "BYE": "BYE\n"}[verb])

    def _reply(self, text: str) -> None:
        data = text.encode("ascii")
        if self.half_next:
            self.sock.sendall(data[: len(data) // 2])
            self.cut("close")
        else:
            self.sock.sendall(data)


class DemoServer:
    """Listens on 127.0.0.1, counts its sessions, and misbehaves when told to."""

    def __init__(
        self,
        port: int = 0,
        *,
        context: ssl.SSLContext | None = None,
        book: FigureBook | None = None,
        seed: int = 0,
    ) -> None:
        self._context = context
        self._book = book
        self._random = random.Random(seed)
        self._sessions: dict[Session, None] = {}  # in order of arrival, for the seed's sake
        self._most = self._entered = self._answers = self._late = 0
        self._late_until = self._late_share = self._late_by = 0.0
        self._server = StreamServer(_listener(port), self._serve)
        self._server.start()

    @property
    def port(self) -> int:
        """The port listened on."""
        return self._server.server_port or 0

    @property
    def figures(self) -> Figures:
        """What was counted so far."""
        return Figures(len(self._sessions), self._most, self._entered, self._answers, self._late)

    def enter(self, session: Session) -> int:
        """Count *session*; returns its number."""
        self._sessions[session] = None
        self._entered += 1
        self._most = max(self._most, len(self._sessions))
        self._write_down()
        return self._entered

    def leave(self, session: Session) -> None:
        """Count *session* no longer."""
        del self._sessions[session]
        self._write_down()

    def count_answer(self) -> None:
        """Count one answer given."""
        self._answers += 1
        self._write_down()

    def answer_delay(self) -> float:
        """How long the next answer takes."""
        if clock.now() < self._late_until and self._random.random() < self._late_share:
            self._late += 1
            return self._late_by
        return self._random.uniform(*_WORK)

    def obey(self, verb: str = "", *rest: str) -> None:
        """Do what the demo's leash says; what is not understood is left."""
        if verb == "LATE":
            span, self._late_share, self._late_by = map(float, rest)
            self._late_until = clock.now() + span
        elif verb == "CUT":
            self._cut(int(rest[0]), rest[1])

    def _cut(self, count: int, how: str) -> None:
        sessions = list(self._sessions)
        for session in self._random.sample(sessions, min(count, len(sessions))):
            session.cut(how)

    def serve_until_let_go(self) -> None:
        """Obey standard input, and return at its end."""
        for line in FileObject(sys.stdin.fileno(), "rb", closefd=False):
            self.obey(*line.decode("ascii").split())

    def stop(self) -> None:
        """Listen no longer, and end all sessions."""
        self._server.stop(timeout=0)

    def _write_down(self) -> None:
        if self._book is not None:
            self._book.write(self.figures)

    def _serve(self, sock: Any, address: object) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            Session(self, sock).run()
        except OSError:
            return  # cut, or no client of ours
        finally:
            sock.close()


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener


def _context(arguments: argparse.Namespace) -> ssl.SSLContext | None:
    if (arguments.certificate is None) != (arguments.key is None):
        arguments.refuse("--certificate and --key only go together")
    if arguments.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(arguments.certificate, arguments.key)
    except OSError as error:
        arguments.refuse(f"--certificate {arguments.certificate}: {error}")
    return context


def _book(arguments: argparse.Namespace) -> FigureBook | None:
    if arguments.figures is None:
        return None
    try:
        return FigureBook(Path(arguments.figures))
    except OSError as error:
        arguments.refuse(f"--figures {arguments.figures}: {error}")
    return None


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or, on a leash, until it is let go."""
    context, book = _context(arguments), _book(arguments)
    try:
        server = DemoServer(arguments.port, context=context, book=book, seed=arguments.seed)
    except OSError as error:
        print(f"demo-server: --port {arguments.port}: {error}", file=sys.stderr)
        return 1
    enough = Event()
    gevent.signal_handler(signal.SIGINT, enough.set)
    print(f"READY {server.port}", flush=True)
    if arguments.leash:
        server.serve_until_let_go()
    else:
        enough.wait()
        print(server.figures)
    return 0
