"""What the hidden setup of a page is made of: a peer to talk to, and stand-ins for hosts."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable

from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socket
from gevent.ssl import SSLContext

__all__ = ["Peer", "line_peer", "stand_in"]


class Peer:
    """A real server on loopback. ``answer(line)`` gives the reply; ``None`` hangs up.

    ``accepted`` counts connections, ``lines`` keeps what was asked.
    """

    def __init__(
        self, answer: Callable[[bytes], bytes | None], tls: SSLContext | None = None
    ) -> None:
        self.answer = answer
        self.tls = tls
        self.accepted = 0
        self.lines: list[bytes] = []
        self._server = StreamServer(("127.0.0.1", 0), self._serve, spawn=Pool())
        self._server.start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.address
        return host, port

    def stop(self) -> None:
        """Refuse connections and hang up on those there are."""
        self._server.stop(timeout=0)

    def _serve(self, sock: socket, address: object) -> None:
        self.accepted += 1
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            with sock, sock.makefile("rb") as lines:
                for line in lines:
                    self.lines.append(line.rstrip())
                    reply = self.answer(line.rstrip())
                    if reply is None:
                        return
                    sock.sendall(reply + b"\n")
        except OSError:
            pass  # the client hung up first, or did not like the certificate


def line_peer() -> Peer:
    """A peer that answers ``PING`` with ``PONG``, ``HANGUP`` by hanging up, others in capitals."""

    def answer(line: bytes) -> bytes | None:
        if line == b"HANGUP":
            return None
        return b"PONG" if line == b"PING" else line.upper()

    return Peer(answer)


def stand_in(name: str, **attributes: object) -> types.ModuleType:
    """Put a module into ``sys.modules`` that plays a host which need not be installed."""
    module = types.ModuleType(name)
    module.__dict__.update(attributes, stand_in=True)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module
