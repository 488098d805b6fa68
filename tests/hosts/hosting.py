"""Hosts as processes: started, watched, asked over HTTP, stopped."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import gevent
import pytest
from availability import missing
from gevent import socket
from gevent.pool import Pool

APPS = Path(__file__).parent / "apps"

PATIENCE = 30.0
"""Seconds after which a test gives up: far more than anything here takes."""


def eventually(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {PATIENCE:g} s: {what}")
        gevent.sleep(0.01)


def require_host(name: str) -> None:
    """Skip without library *name*; importing it here might patch this process."""
    if importlib.util.find_spec(name) is None:
        missing(f"Python library {name}")


class Host:
    """A program in a process group of its own, and its log."""

    def __init__(
        self, command: Sequence[str], folder: Path, log: Path, environment: dict[str, str]
    ) -> None:
        self.name = " ".join(command[:4])
        self._log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def find(self, pattern: str) -> list[str]:
        """The group of *pattern*, or all of it, wherever it is in the log, in order."""
        return re.findall(pattern, self.log)

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        """The first *count* finds, once they are there."""

        def enough() -> bool:
            ended = self.process.poll() is not None
            found = len(self.find(pattern)) >= count
            if ended and not found:
                pytest.fail(f"{self.name} has ended ({self.process.returncode})")
            return found

        eventually(enough, f"{self.name} did not log {pattern!r} {count} times")
        return self.find(pattern)[:count]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process that was started; the others of its group get none."""
        self.process.send_signal(number)

    def wait_end(self) -> int:
        """The exit status of the process that was started."""
        eventually(lambda: self.process.poll() is not None, f"{self.name} did not end")
        return self.process.returncode

    def kill(self) -> None:
        """End the whole group, the hard way."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


def fetch(port: int, path: str) -> str:
    """The body of the answer to a GET request, or its status line unless that is 200 OK."""
    return finish(ask(port, path))


def ask(port: int, path: str) -> socket.socket:
    """A connection on which *path* is asked for."""
    sock = socket.socket()
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", port))
    sock.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    return sock


def finish(sock: socket.socket) -> str:
    """What `fetch` returns, for a request that was asked."""
    with sock, sock.makefile("rb") as stream:
        head, _, body = stream.read().decode().partition("\r\n\r\n")
    status = head.partition("\r\n")[0]
    return body if status.endswith(" 200 OK") else status or "no answer"


def load(port: int, paths: Sequence[str], at_once: int = 40) -> list[str]:
    """What `fetch` returns for each of *paths*, asked for by a crowd."""
    return Pool(at_once).map(lambda path: fetch(port, path), paths)


def load_until(port: int, condition: Callable[[], object]) -> None:
    """Ask, and check the answers, until *condition* is true: it may take more than one worker."""

    def is_true() -> object:
        paths = [f"/until/{n}" for n in range(50)]
        assert [answer.split()[2:] for answer in load(port, paths)] == [[path] for path in paths]
        return condition()

    eventually(is_true, "the load did not reach every worker")


def backlog(port: int) -> int | None:
    """How many connections wait for being accepted; None if nobody listens on *port*."""
    lengths = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues = line.split()[:5]
        if state == "0A" and int(local.partition(":")[2], 16) == port:
            lengths.append(int(queues.partition(":")[2], 16))
    return max(lengths, default=None)
