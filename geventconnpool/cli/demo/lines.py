"""One line at a time over a stream socket: what both ends of the demo speak."""

from __future__ import annotations

from gevent import socket

__all__ = ["Lines"]

_LONGEST = 1000


class Lines:
    """Sends and reads lines of words. The end of the stream is a ``ConnectionError``."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._unread = b""

    def send(self, *words: str) -> None:
        """Send one line."""
        self.sock.sendall(" ".join(words).encode("ascii") + b"\n")

    def read(self) -> str:
        """The next line, once it is there to its end."""
        while b"\n" not in self._unread:
            data = self.sock.recv(4096)
            if not data:
                raise ConnectionError("the peer hung up")
            self._unread += data
            if len(self._unread) > _LONGEST:
                raise ConnectionError("a line too long")
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode("ascii", "replace")

    @property
    def has_more(self) -> bool:
        """Whether bytes beyond the last line were read."""
        return bool(self._unread)
