"""What every private server of the tests can do.

It is a process of its own, in a folder of its own, on a free port of 127.0.0.1. It ends with
the process that started it, whatever happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import gevent
from availability import require_program
from gevent import socket

PATIENCE = 30.0
"""Seconds after which a server counts as hung: far more than anything here takes."""

PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h

ATTEMPTS = 10
"""How many ports are tried before giving up."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on.

    Below those that the system gives to clients: while the server is down a client could get its
    port, and keep the server from coming back, or even connect to itself.
    """
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    while True:
        port = random.randrange(10_000, max(int(limits[0]), 11_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def children_of(parent: int) -> list[int]:
    """The processes that *parent* has started, as far as they live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        state = state_of(int(folder.name))
        if state is not None and int(state[1]) == parent:
            found.append(int(folder.name))
    return found


def state_of(pid: int) -> list[str] | None:
    """State and parent of a process; None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields


@contextlib.contextmanager
def adopting() -> Iterator[None]:
    """Orphaned processes become children of this one meanwhile, for somebody to bury them."""
    prctl = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)


class Control(Protocol):
    """A connection of the tests' own, which is not counted among the clients."""

    def clients(self) -> list[int]:
        """The ports of the clients, as the server itself knows them."""

    def cut_clients(self) -> int:
        """Cut every client from the server's side. Returns how many."""

    def close(self) -> None:
        """Hang up."""


class ServerProcess:
    """A server under the tests' control. Subclasses say how it is started and asked."""

    goodbye = signal.SIGTERM
    """What makes it end in good order."""

    down: tuple[type[Exception], ...] = (OSError,)
    """What asking it raises while it is down."""

    prefix: tuple[str, ...] = ()
    """What the command line begins with."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="server-"))
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._waker: subprocess.Popen[bytes] | None = None
        self._prefix = [require_program("setpriv"), "--pdeathsig", "KILL", *self.prefix]

    def command(self) -> Sequence[str | Path]:
        """The command line that starts it on ``self.port``."""
        raise NotImplementedError

    def control(self) -> Control:
        """A new connection for questions about the others."""
        raise NotImplementedError

    # -- life

    def start(self) -> None:
        """Start on a free port; on another one if somebody else was quicker."""
        for _ in range(ATTEMPTS):
            self.port = free_port()
            if self._launch():
                return
        raise RuntimeError(f"does not start: {self.log()}")

    def restart(self) -> None:
        """End in good order, if it is running, and start again on the same port."""
        self._end(self.goodbye)
        if not self._launch():
            raise RuntimeError(f"does not start again: {self.log()}")

    def kill(self) -> None:
        """End it and all its processes at once, as a crash of the machine would."""
        self._kill_family()
        self._end_waker()

    def stop_process(self) -> None:
        """Let it do nothing more, with all connections open, until `continue_`."""
        assert self._process is not None
        family = self._signal(signal.SIGSTOP)
        # What is stopped cannot notice that whoever stopped it has been killed.
        script = f'sleep {PATIENCE:g}; kill -CONT "$@"'
        self._waker = subprocess.Popen(
            ["sh", "-c", script, "waker", str(self._process.pid), *map(str, family)],
            start_new_session=True,
        )

    def continue_(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)
        self._end_waker()

    def remove(self) -> None:
        """End it and leave nothing behind."""
        self.kill()
        shutil.rmtree(self.folder)

    def log(self) -> str:
        """The last that it had to say."""
        path = self.folder / "log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else "nothing was said"

    # -- clients

    def clients(self) -> list[int]:
        """The ports of its clients, as it knows them itself."""
        with contextlib.closing(self.control()) as control:
            return control.clients()

    def cut_clients(self) -> int:
        """Cut every client from the server's side. Returns how many."""
        with contextlib.closing(self.control()) as control:
            return control.cut_clients()

    # -- the process

    def _launch(self) -> bool:
        """Whether it was started and answers; False if it ended by itself."""
        with open(self.folder / "log", "ab") as log:
            command = [*self._prefix, *map(str, self.command())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        with self._killed_on_failure():
            self._wait_until(lambda: self._has_ended() or self._answers(), "ready")
            return not self._has_ended()

    def _answers(self) -> bool:
        try:
            self.clients()
        except self.down:
            return False
        return True

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._has_ended():
            return
        with self._killed_on_failure():
            os.kill(self._process.pid, number)
            self._wait_until(self._has_ended, "ended")

    def _kill_family(self) -> None:
        if self._process is None or self._has_ended():
            return
        family = self._signal(signal.SIGSTOP)
        with adopting():
            for pid in (self._process.pid, *family):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._wait_until(lambda: self._has_ended() and not any(map(state_of, family)), "dead")
            for pid in family:
                with contextlib.suppress(ChildProcessError):  # gevent may have buried it
                    os.waitpid(pid, 0)

    def _end_waker(self) -> None:
        if self._waker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._waker.pid, signal.SIGKILL)
            self._waker.wait()
            self._waker = None

    def _signal(self, number: signal.Signals) -> list[int]:
        """Tell the process and its children. The process first: it must start no more of them."""
        assert self._process is not None
        os.kill(self._process.pid, number)
        family = children_of(self._process.pid)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return family

    def _wait_until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"never {what}: {self.log()}")
            gevent.sleep(0.005)

    @contextlib.contextmanager
    def _killed_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            assert self._process is not None
            self._process.kill()
            raise


def write_certificates(authority: Any, folder: Path) -> Path:
    """Write key and certificate of a server into *folder*. Returns whom clients must trust."""
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "key.pem").chmod(0o600)
    return folder / "ca.pem"
