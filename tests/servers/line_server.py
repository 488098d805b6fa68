"""A server in a process of its own that answers numbered questions, and counts its sessions.

::

    ask 17          -> answer 17
    late 17 0.5     -> answer 17           half a second later; answers keep their order
    ping            -> pong

Run as a program it prints its port. Each line on its standard input is answered with a
report, and the end of the input is the end of the server.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from types import TracebackType
from typing import Any

import gevent
from gevent import socket, ssl
from gevent.fileobject import FileObject
from gevent.server import StreamServer


class LineServer:
    """A server under the test's control, in another process; see the module for what it speaks.

    :param prefix: a command that starts programs somewhere else, such as another network.
    :param tls: paths of a certificate and its key.
    :param seconds: it never outlives this, whatever becomes of the test.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        *,
        prefix: tuple[str, ...] = (),
        tls: tuple[str, ...] = (),
        seconds: float = 120.0,
    ) -> None:
        command = [*prefix, sys.executable, __file__, host, str(seconds), *tls]
        self._process: Any = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = (host, int(self._process.stdout.readline()))

    def report(self) -> dict[str, int]:
        """How many sessions there are ``now``, and how much was ``asked`` so far.

        Since the last report: how many sessions are ``new``, and were ``most`` at once.
        """
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        report: dict[str, int] = json.loads(self._process.stdout.readline())
        return report

    def stop(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> LineServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class Sessions:
    """What the server does, and how often."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.tls = tls
        self.now = self.most = self.new = self.asked = 0

    def report(self) -> dict[str, int]:
        report = {"now": self.now, "most": self.most, "new": self.new, "asked": self.asked}
        self.most, self.new = self.now, 0
        return report

    def serve(self, sock: socket.socket, address: object) -> None:
        self.now += 1
        self.new += 1
        self.most = max(self.most, self.now)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            for line in sock.makefile("rb"):
                self.answer(sock, *line.decode().split())
        except (OSError, ValueError, TypeError):
            pass  # cut, or half a line
        finally:
            self.now -= 1
            sock.close()

    def answer(self, sock: socket.socket, verb: str, number: str = "", delay: str = "0") -> None:
        self.asked += verb != "ping"
        if verb == "late":
            gevent.sleep(float(delay))
        sock.sendall(b"pong\n" if verb == "ping" else f"answer {number}\n".encode())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("seconds", type=float)
    parser.add_argument("tls", nargs="*", help="certificate and key")
    arguments = parser.parse_args()
    context = None
    if arguments.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*arguments.tls)
    sessions = Sessions(context)
    server = StreamServer((arguments.host, 0), sessions.serve, backlog=1024)
    server.start()
    print(server.server_port, flush=True)
    with gevent.Timeout(arguments.seconds, False):
        for _ in FileObject(sys.stdin.fileno(), "rb", closefd=False):
            print(json.dumps(sessions.report()), flush=True)


if __name__ == "__main__":
    main()
