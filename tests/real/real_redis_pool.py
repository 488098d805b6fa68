"""A pool of redis-py connections, as a user would write it."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

import redis

from geventconnpool import CloseReason, ConnectionPool


class RedisPool(ConnectionPool[redis.Connection]):
    """Of connections to a Redis on 127.0.0.1, over TLS where *cafile* says whom to trust."""

    errors = (redis.ConnectionError, redis.TimeoutError, OSError)

    def __init__(self, port: int, size: int, cafile: Path | None = None, **options: Any) -> None:
        self.port = port
        self.cafile = cafile
        # The library keeps its socket to itself: the pool cannot see that it speaks TLS.
        watch_idle = "closed" if cafile else True
        super().__init__(size, self.errors, watch_idle=watch_idle, **options)

    def _new_connection(self) -> redis.Connection:
        if self.cafile is None:
            c = redis.Connection(host="127.0.0.1", port=self.port)
        else:
            c = redis.SSLConnection(host="127.0.0.1", port=self.port, ssl_ca_certs=str(self.cafile))
        try:
            c.connect()
        except BaseException:
            c.disconnect()
            raise
        return c

    def _keepalive(self, c: redis.Connection) -> None:
        c.send_command("PING")
        if c.read_response() != b"PONG":
            raise OSError("no PONG")

    def _fileno(self, c: redis.Connection) -> int:
        return c._sock.fileno()

    def _close_connection(self, c: redis.Connection, reason: CloseReason) -> None:
        """Wait for the server's end: until then it counts this client."""
        try:
            if c._sock is not None:  # else the library has hung up by itself, after an error
                with contextlib.suppress(OSError):
                    c._sock.shutdown(socket.SHUT_WR)
                    while c._sock.recv(65536):
                        pass
        finally:
            c.disconnect()

    def ask(self, c: redis.Connection, token: str, pause: float = 0) -> bool:
        """Ask in one go for an echo, and for a key of *token*'s own, written and read."""
        key, value = f"key:{token}", f"value:{token}"
        questions = [("SET", key, value), ("ECHO", token), ("GET", key)]
        expected = [b"OK", token.encode(), value.encode()]
        if pause:
            questions.insert(0, ("BLPOP", "nothing", f"{pause:g}"))
            expected.insert(0, None)
        c.send_packed_command(c.pack_commands(questions))
        # An interrupted connection is left to the pool, which waits for the server's end.
        return expected == [c.read_response(disconnect_on_error=False) for _ in questions]

    def hang(self, c: redis.Connection) -> None:
        c.send_command("BLPOP", "nothing", 600)
        c.read_response(timeout=600)
