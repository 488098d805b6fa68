"""Keeps the demo's server running, in a process of its own and on one port."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gevent
from gevent import socket
from gevent.event import Event
from gevent.subprocess import PIPE, Popen, TimeoutExpired

import geventconnpool
from geventconnpool import clock
from geventconnpool.cli.demo.certificates import Certificate
from geventconnpool.cli.demo.figures import Figures, read_all

__all__ = ["Restart", "ServerError", "Supervisor"]

_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 3.0
_RETRY = 1.0  # seconds until the next try of a start that failed


class ServerError(Exception):
    """The server did not start; the text says what it said."""


@dataclass
class Restart:
    """One end of the server and what followed."""

    by: str
    """``schedule``, or ``others`` where somebody else ended it."""
    down_at: float
    up_at: float | None = None
    full_at: float | None = None
    """When the pool was full again; ``None`` where the next end came before."""

    @property
    def seconds_to_full(self) -> float | None:
        """How long after the restart the pool was full."""
        if self.up_at is None or self.full_at is None:
            return None
        return self.full_at - self.up_at


class Supervisor:
    """Starts the server, kills it when told to, and restarts it whoever killed it."""

    def __init__(
        self,
        directory: Path,
        *,
        certificate: Certificate | None,
        seed: int,
        restart_after: float,
        note: Callable[[str], None],
    ) -> None:
        self.restarts: list[Restart] = []
        self._directory = directory
        self._certificate = certificate
        self._seed = seed
        self._restart_after = restart_after
        self._note = note
        self._holder, self.port = _held_port()
        self._server: Popen[bytes] | None = None
        self._planned_pause: float | None = None
        self._hurry = Event()
        self._watcher: gevent.Greenlet[..., None] | None = None

    @property
    def pid(self) -> int | None:
        """The server's process number; ``None`` while it is down."""
        return None if self._server is None else int(self._server.pid)

    @property
    def figures(self) -> Figures:
        """What all the servers counted, and the sessions open at the present one."""
        books = read_all(self._directory)
        now_open = books[self.pid].open if self.pid in books else 0
        return Figures(
            now_open,
            max((book.most for book in books.values()), default=0),
            sum(book.sessions for book in books.values()),
            sum(book.answers for book in books.values()),
            sum(book.late for book in books.values()),
        )

    def start(self) -> None:
        """Start the server and see to it from now on. :class:`ServerError` if it fails."""
        self._start_server()
        self._watcher = gevent.spawn(self._watch)

    def stop(self) -> None:
        """End the server for good."""
        if self._watcher is not None:
            self._watcher.kill()
        if self._server is not None:
            _end(self._server)
            self._server = None
        self._holder.close()

    def kill(self, pause: float) -> bool:
        """``kill -9`` the server, to be restarted after *pause*; whether there was one."""
        if self._server is None or self._hurry.is_set():
            return False
        self._planned_pause = pause
        os.kill(self._server.pid, signal.SIGKILL)
        return True

    def tell(self, *words: object) -> bool:
        """Give the server an order; whether it was there to get it."""
        if self._server is None or self._server.stdin is None:
            return False
        try:
            self._server.stdin.write(" ".join(map(str, words)).encode("ascii") + b"\n")
        except OSError:
            return False
        return True

    def hurry(self) -> None:
        """Restart at once from now on, without a pause."""
        self._hurry.set()

    def _watch(self) -> None:
        while self._server is not None:
            self._server.wait()
            pause = self._on_end()
            self._hurry.wait(pause)
            self._restart()

    def _on_end(self) -> float:
        """Write down that the server ended; returns the pause before its restart."""
        assert self._server is not None
        pid, self._server = self._server.pid, None
        planned, self._planned_pause = self._planned_pause, None
        by = "others" if planned is None else "schedule"
        pause = self._restart_after if planned is None else planned
        self.restarts.append(Restart(by, clock.now()))
        how = "killed" if planned is not None else "ended by somebody else"
        self._note(f"server {pid} {how}, back in {pause:.1f} s")
        return pause

    def _restart(self) -> None:
        told = ""
        while self._server is None:
            try:
                self._start_server()
            except ServerError as error:
                if told != str(error):
                    told = str(error)
                    self._note(f"no server yet: {told}")
                gevent.sleep(_RETRY)
        self.restarts[-1].up_at = clock.now()
        self._note(f"server {self.pid} started")

    def _start_server(self) -> None:
        errors = self._directory / "server.errors"
        with open(errors, "wb") as stderr:
            # A session of its own: Ctrl-C at the terminal is for the demo only.
            server = Popen(
                self._command(),
                stdin=PIPE,
                stdout=PIPE,
                stderr=stderr,
                bufsize=0,  # nothing left to flush when the server is dead
                start_new_session=True,
                env=_environment(),
            )
        try:
            assert server.stdout is not None
            said = gevent.with_timeout(_START_TIMEOUT, server.stdout.readline, timeout_value=b"")
            if said.startswith(b"READY "):
                self._server = server
        finally:
            if self._server is not server:
                _end(server)
        if self._server is not server:
            complaints = errors.read_text("utf-8", "replace").strip().splitlines()
            raise ServerError(complaints[-1] if complaints else "it does not say why")

    def _command(self) -> list[str]:
        command = [sys.executable, "-m", "geventconnpool", "demo-server", "--leash"]
        command += ["--port", str(self.port), "--figures", str(self._directory)]
        # Not the same misfortunes again after each restart.
        command += ["--seed", str(self._seed + len(self.restarts))]
        if self._certificate is not None:
            command += ["--certificate", str(self._certificate.chain)]
            command += ["--key", str(self._certificate.key)]
        return command


def _held_port() -> tuple[socket.socket, int]:
    """A free port, and a socket that keeps it from everybody else while the server is down.

    Bound but not listening: connecting is refused, the server's ``SO_REUSEADDR`` lets it in,
    and no connect of ours can get the port as its own end and so talk to itself.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder, int(holder.getsockname()[1])


def _environment() -> dict[str, str]:
    """Ours, with this very package where the server can import it."""
    home = str(Path(geventconnpool.__file__).resolve().parent.parent)
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": home if not others else home + os.pathsep + others}


def _end(server: Popen[bytes]) -> None:
    for pipe in (server.stdin, server.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                pass
    try:
        server.wait(timeout=_STOP_TIMEOUT)
    except TimeoutExpired:
        server.kill()
        server.wait()
